"""Closed forms of the planar toys."""

import math

import pytest
import torch
from torch import distributions as D

from pushforward.distributions import (
    checkerboard,
    eight_gaussians,
    moons,
    pinwheel,
    rings,
    swiss_roll,
    two_spirals,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_checkerboard_support_and_entropy():
    p = checkerboard()
    assert p.entropy() == (math.log(32), 0.0)
    inside = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [-3.0, 1.0], [3.0, -1.0], [-1.0, 3.0], [1.0, -3.0]])
    assert torch.equal(p.log_prob(inside), torch.full((6,), -math.log(32)))
    outside = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [5.0, 5.0], [-5.0, -5.0], [4.5, 1.0], [1.0, 100.0], [4.0, 4.0]])
    assert torch.equal(p.log_prob(outside), torch.full((7,), -math.inf))


def test_checkerboard_fills_its_squares_evenly():
    n = 80_000
    x = checkerboard().sample(n, rng(), torch.float64)
    cell = torch.floor(x / 2).long() + 2
    share = (4 * cell[:, 0] + cell[:, 1]).bincount(minlength=16).double() / n
    expected = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]).repeat(2, 1).flatten() / 8
    assert ((share - expected).abs() <= 4 * (expected * (1 - expected) / n).sqrt()).all()
    place = x / 2 - torch.floor(x / 2)
    assert ((place.mean(0) - 0.5).abs() < 4 / math.sqrt(12 * n)).all()
    assert ((place.square().mean(0) - 1 / 3).abs() < 4 * math.sqrt(4 / 45 / n)).all()


def test_checkerboard_draws_survive_single_precision():
    """The last step below an edge is 1 − 2⁻²³: float32 would round a finer one onto the edge, out of the support."""
    p, largest = checkerboard(), (2**22 - 0.5) / 2**22
    edge = torch.tensor([[2 * largest, 2 * largest], [2 * (1 + largest), 2 * (1 + largest)]], dtype=torch.float64)
    assert torch.isfinite(p.log_prob(edge.float())).all()
    steps = p.sample(1000, rng(1), torch.float64) * 2**22
    assert torch.equal(steps % 2, torch.ones_like(steps))  # odd: midpoints, never an edge


def test_rings_density_is_the_circle_integral():
    p = rings()
    angle = 2 * math.pi * torch.arange(4000, dtype=torch.float64) / 4000
    circle = p.radius * torch.stack([angle.cos(), angle.sin()], 1)
    nodes = (p.centres[:, None] + circle).flatten(0, 1)
    x = torch.cat([p.sample(50, rng(2), torch.float64), p.centres, torch.tensor([[0.3, 0.2], [4.0, 2.0]])])
    log_kernel = -torch.cdist(x, nodes, compute_mode="donot_use_mm_for_euclid_dist").square() / (2 * p.noise**2)
    expected = torch.logsumexp(log_kernel, 1) - math.log(len(nodes) * 2 * math.pi * p.noise**2)
    assert torch.allclose(p.log_prob(x), expected, rtol=1e-10, atol=1e-10)


def test_rings_density_is_finite_far_away():
    far = torch.tensor([[1e6, 0.0]], dtype=torch.float64)
    gap = 1e6 - 2.64 - 1.2
    assert rings().log_prob(far).item() == pytest.approx(-(gap**2) / (2 * 0.1**2), rel=1e-9)


def test_rings_samples_lie_on_all_five():
    p, n = rings(), 20_000
    distance = torch.cdist(p.sample(n, rng(3), torch.float64), p.centres)
    off = (distance - p.radius).abs()
    share = off.argmin(1).bincount(minlength=5) / n
    assert torch.allclose(share, torch.full((5,), 0.2), atol=0.05)  # crossings blur the count a little
    assert off.amin(1).max() < 5 * p.noise
    assert p.centres.shape == (5, 2) and (p.centres[:3, 1] > p.centres[3:, 1].max()).all()


