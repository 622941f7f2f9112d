"""The distance between two sets of pictures: that of Gaussians fitted to their features."""

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.metrics import gaussian_w2
from pushforward.metrics.estimate import check_pair
from pushforward.shapes import Points


def frechet_distance(x: Points, y: Points) -> float:
    """|m₁ − m₂|² + tr(C₁ + C₂ − 2(C₁C₂)^½) of features x [n, k] and y [m, k], in the square of their unit, in float64.

    m and C are means and covariances (with n − 1); it is the squared W2 distance of the Gaussians that have them. From
    samples it is biased upwards, the more the larger k/n and k/m: compare distances at equal n and m only. It is a FID
    where the features are those of the Inception network, and nowhere else (Heusel et al., arXiv 1706.08500, eq. (6)).

    Raises:
        InputError: features that are not finite points of one dimension and device, or fewer than two of a set.
    """
    x, y = check_pair(x, y)
    if min(len(x), len(y)) < 2:
        raise InputError(f"{len(x)} and {len(y)} rows of features, expected at least 2 of each: one has no covariance")
    return gaussian_w2(x.mean(0), _covariance(x), y.mean(0), _covariance(y)) ** 2


def _covariance(x: Tensor) -> Tensor:
    return torch.atleast_2d(torch.cov(x.T))
