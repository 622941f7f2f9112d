import math

import pytest
import torch
from scipy.interpolate import BSpline

from cases import generator, jacobian, randomised
from pushforward.errors import InputError
from pushforward.nets import MLP, NETS, TimeLattice

RADIUS, CORE = 2.0, 1.4
LEVELS = ((12, 0.6, 2), (9, 0.0, 3))
TIMES = (0.0, 0.2, 1 / 3, 0.59, 0.6, 0.61, 0.8, 0.97, 1.0)


def network(levels=LEVELS):
    return randomised(TimeLattice(2, levels, RADIUS, CORE).double(), 0.5)


def scattered(n=60, reach=1.15 * RADIUS):
    """Points all over the square and a little beyond, some within a cell of the border, none on a knot."""
    x = (2 * torch.rand(n, 2, generator=generator(1), dtype=torch.float64) - 1) * reach
    return torch.cat([x, torch.tensor([[1.99, 0.3], [-1.97, 1.98], [0.2, -1.999], [2.001, 0.0], [-9.0, 1e6]]).double()])


def everywhere(t, x):
    """The time t, once for every point."""
    return torch.full((len(x),), t, dtype=torch.float64)


def by_hand(lattice, times, x):
    """Σ_k hat_k(t) Σ_ab c_kab β(x₁/s − a) β(x₂/s − b), with hats and scipy's B-splines over all control points."""
    total = torch.zeros_like(x)
    for control, (size, start, intervals) in zip(lattice.control, lattice.levels, strict=True):
        reach = math.hypot(RADIUS * math.cos(math.pi * start / 2), CORE * math.sin(math.pi * start / 2))
        spacing = 2 * reach / (size + 3)
        bump = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
        centres = -reach + spacing * (torch.arange(size, dtype=x.dtype) + 2)
        space = [torch.nan_to_num(torch.as_tensor(bump((x[:, i, None] - centres) / spacing))) for i in (0, 1)]
        knots = start + (1 - start) / intervals * torch.arange(intervals + 1, dtype=x.dtype)
        hats = (1 - (times[:, None] - knots).abs() * intervals / (1 - start)).clamp_min(0)
        hats = hats[:, -len(control) :]  # the knot at a late start is no parameter: it is zero
        total += torch.einsum("nk,na,nb,kabi->ni", hats, *space, control.detach())
    return total


@pytest.mark.parametrize("t", TIMES)
def test_the_field_is_a_sum_of_hats_times_b_splines(t):
    lattice, x = network(), scattered()
    found = lattice(t, x).detach()
    torch.testing.assert_close(found, by_hand(lattice, everywhere(t, x), x), rtol=0, atol=1e-13)
    assert found.abs().max() > 0.1


