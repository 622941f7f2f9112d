"""The loss floor against values of the note, a simulated loss, and the excess-loss identity."""

import math

import numpy as np
import pytest
import torch

from pushforward.distributions import GaussianMixture, standard_normal
from pushforward.errors import InputError
from pushforward.interpolation import SCHEDULES, TARGETS, MixtureInterpolation, loss_floor


def oracle(law, schedule):
    return TARGETS[law].make(SCHEDULES[schedule])


def integral(floor, stop, nodes=24):
    """∫_0^stop F dt by Gauss-Legendre in q, 1 − t = (1 − zq)³: F may grow like 1/(1 − t), and the ends are not met."""
    q, weights = np.polynomial.legendre.leggauss(nodes)
    z = 1 - (1 - stop) ** (1 / 3)
    left = 1 - 0.5 * z * (1 + q)
    return float(sum(1.5 * z * w * u**2 * floor(1 - u**3) for w, u in zip(weights, left.tolist(), strict=True)))


@pytest.mark.parametrize(
    ("schedule", "wanted"), [("linear", 2.92802357), ("trigonometric", 3.61230429), ("foellmer", 1.96920735)]
)
def test_golden_floor(schedule, wanted):
    assert loss_floor(oracle("T-A", schedule), 0.5) == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize(
    ("schedule", "stop", "wanted"),
    [
        ("linear", 1.0, 2.47160040),
        ("trigonometric", 1.0, 3.88238082),
        ("ve-linear", 1.0, 10.87906525),
        ("foellmer", 0.999, 6.50683741),
    ],
)
def test_golden_integral(schedule, stop, wanted):
    """T-A is T-A1 beside N(0, 1/4), and the floors of independent coordinates add up."""
    first = oracle("T-A1", schedule)
    second = MixtureInterpolation(GaussianMixture([1.0], [[0.0]], scales=0.5), first.schedule)
    found = integral(lambda t: loss_floor(first, t) + loss_floor(second, t), stop)
    assert found == pytest.approx(wanted, abs=1.5e-8)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_floor_of_a_gaussian(schedule):
    exact = MixtureInterpolation(standard_normal(2), SCHEDULES[schedule])
    for t in (0.05, 0.5, 0.95):
        at = exact.schedule.at(t)
        wanted = 2 * float(exact.schedule.w(t)) ** 2 / float(at.a2 * (at.a2 + at.b**2))
        assert loss_floor(exact, t) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("law", ["T-B", "T-E"])
def test_floor_is_the_loss_of_the_exact_velocity(law):
    """Simulated pairs; a perturbed field exceeds the floor by E|ṽ − v|², seen by the paired estimator."""
    exact, t, n = oracle(law, "foellmer"), 0.6, 40_000
    generator = torch.Generator().manual_seed(3)
    data = exact.sample(1.0, n, generator, torch.float64)
    noise = torch.randn(n, exact.dim, generator=generator, dtype=torch.float64)
    a2, aa_prime, b, b_prime = exact.schedule.at(t)
    x, wanted = a2.sqrt() * noise + b * data, aa_prime / a2.sqrt() * noise + b_prime * data
    v = exact(t, x)
    loss = (v - wanted).square().sum(1)
    assert abs(float(loss.mean()) - loss_floor(exact, t)) < 4 * float(loss.std()) / math.sqrt(n)
    off = 0.3 * torch.sin(2 * x)
    excess = (v + off - wanted).square().sum(1) - loss - off.square().sum(1)
    assert abs(float(excess.mean())) < 4 * float(excess.std()) / math.sqrt(n)


@pytest.mark.parametrize("schedule", ["foellmer", "vp", "ve"])
def test_floor_grows_where_the_rate_is_not_square_integrable(schedule):
    """F ~ c/(1 − t)."""
    exact = oracle("T-A1", schedule)
    assert loss_floor(exact, 1 - 1e-4) / loss_floor(exact, 1 - 1e-3) == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("schedule", ["linear", "trigonometric", "ve-linear"])
def test_floor_stays_bounded_elsewhere(schedule):
    exact = oracle("T-A1", schedule)
    assert loss_floor(exact, 1 - 1e-4) / loss_floor(exact, 1 - 1e-3) == pytest.approx(1, rel=0.01)


def test_refusals():
    with pytest.raises(InputError, match="expected an earlier time"):
        loss_floor(oracle("T-A", "linear"), 1.0)
    with pytest.raises(InputError, match="expected 1 or 2"):
        loss_floor(MixtureInterpolation(standard_normal(3), SCHEDULES["linear"]), 0.5)
    with pytest.raises(InputError, match="expected at most"):
        loss_floor(oracle("T-U", "linear"), 1 - 1e-6)
    with pytest.raises(InputError, match="expected a time in"):
        loss_floor(oracle("T-U", "linear"), -1.0)
