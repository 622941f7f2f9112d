"""The closed forms of A5 are exp of the integrals of A4, hold for every singular value, and are attained."""

import math

import pytest
import torch
from scipy.integrate import quad

from pushforward.errors import InputError
from pushforward.interpolation import SCHEDULES, MixtureInterpolation, bounds, by_name, lipschitz, targets
from pushforward.interpolation.flow_map import transport_with_jacobian

NAMES = list(SCHEDULES)
SLACK = 1e-9


def exp_integral(bound, breaks=()):
    """exp ∫ bound over (0, 1), quad split at ``breaks``."""
    ends = [0.0, *[t for t in breaks if 0 < t < 1], 1.0]
    pieces = [
        quad(lambda t: float(bound(t)), low, high, epsabs=1e-12, epsrel=1e-12, limit=400)[0]
        for low, high in zip(ends, ends[1:], strict=False)
    ]
    return math.exp(math.fsum(pieces))


@pytest.mark.parametrize("name", NAMES)
def test_closed_forms_are_the_integrals_of_the_bounds(name):
    s = by_name(name)
    pairs = [
        (lipschitz.semi_log_concave(s, 0.64), exp_integral(lambda t: bounds.semi_log_concave(s, t, 0.64))),
        (lipschitz.mixture(s, 0.5, 0.8), exp_integral(lambda t: bounds.mixture(s, t, 0.5, 0.8)[1])),
        (lipschitz.log_lipschitz(s, 0.7), exp_integral(lambda t: bounds.log_lipschitz(s, t, 0.7)[1])),
        (lipschitz.reverse_semi_log_convex(s, 4.0), exp_integral(lambda t: -bounds.semi_log_convex(s, t, 4.0))),
        (lipschitz.reverse_mixture(s, 0.5), exp_integral(lambda t: -bounds.mixture(s, t, 0.5, 0.8)[0])),
        (lipschitz.reverse_log_lipschitz(s, 0.7), exp_integral(lambda t: -bounds.log_lipschitz(s, t, 0.7)[0])),
    ]
    for closed, integral in pairs:
        assert closed == pytest.approx(integral, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kappa", "scale"), [(0.0, math.sqrt(2)), (0.0, 1.0), (-1.0, 1.2), (0.3, 1.5), (2.0, 1.0)])
def test_bounded_closed_form_is_the_integral_of_its_two_branches(name, kappa, scale):
    s = by_name(name)
    crossing = bounds.crossing_time(s, kappa, scale) if kappa * scale**2 < 1 else 0.0
    integral = exp_integral(lambda t: bounds.bounded_semi_log_concave(s, t, kappa, scale), [crossing])
    assert lipschitz.bounded_semi_log_concave(s, kappa, scale) == pytest.approx(integral, rel=1e-9)


def test_without_a_crossing_the_bounded_constant_is_the_log_concave_one():
    ve = by_name("ve")  # b_0/a_0 = 1/5, so D > 5 starts on the second branch
    assert lipschitz.bounded_semi_log_concave(ve, 0.0, 6.0) == lipschitz.semi_log_concave(ve, 0.0) == 1.0
    assert lipschitz.bounded_semi_log_concave(ve, 0.0, 4.9) < 1.0


@pytest.mark.parametrize("name", ["linear", "foellmer", "trigonometric"])
def test_golden_constants_of_schedules_from_noise(name):
    s = by_name(name)
    assert lipschitz.mixture(s, 0.5, 1.0) == pytest.approx(0.5 * math.exp(2), rel=1e-13)
    assert lipschitz.mixture(s, 0.5, 1.0) == pytest.approx(3.694528049465, abs=1e-12)
    assert lipschitz.reverse_mixture(s, 0.5) == pytest.approx(2.0, rel=1e-15)
    assert lipschitz.mixture(s, 0.4, 1.4275160095) == pytest.approx(233.187, abs=5e-4)
    assert 1 / lipschitz.reverse_mixture(s, 0.4) == pytest.approx(0.4, rel=1e-14)
    assert lipschitz.mixture(s, 1.0, 0.6) == pytest.approx(math.exp(0.18), rel=1e-13)
    assert lipschitz.semi_log_concave(s, 0.64) == pytest.approx(1.25, rel=1e-15)
    assert lipschitz.bounded_semi_log_concave(s, 0.0, math.sqrt(2)) == pytest.approx(2.331644, abs=5e-7)
    assert lipschitz.bounded_semi_log_concave(s, 0.0, 1.0) == pytest.approx(1.648721, abs=5e-7)
    assert lipschitz.bounded_semi_log_concave(s, -4.0, math.sqrt(2)) == pytest.approx(127.303, abs=5e-4)
    assert lipschitz.bounded_semi_log_concave(s, -4.0, 1.0) == pytest.approx(12.1825, abs=5e-5)
    assert lipschitz.mixture(s, 1.0, 1.5) == pytest.approx(3.080217, abs=5e-7)
    assert lipschitz.log_lipschitz(s, 1.5) == pytest.approx(13.804574, abs=5e-7)


def test_golden_constants_of_schedules_that_start_with_data():
    vp, ve, ve_linear = by_name("vp"), by_name("ve"), by_name("ve-linear")
    assert lipschitz.mixture(vp, 0.5, 1.0) == pytest.approx(3.693378168818, abs=1e-12)
    assert 1 / lipschitz.reverse_mixture(vp, 0.5) == pytest.approx(0.500465415, abs=5e-10)
    assert lipschitz.reverse_mixture(vp, 0.5) == pytest.approx(1.998140071, abs=5e-10)
    for s in (ve, ve_linear):
        assert lipschitz.mixture(s, 0.5, 1.0) == pytest.approx(0.720822585951, abs=1e-12)
        assert lipschitz.reverse_mixture(s, 0.5) == pytest.approx(10.049875621, abs=5e-10)
        assert lipschitz.bounded_semi_log_concave(s, 0.0, math.sqrt(2)) == pytest.approx(0.448043783, abs=5e-10)
    assert lipschitz.bounded_semi_log_concave(vp, 0.0, math.sqrt(2)) == pytest.approx(2.328745227, abs=5e-10)


BOTH_WAYS = {  # target: pairs (reverse, forward) of constants that hold for it
    "T-B": lambda s: [(lipschitz.reverse_mixture(s, 0.4), lipschitz.mixture(s, 0.4, 1.4275160095))],
    "T-D": lambda s: [
        (lipschitz.reverse_semi_log_convex(s, 1.0), lipschitz.semi_log_concave(s, 0.64)),
        (lipschitz.reverse_log_lipschitz(s, 0.6), lipschitz.log_lipschitz(s, 0.6)),
    ],
    "T-H": lambda s: [(lipschitz.reverse_log_lipschitz(s, 1.5), lipschitz.log_lipschitz(s, 1.5))],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", BOTH_WAYS)
def test_singular_values_of_the_flow_map_stay_between_the_constants(name, target):
    schedule = by_name(name)
    oracle = MixtureInterpolation(targets.TARGETS[target].law, schedule)
    axis = torch.linspace(-3, 3, 9, dtype=torch.float64) * math.hypot(schedule.a0, schedule.b0)
    x = torch.cartesian_prod(*[axis] * oracle.dim).reshape(-1, oracle.dim)
    singular = torch.linalg.svdvals(transport_with_jacobian(oracle, x, 0.0, 1.0)[1])
    for reverse, forward in BOTH_WAYS[target](schedule):
        assert singular.max() <= forward + SLACK
        assert singular.min() >= 1 / reverse - SLACK


@pytest.mark.parametrize("name", ["linear", "foellmer", "vp", "ve"])
@pytest.mark.parametrize(("target", "kappa"), [("T-U", 0.0), ("T-E", -4.0)])
def test_the_bounded_constants_hold_on_an_interval(name, target, kappa):
    schedule = by_name(name)
    oracle = targets.TARGETS[target].make(schedule)
    x = math.hypot(schedule.a0, schedule.b0) * torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    slope = float(transport_with_jacobian(oracle, x, 0.0, 0.999, rtol=1e-4)[1].max())
    assert slope <= lipschitz.bounded_semi_log_concave(schedule, kappa, 1.0)
    assert slope <= lipschitz.bounded_semi_log_concave(schedule, kappa, math.sqrt(2))


@pytest.mark.parametrize("name", NAMES)
def test_gaussians_attain_both_convexity_constants(name):
    schedule = by_name(name)
    oracle = MixtureInterpolation(targets.TARGETS["T-G"].law, schedule)
    jacobian = transport_with_jacobian(oracle, torch.tensor([[0.4, -1.0]], dtype=torch.float64), 0.0, 1.0)[1][0]
    ends = [lipschitz.semi_log_concave(schedule, 0.25), 1 / lipschitz.reverse_semi_log_convex(schedule, 4.0)]
    torch.testing.assert_close(jacobian, torch.diag(torch.tensor(ends, dtype=torch.float64)), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_two_equal_means_attain_the_mixture_constants_at_the_origin(name):
    schedule = by_name(name)
    oracle = MixtureInterpolation(targets.TARGETS["T-A"].law, schedule)
    jacobian = transport_with_jacobian(oracle, torch.zeros(1, 2, dtype=torch.float64), 0.0, 1.0)[1][0]
    ends = [lipschitz.mixture(schedule, 0.5, 1.0), 1 / lipschitz.reverse_mixture(schedule, 0.5)]
    torch.testing.assert_close(jacobian, torch.diag(torch.tensor(ends, dtype=torch.float64)), rtol=0, atol=1e-9)


def test_golden_singular_values_of_the_three_component_map():
    oracle = MixtureInterpolation(targets.TARGETS["T-B"].law, by_name("trigonometric"))
    axis = torch.linspace(-3, 3, 31, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    singular = torch.linalg.svdvals(transport_with_jacobian(oracle, x, 0.0, 1.0, rtol=1e-7)[1])
    assert float(singular.max()) == pytest.approx(21.4936, abs=1e-3)
    assert float(singular.min()) == pytest.approx(0.40359, abs=1e-5)
    torch.testing.assert_close(x[singular[:, 0].argmax()], torch.tensor([0.0, -1.2], dtype=torch.float64))


def test_a_constant_that_overflows_is_infinite():
    assert lipschitz.mixture(by_name("linear"), 0.01, 1.0) == math.inf
    assert lipschitz.log_lipschitz(by_name("linear"), 50.0) == math.inf


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: lipschitz.semi_log_concave(s, 0.0), "kappa a_0² \\+ b_0² is 0"),
        (lambda s: lipschitz.semi_log_concave(s, -1.0), "is -1, expected a positive number"),
        (lambda s: lipschitz.semi_log_concave(s, math.nan), "kappa is nan"),
        (lambda s: lipschitz.bounded_semi_log_concave(s, 0.0, 0.0), "half_diameter is 0"),
        (lambda s: lipschitz.bounded_semi_log_concave(s, 0.0, -1.0), "half_diameter is -1"),
        (lambda s: lipschitz.mixture(s, 0.0, 1.0), "sigma is 0"),
        (lambda s: lipschitz.mixture(s, 1.0, -1.0), "radius is -1"),
        (lambda s: lipschitz.log_lipschitz(s, -0.5), "constant is -0.5"),
        (lambda s: lipschitz.reverse_semi_log_convex(s, 0.0), "beta is 0"),
        (lambda s: lipschitz.reverse_mixture(s, -1.0), "sigma is -1"),
        (lambda s: lipschitz.reverse_log_lipschitz(s, -1.0), "constant is -1"),
    ],
)
def test_outside_its_range_a_constant_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(by_name("linear"))


def test_a_source_that_holds_data_widens_the_range_of_kappa():
    assert lipschitz.semi_log_concave(by_name("ve"), -0.03) == pytest.approx(2.0, rel=1e-14)  # 1 − 25·0.03 = 1/4