def test_pinwheel_twist_keeps_areas_and_inverts():
    p = pinwheel()
    assert p.entropy() == p.base.entropy()
    y = p.base.sample(50, rng(4), torch.float64)
    x = p.sample(50, rng(4), torch.float64)
    assert torch.allclose(p.log_prob(x), p.base.log_prob(y), atol=1e-10)
    assert torch.allclose(x.norm(dim=1), y.norm(dim=1), atol=1e-12)
    turned = torch.atan2(x[:, 1], x[:, 0]) - torch.atan2(y[:, 1], y[:, 0])
    expected = torch.remainder(p.rate * y.norm(dim=1), 2 * math.pi)
    assert torch.allclose(torch.remainder(turned, 2 * math.pi), expected, atol=1e-10)


def test_pinwheel_blades_point_outwards():
    """Untwisted: five Gaussians at distance 2, spread 0.6 outwards and 0.2 across."""
    angle = 2 * math.pi * torch.arange(5, dtype=torch.float64) / 5
    frame = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).reshape(5, 2, 2)
    covariances = frame @ torch.diag(torch.tensor([0.36, 0.04], dtype=torch.float64)) @ frame.mT
    blades = D.MultivariateNormal(2 * frame[:, :, 0], covariances)
    mixture = D.MixtureSameFamily(D.Categorical(torch.ones(5, dtype=torch.float64)), blades)
    x = torch.randn(50, 2, generator=rng(9), dtype=torch.float64)
    assert torch.allclose(pinwheel().base.log_prob(x), mixture.log_prob(x), atol=1e-10)


@pytest.mark.parametrize(("law", "turn"), [(eight_gaussians, 8), (pinwheel, 5), (two_spirals, 2), (moons, 2)])
def test_symmetric_laws_do_not_change_when_turned(law, turn):
    p, angle = law(), 2 * math.pi / turn
    x = p.sample(100, rng(5), torch.float64)
    rotation = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]).double()
    assert torch.allclose(p.log_prob(x @ rotation), p.log_prob(x), atol=1e-5)
    half = (
        x
        @ torch.tensor(
            [[math.cos(angle / 2), math.sin(angle / 2)], [-math.sin(angle / 2), math.cos(angle / 2)]]
        ).double()
    )
    assert (p.log_prob(half) - p.log_prob(x)).mean() < -1  # but half the turn leaves the law


def test_eight_gaussians_at_the_origin():
    """Eight equal terms: N(0; distance 2√2, σ² = 1/8)."""
    expected = -(8 / (2 / 8)) - math.log(2 * math.pi / 8)
    assert eight_gaussians().log_prob(torch.zeros(1, 2, dtype=torch.float64)).item() == pytest.approx(
        expected, abs=1e-10
    )


@pytest.mark.parametrize(
    ("law", "radius"),
    [(two_spirals, lambda t: t / 3), (swiss_roll, lambda t: t / 4)],
)
def test_spirals_follow_their_curve(law, radius):
    """Every draw is within 5σ of the Archimedean spiral r = t/c."""
    p = law()
    t = torch.linspace(0, 4.5 * math.pi, 4000, dtype=torch.float64)
    arm = radius(t)[:, None] * torch.stack([t.cos(), t.sin()], 1)
    x = p.sample(2000, rng(6), torch.float64)
    noise = {"two-spirals": 0.1, "swiss-roll": 0.15}[p.name]
    distance = torch.minimum(
        torch.cdist(x, arm).amin(1), torch.cdist(x, -arm).amin(1) if p.name == "two-spirals" else torch.tensor(math.inf)
    )
    assert distance.max() < 5 * noise
    assert distance.mean() == pytest.approx(noise * math.sqrt(2 / math.pi), rel=0.1)  # normal to the curve: half-normal


def test_moons_are_two_half_circles():
    p = moons()
    x = p.sample(20_000, rng(7), torch.float64)
    upper, lower = torch.tensor([-1.0, -0.5]), torch.tensor([1.0, 0.5])
    off = torch.minimum(((x - upper).norm(dim=1) - 2).abs(), ((x - lower).norm(dim=1) - 2).abs())
    assert off.max() < 5 * 0.2
    assert x.mean(0).abs().max() < 0.05


@pytest.mark.parametrize("law", [eight_gaussians, rings, two_spirals, moons, pinwheel, swiss_roll, checkerboard])
def test_laws_fit_the_usual_frame(law):
    x = law().sample(5000, rng(8), torch.float64)
    assert (x.abs().amax(1) <= 4).double().mean() > 0.99
    assert x.abs().max() > 2.5
