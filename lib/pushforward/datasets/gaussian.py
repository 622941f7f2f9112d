"""The log-likelihood of a Gaussian, which every flow paper prints: it checks files and preprocessing, not a flow."""

import torch

from pushforward.datasets import manifest, tabular
from pushforward.datasets.split import Split
from pushforward.errors import DataError


def gaussian_log_likelihood(split: Split) -> float:
    """Mean over test of log N(x; mean, covariance) with those of train, in nats per sample, computed in float64.

    Raises:
        DataError: the covariance of the training points is singular.
    """
    train, test = split.train.double(), split.test.double()
    root, info = torch.linalg.cholesky_ex(torch.atleast_2d(torch.cov(train.T, correction=0)))
    if info:
        raise DataError(f"{split.label}: the covariance of the training points is singular: leave out constant columns")
    return torch.distributions.MultivariateNormal(train.mean(0), scale_tril=root).log_prob(test).mean().item()


def compare(name: str) -> str | None:
    """The Gaussian's score on a tabular set of MAF beside the published one, in words; None for other sets.

    Raises:
        DataError: the scores differ by more than the manifest allows, or the files are not as they should be.
    """
    if name not in tabular.READERS:
        return None
    published = manifest.entry(name)["gaussian"]
    found = gaussian_log_likelihood(tabular.load(name, "paper", 0))
    if not abs(found - published["value"]) <= published["tolerance"]:
        raise DataError(
            f"{name}: a Gaussian scores {found:.2f} nats on the test points, expected {published['value']} within "
            f"{published['tolerance']} (MAF, Table 1): these are other points than the papers'; remove the files and "
            "run `make data`"
        )
    return f"{name}: a Gaussian scores {found:.2f} nats on the test points, published {published['value']}"
