"""Flow maps against golden values, closed forms, the quantile map of a line, and the orders of fixed-step solvers."""

import math

import pytest
import torch

from cases import jacobian, normal
from pushforward.distributions import GaussianMixture
from pushforward.errors import InputError, NotConverged
from pushforward.interpolation import SCHEDULES, MixtureInterpolation, by_name, targets
from pushforward.interpolation.flow_map import (
    quantile_map,
    transport,
    transport_with_divergence,
    transport_with_jacobian,
)
from pushforward.numerics import FixedGrid

NAMES = list(SCHEDULES)
FROM_NOISE = ["linear", "foellmer", "trigonometric"]


def oracle(target, schedule):
    return MixtureInterpolation(targets.TARGETS[target].law, by_name(schedule))


def points(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def rms(gap):
    return float(gap.square().sum(1).mean().sqrt())


def start(schedule, scale=1.0):
    """Points whose spread is that of the initial law, roughly."""
    return scale * math.hypot(schedule.a0, schedule.b0) * normal(12, 2)


GOLDEN = {
    "T-A": (
        points([0.3, -0.4], [1.0, 0.5], [-1.5, 2.0]),
        points([0.640934811397, -0.2], [1.237621779328, 0.25], [-1.554733837249, 1.0]),
    ),
    "T-B": (
        points([0.3, -0.4], [1.0, 0.5], [-1.5, 2.0]),
        points([1.302535529516, -0.145414313510], [1.694933755186, 0.241782022188], [-0.993118605891, 1.667197804073]),
    ),
    "T-C": (
        points([0.3, -0.4], [1.0, 0.5]),
        points([0.580788376481, 0.027820886735], [1.534957925611, 0.796480599522]),
    ),
}


@pytest.mark.parametrize("target", GOLDEN)
@pytest.mark.parametrize("name", FROM_NOISE)
def test_golden_maps(name, target):
    x, expected = GOLDEN[target]
    torch.testing.assert_close(transport(oracle(target, name), x, 0.0, 1.0), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", FROM_NOISE)
def test_the_map_to_a_gaussian_is_affine(name):
    x = normal(6, 2)
    expected = points([0.5, -0.25]) + x * points([2.0, 0.5])
    torch.testing.assert_close(transport(oracle("T-G", name), x, 0.0, 1.0), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("first", "second"), [("linear", "trigonometric"), ("linear", "foellmer"), ("ve", "ve-linear")]
)
@pytest.mark.parametrize("target", ["T-B", "T-C"])
def test_schedules_with_the_same_ends_give_the_same_map(first, second, target):
    x = start(by_name(first))
    ends = [transport(oracle(target, name), x, 0.0, 1.0, rtol=1e-11) for name in (first, second)]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-9)


def test_the_paths_of_two_schedules_pass_the_same_points_at_equal_ratio():
    x, ratio = normal(12, 2), 0.7  # Y = X/a depends on s = b/a alone
    stops = {"linear": ratio / (1 + ratio), "trigonometric": 2 / math.pi * math.atan(ratio)}
    scaled = [transport(oracle("T-B", n), x, 0.0, t, rtol=1e-11) / by_name(n).a(t) for n, t in stops.items()]
    torch.testing.assert_close(*scaled, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", FROM_NOISE)
@pytest.mark.parametrize("target", ["T-A1", "T-H"])
def test_on_a_line_the_flow_map_is_the_quantile_map(name, target):
    z = torch.linspace(-4, 4, 41, dtype=torch.float64)[:, None]
    end = transport(oracle(target, name), z, 0.0, 1.0, rtol=1e-11)
    torch.testing.assert_close(end, quantile_map(targets.TARGETS[target].law, z), rtol=0, atol=1e-9)


def test_on_an_interval_the_flow_map_is_the_quantile_map():
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    end = transport(targets.TARGETS["T-U"].make(by_name("trigonometric")), z, 0.0, 1.0, rtol=1e-9)
    torch.testing.assert_close(end, torch.special.erf(z / math.sqrt(2)), rtol=0, atol=1e-7)  # 2Φ(z) − 1


def test_the_slope_of_the_map_to_an_interval_at_the_origin():
    origin = torch.zeros(1, 1, dtype=torch.float64)
    for target, slope in (("T-U", math.sqrt(2 / math.pi)), ("T-E", 1.886561)):  # the former is .797885
        found = transport_with_jacobian(targets.TARGETS[target].make(by_name("linear")), origin, 0.0, 1.0, 1e-8)[1]
        assert float(found) == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("name", ["linear", "vp", "ve-linear"])
def test_golden_jacobian_at_the_origin(name):
    jac = transport_with_jacobian(oracle("T-A", name), torch.zeros(1, 2, dtype=torch.float64), 0.0, 1.0)[1][0]
    golden = {"vp": (3.693378168818, 0.500465415), "ve": (0.720822585951, 1 / 10.049875621)}
    along, across = golden.get(name.removesuffix("-linear"), (0.5 * math.exp(2), 0.5))
    assert float(jac[0, 0]) == pytest.approx(along, abs=1e-9)
    assert float(jac[1, 1]) == pytest.approx(across, abs=1e-9)
    assert float(jac[0, 1].abs() + jac[1, 0].abs()) < 1e-12


@pytest.mark.parametrize("name", ["foellmer", "vp", "ve"])
def test_points_jacobian_and_divergence_agree(name):
    field = oracle("T-C", name)  # no symmetry: the Jacobian of the map is not symmetric, so a transpose would show
    x = start(by_name(name))
    end, jac = transport_with_jacobian(field, x, 0.1, 0.9)
    torch.testing.assert_close(end, transport(field, x, 0.1, 0.9), rtol=0, atol=1e-9)
    step = 1e-4
    offsets = step * torch.cat([torch.eye(2), -torch.eye(2)]).double()
    ahead0, ahead1, behind0, behind1 = transport(field, (offsets[:, None] + x).flatten(0, 1), 0.1, 0.9).chunk(4)
    columns = torch.stack([ahead0 - behind0, ahead1 - behind1], 2) / (2 * step)
    torch.testing.assert_close(jac, columns, rtol=0, atol=1e-5)
    assert (jac - jac.mT).abs().max() > 1e-4
    end, integral = transport_with_divergence(field, x, 0.1, 0.9)
    torch.testing.assert_close(end, transport(field, x, 0.1, 0.9), rtol=0, atol=1e-9)
    torch.testing.assert_close(integral, torch.logdet(jac), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["trigonometric", "ve"])
def test_the_jacobian_of_the_way_back_is_the_inverse(name):
    field = oracle("T-B", name)
    x = start(by_name(name), 0.5)
    end, there = transport_with_jacobian(field, x, 0.0, 1.0)
    again, back = transport_with_jacobian(field, end, 1.0, 0.0)
    torch.testing.assert_close(again, x, rtol=0, atol=1e-7)
    torch.testing.assert_close(back @ there, torch.eye(2, dtype=torch.float64).expand(12, 2, 2), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_likelihood_by_the_flow(name):
    field = oracle("T-B", name)
    x = field.law.sample(64, torch.Generator().manual_seed(3), torch.float64)
    errors = []
    for rtol, method in ((1e-5, "dopri5"), (1e-10, "dopri8")):
        source, integral = transport_with_divergence(field, x, 1.0, 0.0, rtol, method=method)
        errors.append(float((field.log_prob(0.0, source) + integral - field.law.log_prob(x)).abs().max()))
    assert errors[1] < 1e-8
    assert 1e-6 < errors[0] < 1e-3  # the solver's error, so the tight one is not tight by accident


def test_a_field_without_closed_forms_is_differentiated():
    def swirl(t, x):
        return torch.stack([torch.sin(x[:, 1] + t), 0.5 * x[:, 0] * x[:, 1]], 1)

    x = normal(4, 2)
    end, jac = transport_with_jacobian(swirl, x, 0.0, 1.0)
    torch.testing.assert_close(jac, jacobian(lambda y: FixedGrid(60)(swirl, y, 0.0, 1.0), x), rtol=0, atol=1e-6)
    torch.testing.assert_close(transport_with_divergence(swirl, x, 0.0, 1.0)[1], torch.logdet(jac), rtol=0, atol=1e-9)


# --- solvers: the orders of a round trip, and its error at a tolerance ---


def euler(steps):
    def solve(field, x, t0, t1):
        for i in range(steps):
            x = x + (t1 - t0) / steps * field(t0 + (t1 - t0) * i / steps, x)
        return x

    return solve


@pytest.mark.parametrize(
    ("solver", "steps", "one_way", "round_trip"),
    [
        (euler, 128, 1, 1),
        (lambda n: FixedGrid(n, "midpoint"), 32, 2, 3),
        (FixedGrid, 32, 4, 5),
    ],
    ids=["euler", "midpoint", "rk4"],
)
@pytest.mark.parametrize("name", ["linear", "trigonometric"])
def test_round_trips_understate_the_error_of_even_orders(name, solver, steps, one_way, round_trip):
    field, x = oracle("T-A", name), normal(64, 2)
    exact = transport(field, x, 0.0, 1.0, 1e-12)
    ways, trips = [], []
    for n in (steps, 2 * steps):
        end = solver(n)(field, x, 0.0, 1.0)
        ways.append(rms(end - exact))
        trips.append(rms(solver(n)(field, end, 1.0, 0.0) - x))
    assert math.log2(ways[0] / ways[1]) == pytest.approx(one_way, abs=0.15)
    assert math.log2(trips[0] / trips[1]) == pytest.approx(round_trip, abs=0.15)


@pytest.mark.parametrize(
    ("rtol", "cycle", "loop"),
    [
        (1e-3, 1.7e-3, 2.0e-3),
        (1e-4, 1.5e-4, 1.7e-4),
        (1e-5, 1.6e-5, 1.2e-5),
        (1e-6, 4.6e-7, 5.7e-7),
        (1e-8, 2.9e-9, 2.5e-9),
    ],
)
def test_adaptive_loops_close_up_to_the_tolerance(rtol, cycle, loop):
    def move(target, x, t0, t1):
        return transport(oracle(target, "linear"), x, t0, t1, rtol, method="dopri5")

    z = normal(256, 2)
    error = rms(move("T-A", move("T-A", z, 0.0, 1.0), 1.0, 0.0) - z)
    assert 0.1 * cycle < error < 10 * cycle
    assert error < 20 * rtol
    x = targets.TARGETS["T-A"].law.sample(256, torch.Generator().manual_seed(1), torch.float64)
    other = move("T-B", move("T-A", x, 1.0, 0.0), 0.0, 1.0)
    back = move("T-A", move("T-B", other, 1.0, 0.0), 0.0, 1.0)
    assert 0.1 * loop < rms(back - x) < 10 * loop


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rtol", [1e-2, 1e-6])
def test_the_velocity_is_asked_inside_the_unit_interval_only(name, rtol):
    field, seen = oracle("T-B", name), []
    x = start(by_name(name))
    end = transport(lambda t, y: seen.append(float(t)) or field(t, y), x, 0.0, 1.0, rtol, method="dopri5")
    transport(lambda t, y: seen.append(float(t)) or field(t, y), end, 1.0, 0.0, rtol, method="dopri5")
    assert min(seen) == 0.0
    assert max(seen) == 1.0


def test_a_slow_field_does_not_lure_the_first_trial_step_out_of_the_interval():
    seen, x = [], torch.ones(1, 1, dtype=torch.float64)
    end = transport(lambda t, y: seen.append(float(t)) or 1e-4 * y, x, 0.0, 0.5)
    assert max(seen) == 0.5
    assert float(end) == pytest.approx(math.exp(5e-5), rel=1e-12)


# --- the quantile map ---


def test_quantile_map_inverts_the_distribution_function_far_into_both_tails():
    law = GaussianMixture([0.7, 0.3], [[-1.0], [2.0]], scales=[0.5, 0.2])
    z = torch.linspace(-30, 30, 121, dtype=torch.float64)[:, None]
    x = quantile_map(law, z)
    scales = torch.tensor([0.5, 0.2], dtype=torch.float64)
    for side in (-1.0, 1.0):  # left tails below, right tails above
        here = side * z > 0
        tail = torch.special.log_ndtr(-side * (x - law.means[:, 0]) / scales) + law.weights.log()
        torch.testing.assert_close(
            torch.logsumexp(tail, 1, keepdim=True)[here],
            torch.special.log_ndtr(-side * z)[here],
            rtol=1e-12,
            atol=1e-12,
        )
    assert (x.diff(dim=0) > 0).all()


def test_quantile_map_of_one_component_is_affine():
    z = normal(9, 1)
    law = GaussianMixture([1.0], [[3.0]], scales=2.0)
    torch.testing.assert_close(quantile_map(law, z), 3 + 2 * z, rtol=1e-14, atol=1e-14)
    assert quantile_map(law, z.float()).dtype == torch.float32


# --- doors ---


def test_float32_is_kept_where_the_tolerance_allows_it():
    x = normal(5, 2, dtype=torch.float32)
    end = transport(oracle("T-A", "linear"), x, 0.0, 1.0, rtol=1e-5)
    assert end.dtype == torch.float32
    torch.testing.assert_close(end, transport(oracle("T-A", "linear"), x.double(), 0.0, 1.0).float(), rtol=0, atol=1e-3)
    with pytest.raises(InputError, match="rtol is 1e-10, below the precision of torch.float32.*double"):
        transport(oracle("T-A", "linear"), x, 0.0, 1.0)


def test_no_time_no_motion():
    x = normal(3, 2)
    end, jac = transport_with_jacobian(oracle("T-A", "linear"), x, 0.4, 0.4)
    assert torch.equal(end, x)
    assert torch.equal(jac, torch.eye(2, dtype=torch.float64).expand(3, 2, 2))
    assert torch.equal(transport_with_divergence(oracle("T-A", "linear"), x, 0.4, 0.4)[1], torch.zeros(3).double())


def test_bad_input_is_named():
    field, x = oracle("T-A", "linear"), normal(3, 2)
    with pytest.raises(InputError, match="t1 is 1.5, expected a time in \\[0, 1\\]"):
        transport(field, x, 0.0, 1.5)
    with pytest.raises(InputError, match="t0 is -0.1"):
        transport_with_jacobian(field, x, -0.1, 1.0)
    with pytest.raises(InputError, match="'euler' is unknown.*dopri5.*dopri8"):
        transport(field, x, 0.0, 1.0, method="euler")
    for solve in (transport, transport_with_jacobian, transport_with_divergence):
        with pytest.raises(InputError, match="x has shape \\(2,\\)"):
            solve(field, x[0], 0.0, 1.0)
    with pytest.raises(InputError, match="law has dimension 2, expected 1"):
        quantile_map(targets.TARGETS["T-A"].law, x)


def test_a_solve_that_gives_up_says_so():
    with pytest.raises(NotConverged, match="dopri8 at rtol=1e-10.* gave up between t=0 and t=1.*loosen"):
        transport(lambda t, x: x * x, torch.full((1, 1), 2.0, dtype=torch.float64), 0.0, 1.0)  # infinite at t = ½
