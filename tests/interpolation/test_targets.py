"""Targets: their constants against the definitions."""

import math

import pytest
import torch

from pushforward.distributions import standard_normal
from pushforward.errors import InputError
from pushforward.interpolation import SCHEDULES, TARGETS, IntervalInterpolation, MixtureInterpolation, Target

MIXTURES = [name for name, target in TARGETS.items() if target.law is not None]


def probes(target, n=4000):
    """Points of the law, wide noise, and the points between means where the curvature is greatest."""
    dim = target.law.dim
    generator = torch.Generator().manual_seed(1)
    wide = 3 * torch.randn(n, dim, generator=generator, dtype=torch.float64)
    between = [0.5 * (p + q) for p in target.law.means for q in target.law.means]
    return torch.cat([target.law.sample(n, generator, torch.float64), wide, torch.stack(between)])


def curvatures(target):
    """Eigenvalues of −∇² log p over many points: the data end of any interpolation."""
    return torch.linalg.eigvalsh(-target.make(SCHEDULES["linear"]).hessian(1.0, probes(target)))


def test_names():
    assert list(TARGETS) == ["T-A", "T-A1", "T-B", "T-C", "T-D", "T-E", "T-G", "T-H", "T-U"]
    assert all(name == target.name for name, target in TARGETS.items())


@pytest.mark.parametrize("name", MIXTURES)
def test_curvature_bounds(name):
    target = TARGETS[name]
    found = curvatures(target)
    assert float(found.max()) <= target.beta + 1e-9
    assert float(found.max()) == pytest.approx(target.beta, rel=2e-2)  # and not by far
    if target.kappa is not None:
        assert float(found.min()) == pytest.approx(target.kappa, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "beta", "kappa"),
    [("T-A", 4, -12), ("T-A1", 4, -12), ("T-B", 6.25, None), ("T-D", 1, 0.64), ("T-G", 4, 0.25), ("T-H", 1, -1.25)],
)
def test_curvature_values(name, beta, kappa):
    assert TARGETS[name].beta == pytest.approx(beta, rel=1e-12)
    assert TARGETS[name].kappa == (None if kappa is None else pytest.approx(kappa, rel=1e-12))


def test_golden_beta_of_two_shapes():
    assert TARGETS["T-C"].beta == pytest.approx(6.306019, abs=5e-7)
    roots = TARGETS["T-C"].law.roots
    assert 1 / float(torch.linalg.eigvalsh(roots @ roots.mT).min()) == pytest.approx(TARGETS["T-C"].beta, rel=1e-12)


@pytest.mark.parametrize("name", ["T-A", "T-A1", "T-B", "T-D", "T-H"])
def test_components_are_balls_of_one_size(name):
    """Each S_i = σ²I, and R is the radius of the smallest ball around the means: no smaller one holds them."""
    target = TARGETS[name]
    roots, means = target.law.roots, target.law.means
    eye = torch.eye(target.law.dim, dtype=torch.float64)
    assert torch.allclose(roots @ roots.mT, target.sigma**2 * eye.expand_as(roots), rtol=1e-12)
    axes = [torch.linspace(-1, 1, 401, dtype=torch.float64)] * target.law.dim
    centres = torch.cartesian_prod(*axes).reshape(-1, target.law.dim)
    smallest = float(torch.cdist(centres, means).amax(1).min())
    assert target.radius <= smallest + 1e-12
    assert target.radius == pytest.approx(smallest, abs=5e-3)


def test_golden_radius():
    assert TARGETS["T-B"].radius == pytest.approx(1.4275160095, abs=1e-10)


@pytest.mark.parametrize("name", ["T-D", "T-H"])
def test_log_lipschitz(name):
    """The gradient of log p − log φ stays below L and comes close to it far out."""
    target = TARGETS[name]
    x = probes(target)
    x = torch.cat([x, 20 * x]).requires_grad_()
    ratio = target.law.log_prob(x) - standard_normal(target.law.dim).log_prob(x)
    (slope,) = torch.autograd.grad(ratio.sum(), x)
    assert float(slope.norm(dim=1).max()) == pytest.approx(target.log_lipschitz, rel=1e-6)


@pytest.mark.parametrize(("name", "kappa"), [("T-U", 0.0), ("T-E", -4.0)])
def test_interval_targets(name, kappa):
    target = TARGETS[name]
    exact = target.make(SCHEDULES["linear"])
    assert isinstance(exact, IntervalInterpolation)
    x = torch.linspace(-0.99, 0.99, 41, dtype=torch.float64)[:, None]
    assert target.kappa == kappa
    assert float((-exact.hessian(1.0, x) - kappa).abs().max()) < 1e-12
    assert target.diameter == pytest.approx((exact.high - exact.low) / math.sqrt(2), rel=1e-15)
    assert (target.beta, target.sigma, target.radius, target.log_lipschitz) == (None, None, None, None)


def test_make_passes_the_schedule():
    for target in TARGETS.values():
        exact = target.make(SCHEDULES["vp"])
        assert exact.schedule is SCHEDULES["vp"]
        assert isinstance(exact, MixtureInterpolation) == (target.law is not None)


def test_a_target_has_one_law():
    with pytest.raises(InputError, match="exactly one of the two"):
        Target("none")
