import math

import numpy as np
import pytest
import torch

from cases import generator
from pushforward.distributions import GaussianMixture, RampingSeries
from pushforward.distributions.ramping import two_sided_information
from pushforward.errors import InputError

SERIES = RampingSeries()
LABELS = torch.tensor([1, 0, 0, 1, 1, 0, 0, 0, 1, 0]).double()


def by_hand(series, labels):
    """The law of the logs, one covariance entry at a time, as a mixture of two."""
    a = torch.tensor(series.adjacency).double()
    values, vectors = torch.linalg.eigh(torch.diag(a.sum(1)) - a)
    heat = vectors @ torch.diag((-values).exp()) @ vectors.T
    covariance = torch.zeros(20, 20, dtype=torch.float64)
    for v in range(10):
        for u in range(10):
            shared = series.spread**2 * heat[v, u] / math.sqrt(heat[v, v] * heat[u, u])
            for f in range(2):
                for g in range(2):
                    covariance[2 * v + f, 2 * u + g] = shared + (series.noise**2 if u == v and f == g == 0 else 0)
    mean = torch.zeros(20, dtype=torch.float64)
    mean[::2] = labels * math.log(series.ramp)
    return GaussianMixture([0.5, 0.5], torch.stack([mean, -mean]), covariances=covariance.expand(2, 20, 20))


def test_the_graph_is_a_ring_with_three_chords():
    a = torch.tensor(SERIES.adjacency)
    assert torch.equal(a, a.T) and not a.diagonal().any() and a.sum() == 2 * 13
    assert all(a[v, (v + 1) % 10] == 1 for v in range(10))


@pytest.mark.parametrize("labels", [LABELS, 0 * LABELS])
def test_the_density_is_that_of_the_logs(labels):
    x = SERIES.features_given(labels.expand(50, -1), generator())
    logs = (1 + 0.5 * x).log()
    expected = by_hand(SERIES, labels).log_prob(logs) - logs.sum(1) - 20 * math.log(2)
    points = torch.cat([x, labels.expand(50, -1)], 1)
    torch.testing.assert_close(SERIES.log_prob(points), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(SERIES.given(labels).log_prob(x), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("settings", [{}, {"ramp": 1.2, "noise": 0.6}], ids=["far apart", "overlapping"])
@pytest.mark.parametrize("labels", [LABELS, 0 * LABELS])
def test_the_entropy_is_the_mean_surprise(settings, labels):
    law = RampingSeries(**settings).given(labels)
    value, error = law.entropy()
    assert error == 0
    surprise = -law.log_prob(law.sample(40_000, generator(3), torch.float64))
    assert abs(float(surprise.mean()) - value) < 4 * float(surprise.std()) / 200


def test_what_a_distance_tells_of_a_coin():
    assert two_sided_information(0.0) == pytest.approx(0, abs=1e-13)
    assert two_sided_information(9.0) == pytest.approx(math.log(2), abs=1e-13)
    for distance in (0.1, 0.7, 2.0):
        mixture = GaussianMixture([0.5, 0.5], [[distance], [-distance]], scales=1.0).entropy()
        expected = mixture.value - 0.5 * math.log(2 * math.pi * math.e)
        assert two_sided_information(distance) == pytest.approx(expected, abs=1e-8)


def test_draws_have_the_moments_of_the_law():
    law = by_hand(SERIES, LABELS)
    logs = (1 + 0.5 * SERIES.features_given(LABELS.expand(40_000, -1), generator(1))).log()
    mean = law.means[0]
    expected = law.roots[0] @ law.roots[0].T + torch.outer(mean, mean)
    torch.testing.assert_close(torch.cov(logs.T), expected, rtol=0, atol=0.04)
    assert float(logs.mean(0).abs().max()) < 4 * float(expected.max()) ** 0.5 / 200


@pytest.mark.parametrize("labels", [LABELS, 0 * LABELS])
def test_moments_are_those_of_the_mixture_by_quadrature(labels):
    """E exp(a·u) for a = e_i and e_i + e_j: a·u is a mixture of two normal laws on the line."""
    law = by_hand(SERIES, labels)
    covariance = law.roots[0] @ law.roots[0].T
    nodes, weights = (torch.as_tensor(v) for v in np.polynomial.hermite_e.hermegauss(40))
    weights = weights / weights.sum()

    def exponential(a):
        spread = (a @ covariance @ a).sqrt()
        return float((weights * torch.stack([(m @ a + spread * nodes).exp() for m in law.means]).mean(0)).sum())

    basis = torch.eye(20, dtype=torch.float64)
    first = torch.tensor([exponential(e) for e in basis])
    second = torch.tensor([[exponential(e + f) for f in basis] for e in basis])
    mean, found = SERIES.moments(torch.stack([1 - labels, labels]))
    torch.testing.assert_close(mean[1], 2 * (first - 1).double(), rtol=0, atol=1e-6)
    torch.testing.assert_close(found[1], 4 * (second - torch.outer(first, first)).double(), rtol=0, atol=1e-5)


def test_sample_puts_labels_behind_the_features():
    points = SERIES.sample(20_000, generator(2))
    assert points.shape == (20_000, 30) and points.dtype == torch.float32
    labels = points[:, 20:].double()
    assert torch.equal(labels, labels.round())
    share = 0.5 * 0.6 + 0.5 * 0.05
    assert float((labels.mean(0) - share).abs().max()) < 0.02
    together = float((labels[:, 0] * labels[:, 5]).mean())
    assert abs(together - (0.5 * 0.36 + 0.5 * 0.0025)) < 0.02  # a front hits all sites
    ratio = (1 + 0.5 * points[:, :20:2]) / (1 + 0.5 * points[:, 1:20:2])
    ramped = (ratio > 2) | (ratio < 0.5)
    assert float(ramped[labels > 0].float().mean()) > 0.75 and float(ramped[labels == 0].float().mean()) < 0.02
    assert torch.equal(points, SERIES.sample(20_000, generator(2)))
    assert SERIES.log_prob(points).dtype == torch.float32


def test_a_value_below_zero_has_no_density():
    points = SERIES.sample(3, generator(), torch.float64)
    points[1, 4] = -2.01
    assert SERIES.log_prob(points).isneginf().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RampingSeries(ramp=1.0), "ramp=1.0"),
        (lambda: RampingSeries(noise=0.0), "noise=0.0"),
        (lambda: SERIES.sample(0), "n is 0"),
        (lambda: SERIES.given(torch.ones(9)), "expected ten numbers 0 or 1"),
        (lambda: SERIES.given(torch.full((10,), 0.5)), "expected ten numbers 0 or 1"),
        (lambda: SERIES.log_prob(torch.full((2, 30), 0.5)), "labels that are not 0 or 1"),
        (lambda: SERIES.log_prob(torch.zeros(2, 20)), r"expected \(n, 30\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