def test_a_time_a_point_is_that_time_for_that_point():
    lattice, x = network(), scattered(300)
    times = torch.rand(len(x), generator=generator(2), dtype=torch.float64)
    times[: len(TIMES)] = torch.tensor(TIMES)
    found = lattice(times, x).detach()
    torch.testing.assert_close(found, by_hand(lattice, times, x), rtol=0, atol=1e-13)
    one_by_one = [lattice(float(t), point[None]) for t, point in zip(times, x, strict=True)]
    torch.testing.assert_close(found, torch.cat(one_by_one).detach(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("t", (0.25, 0.6, 0.85))
def test_closed_forms_agree_with_autograd_and_differences(t):
    lattice, x, step = network(), scattered(), 1e-6
    v, found = lattice.velocity_and_jacobian(t, x)
    torch.testing.assert_close(v, lattice(t, x))
    own_times = everywhere(t, x)
    expected = jacobian(lambda y: lattice(own_times, y), x)  # plain autograd through the weights
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    shifts = step * torch.eye(2, dtype=torch.float64)
    slopes = torch.stack([(lattice(t, x + s) - lattice(t, x - s)) / (2 * step) for s in shifts], -1)
    torch.testing.assert_close(found, slopes, rtol=0, atol=1e-8)
    _, divergence = lattice.velocity_and_divergence(t, x)
    torch.testing.assert_close(divergence, found.diagonal(dim1=1, dim2=2).sum(1))


@pytest.mark.parametrize("t", TIMES)
def test_control_points_have_one_gradient_on_both_paths(t):
    lattice, x = network(), scattered()
    probe = torch.randn(x.shape, generator=generator(3), dtype=torch.float64)
    parameters = list(lattice.parameters())
    losses = [(lattice(time, x) * probe).sum() for time in (t, everywhere(t, x))]
    one, other = (torch.autograd.grad(loss, parameters, allow_unused=True) for loss in losses)
    for (_, start, _), a, b in zip(lattice.levels, one, other, strict=True):
        if t <= start and start > 0:  # nothing of the level is seen, at its start with weight zero
            assert a is None or not a.any()
            assert b is None or not b.any()
        else:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-13)
            assert a.any()


def test_a_level_is_zero_before_its_start_and_grows_from_there():
    lattice, x = network(((12, 0.6, 2),)), scattered()
    for t in (0.0, 0.4, 0.6):
        v, found = lattice.velocity_and_jacobian(t, x)
        assert not v.any() and not found.any()
        assert not lattice(everywhere(t, x), x).any()
    early, late = (lattice(t, x).detach() for t in (0.65, 0.75))
    torch.testing.assert_close(late, 3 * early)
    assert early.any()


@pytest.mark.parametrize("t", (1 / 3, 0.6, 2 / 3, 0.8))
def test_the_field_is_continuous_in_time_across_knots_and_starts(t):
    lattice, x, step = network(), scattered(), 1e-9
    for part in (0, 1):
        before, at, after = (lattice.velocity_and_jacobian(t + s, x)[part] for s in (-step, 0, step))
        assert (before - at).abs().max() < 1e-6 and (after - at).abs().max() < 1e-6


def test_a_level_covers_what_noise_and_data_fill_at_its_start():
    levels = ((8, 0.0, 2), (8, 1 / 3, 2), (8, 1 - 1e-9, 1))
    reaches = [TimeLattice(2, levels, 4.0, 2.0).reach(level) for level in range(3)]
    assert reaches == pytest.approx([4.0, math.sqrt(16 * 3 / 4 + 4 / 4), 2.0], abs=1e-9)
    lattice = network(((12, 0.6, 2),))
    edge = lattice.reach(0)
    x = torch.tensor([[edge + 1e-6, 0.0], [0.1, -edge - 1e-6], [edge - 0.05, 0.1]], dtype=torch.float64)
    for v in (lattice(0.9, x), lattice(everywhere(0.9, x), x)):
        assert not v[:2].any() and v[2].any()


def test_time_stops_at_its_ends():
    """A solver may step a hair beyond."""
    lattice, x = network(), scattered()
    for outside, end in ((-0.1, 0.0), (1.1, 1.0)):
        assert torch.equal(lattice(outside, x), lattice(end, x))
        for found, expected in zip(*(lattice.velocity_and_jacobian(t, x) for t in (outside, end)), strict=True):
            assert torch.equal(found, expected)
        times = everywhere(outside, x)
        torch.testing.assert_close(lattice(times, x), lattice(end, x), rtol=0, atol=1e-13)


def test_mixed_precision_leaves_the_lattice_alone():
    lattice, x = network().float(), scattered().float()
    for t in (0.7, torch.rand(len(x), generator=generator(4))):
        with torch.autocast("cpu", torch.bfloat16):
            mixed = lattice(t, x)
        assert mixed.dtype == torch.float32 and torch.equal(mixed, lattice(t, x))


def test_a_new_lattice_is_zero():
    v, divergence = TimeLattice().velocity_and_divergence(0.9, scattered().float())
    assert not v.any() and not divergence.any()


def test_settings_rebuild_the_network():
    lattice = TimeLattice(2, [[10, 0.5, 3], [8, 0, 2]], 3.0)
    assert lattice.settings() == {"dim": 2, "levels": [[10, 0.5, 3], [8, 0.0, 2]], "radius": 3.0, "core": lattice.core}
    # One knot more where the level is there from the beginning.
    assert [p.shape for p in NETS["time-lattice"](**lattice.settings()).control] == [(3, 10, 10, 2), (3, 8, 8, 2)]


def test_the_default_has_about_the_numbers_of_the_usual_network():
    usual = sum(p.numel() for p in MLP(2, (256, 256, 256), time=True).parameters())
    assert sum(p.numel() for p in TimeLattice().parameters()) < 1.1 * usual


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3,), "dim is 3, but a lattice velocity is planar"),
        ((2, ()), r"levels is \(\), expected at least one"),
        ((2, ((16, 0.0),)), r"levels is \(\(16, 0.0\),\), expected at least one \(size, start, intervals\)"),
        ((2, ((7, 0.0, 2),)), "expected sizes from 8"),
        ((2, ((8, 1.0, 2),)), r"starts in \[0, 1\)"),
        ((2, ((8, -0.1, 2),)), r"starts in \[0, 1\)"),
        ((2, ((8, 0.0, 0),)), "at least one interval"),
        ((2, ((8, 0.0, 2),), 0.0), "radius is 0.0 and core"),
        ((2, ((8, 0.0, 2),), 4.0, -1.0), "core -1.0, expected positive numbers"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        TimeLattice(*arguments)
