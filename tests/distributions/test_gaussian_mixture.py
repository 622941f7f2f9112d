"""Gaussian mixtures against torch.distributions and closed-form entropies."""

import math

import pytest
import torch
from torch import distributions as D

from pushforward.distributions import GaussianMixture, standard_normal
from pushforward.errors import InputError

HALF_LOG = 0.5 * math.log(2 * math.pi * math.e)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def parts(k, d):
    weights = torch.rand(k, generator=rng(1), dtype=torch.float64) + 0.1
    means = 3 * torch.randn(k, d, generator=rng(2), dtype=torch.float64)
    root = torch.randn(k, d, d, generator=rng(3), dtype=torch.float64)
    return weights, means, root @ root.mT + 0.3 * torch.eye(d, dtype=torch.float64)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_log_prob_with_covariances(d):
    weights, means, covariances = parts(4, d)
    mine = GaussianMixture(weights, means, covariances=covariances)
    theirs = D.MixtureSameFamily(D.Categorical(weights), D.MultivariateNormal(means, covariances))
    x = 10 * torch.randn(200, d, generator=rng(4), dtype=torch.float64)
    assert torch.allclose(mine.log_prob(x), theirs.log_prob(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scales", [0.7, [0.5, 2.0], [[0.5, 1.0, 2.0], [3.0, 0.2, 1.0]]])
def test_log_prob_with_scales(scales):
    weights, means, _ = parts(2, 3)
    mine = GaussianMixture(weights, means, scales=scales)
    spread = torch.as_tensor(scales, dtype=torch.float64)
    spread = (spread[:, None] if spread.ndim == 1 else spread).expand(2, 3)
    theirs = D.MixtureSameFamily(D.Categorical(weights), D.Independent(D.Normal(means, spread), 1))
    x = 5 * torch.randn(200, 3, generator=rng(5), dtype=torch.float64)
    assert torch.allclose(mine.log_prob(x), theirs.log_prob(x), rtol=1e-12, atol=1e-12)


def test_samples_have_the_moments():
    weights, means, covariances = parts(3, 2)
    n = 100_000
    x = GaussianMixture(weights, means, covariances=covariances).sample(n, rng(6), torch.float64)
    w = weights / weights.sum()
    mean = w @ means
    second = torch.einsum("k,kij->ij", w, covariances + means[:, :, None] * means[:, None, :])
    assert ((x.mean(0) - mean).abs() < 4 * x.std(0) / math.sqrt(n)).all()
    products = x[:, :, None] * x[:, None, :]
    assert ((products.mean(0) - second).abs() < 4 * products.std(0) / math.sqrt(n)).all()


@pytest.mark.parametrize("d", [1, 3, 20])
def test_standard_normal(d):
    p = standard_normal(d)
    assert (p.dim, p.name) == (d, "standard-normal")
    assert p.entropy() == pytest.approx((d * HALF_LOG, 0.0), abs=1e-12)
    x = torch.randn(10, d, generator=rng(7), dtype=torch.float64)
    assert torch.allclose(p.log_prob(x), D.Normal(0, 1).log_prob(x).sum(1), atol=1e-12)


def test_entropy_of_one_component_is_exact():
    _, means, covariances = parts(1, 4)
    exact = 4 * HALF_LOG + 0.5 * float(torch.logdet(covariances[0]))
    assert GaussianMixture([2.0], means, covariances=covariances).entropy() == pytest.approx((exact, 0.0), abs=1e-12)


@pytest.mark.parametrize("d", [1, 2])
def test_entropy_of_equal_components_is_that_of_one(d):
    _, means, covariances = parts(1, d)
    one = GaussianMixture([1.0], means, covariances=covariances)
    three = GaussianMixture([1.0, 2.0, 3.0], means.expand(3, d), covariances=covariances.expand(3, d, d))
    value, error = three.entropy()
    assert value == pytest.approx(one.entropy().value, abs=1e-10)
    assert 0 < error < 1e-8


@pytest.mark.parametrize("d", [1, 2, 3])
def test_entropy_of_distant_components(d):
    """H = Σ w (H_k − log w) when they do not overlap; 3-D takes the Monte Carlo way, whose error must cover."""
    weights = torch.tensor([0.2, 0.8], dtype=torch.float64)
    means = torch.zeros(2, d, dtype=torch.float64)
    means[1] = 30.0
    value, error = GaussianMixture(weights, means, scales=[0.5, 1.5]).entropy()
    exact = float((weights * (d * (HALF_LOG + torch.tensor([0.5, 1.5]).log()) - weights.log())).sum())
    tolerance = 1e-8 if d <= 2 else 4 * error
    assert abs(value - exact) < tolerance
    assert 0 < error < (1e-7 if d <= 2 else 0.01)


def test_too_fine_a_law_for_a_grid_takes_monte_carlo():
    p = GaussianMixture([1.0, 1.0], [[0.0, 0.0], [5.0, 5.0]], scales=1e-4)
    value, error = p.entropy()
    assert 1e-4 < error < 0.01
    assert abs(value - (2 * HALF_LOG + 2 * math.log(1e-4) + math.log(2))) < 4 * error
    assert p.entropy() == GaussianMixture([1.0, 1.0], [[0.0, 0.0], [5.0, 5.0]], scales=1e-4).entropy()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(weights=[1.0, -1.0], means=[[0.0], [1.0]], scales=1.0), "weights.*-1.*positive"),
        (dict(weights=[], means=[[0.0]], scales=1.0), "weights has shape"),
        (dict(weights=[1.0], means=[[0.0], [1.0]], scales=1.0), r"means has shape \(2, 1\), expected \(1, d\)"),
        (dict(weights=[1.0], means=[[math.nan]], scales=1.0), "means holds NaN"),
        (dict(weights=[1.0], means=[[0.0]]), "exactly one"),
        (dict(weights=[1.0], means=[[0.0]], scales=1.0, covariances=[[[1.0]]]), "exactly one"),
        (dict(weights=[1.0], means=[[0.0]], scales=0.0), "scales.*positive standard deviations"),
        (dict(weights=[1.0], means=[[0.0]], scales=[1.0, 2.0]), r"scales has shape \(2,\)"),
        (dict(weights=[1.0], means=[[0.0, 0.0]], covariances=[[[1.0]]]), r"covariances has shape \(1, 1, 1\)"),
        (dict(weights=[1.0], means=[[0.0]], covariances=[[[-1.0]]]), r"covariances\[0\] is not symmetric positive"),
        (dict(weights=[1.0], means=[[0.0, 0.0]], covariances=[[[1.0, 0.5], [0.0, 1.0]]]), "not symmetric"),
        (dict(weights="ink", means=[[0.0]], scales=1.0), "weights is str"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        GaussianMixture(**arguments)


def test_bad_dimension_is_named():
    with pytest.raises(InputError, match="dim is 0"):
        standard_normal(0)
