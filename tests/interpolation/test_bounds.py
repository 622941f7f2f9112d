"""Every bound of A4: never violated on grids, attained where the theorem says so, refused where it does not hold."""

import math

import pytest
import torch

from pushforward.distributions import GaussianMixture
from pushforward.errors import InputError
from pushforward.interpolation import SCHEDULES, MixtureInterpolation, Schedule, bounds, by_name, targets

SLACK = 1e-9
NAMES = list(SCHEDULES)
FROM_NOISE = ["linear", "foellmer", "trigonometric"]
TIMES = torch.linspace(0, 1, 21, dtype=torch.float64)
EARLY = TIMES[:-1]  # where a > 0


def law(name):
    return targets.TARGETS[name].law


def covering(oracle, t, centres, side):
    """A side x side grid over the bulk of p_t, and b times the points ``centres``."""
    a, b = float(oracle.schedule.a(t)), float(oracle.schedule.b(t))
    reach = 4 * a + b * float(oracle.law.means.abs().max() + 4 * oracle.law.roots.abs().max())
    axis = torch.linspace(-reach, reach, side, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * oracle.dim).reshape(-1, oracle.dim)
    return torch.cat([grid, b * centres])


def spectrum(oracle, times, side=25):
    """Least and largest eigenvalue of ∇v over space, at each time [k], [k]."""
    means = oracle.law.means
    centres = ((means[:, None] + means[None]) / 2).flatten(0, 1)
    found = []
    for t in times:
        gradient = oracle.velocity_and_jacobian(t, covering(oracle, t, centres, side))[1]
        eigenvalues = torch.linalg.eigvalsh(gradient)
        found.append((eigenvalues.min(), eigenvalues.max()))
    low, high = zip(*found, strict=True)
    return torch.stack(low), torch.stack(high)


@pytest.mark.parametrize("schedule", NAMES)
@pytest.mark.parametrize(
    ("name", "sigma", "radius", "beta", "kappa"),
    [
        ("T-A", 0.5, 1.0, 4.0, -12.0),
        ("T-A1", 0.5, 1.0, 4.0, -12.0),
        ("T-B", 0.4, 1.4275160095, 6.25, None),
        ("T-C", None, None, 1 / (0.3 - math.sqrt(0.02)), None),
        ("T-D", 1.0, 0.6, 1.0, 0.64),
        ("T-G", None, None, 4.0, 0.25),
        ("T-H", 1.0, 1.5, 1.0, -1.25),
    ],
)
def test_no_bound_on_a_mixture_is_violated(schedule, name, sigma, radius, beta, kappa):
    schedule = by_name(schedule)
    low, high = spectrum(MixtureInterpolation(law(name), schedule), TIMES)
    assert (low >= bounds.semi_log_convex(schedule, TIMES, beta) - SLACK).all()
    if sigma is not None:
        lower, upper = bounds.mixture(schedule, TIMES, sigma, radius)
        assert (low >= lower - SLACK).all()
        assert (high <= upper + SLACK).all()
    if kappa is not None:
        valid = TIMES > bounds.first_valid_time(schedule, kappa)
        assert valid.any()
        assert (high[valid] <= bounds.semi_log_concave(schedule, TIMES[valid], kappa) + SLACK).all()
    if sigma == 1.0:  # then |μ| is a log-Lipschitz constant
        lower, upper = bounds.log_lipschitz(schedule, EARLY, radius)
        assert (low[:-1] >= lower - SLACK).all()
        assert (high[:-1] <= upper + SLACK).all()


@pytest.mark.parametrize("schedule", NAMES)
@pytest.mark.parametrize(("name", "kappa"), [("T-U", 0.0), ("T-E", -4.0)])
def test_no_bound_on_an_interval_is_violated(schedule, name, kappa):
    schedule = by_name(schedule)
    oracle = targets.TARGETS[name].make(schedule)
    low, high = [], []
    for t in EARLY:
        reach = float(4 * schedule.a(t) + schedule.b(t))
        gradient = oracle.velocity_and_jacobian(t, torch.linspace(-reach, reach, 101, dtype=torch.float64)[:, None])[1]
        low.append(gradient.min())
        high.append(gradient.max())
    low, high = torch.stack(low), torch.stack(high)
    for half_diameter in (1.0, math.sqrt(2)):  # the sharper constant, and the paper's
        lower, upper = bounds.bounded_support(schedule, EARLY, half_diameter)
        assert (low >= lower - SLACK * (1 + lower.abs())).all()
        assert (high <= upper + SLACK).all()
        assert (high <= bounds.bounded_semi_log_concave(schedule, EARLY, kappa, half_diameter) + SLACK).all()


@pytest.mark.parametrize("schedule", NAMES)
def test_two_equal_means_attain_the_mixture_bounds_at_the_origin(schedule):
    schedule = by_name(schedule)
    oracle = MixtureInterpolation(law("T-A"), schedule)
    for t in TIMES:
        gradient = oracle.velocity_and_jacobian(t, torch.zeros(1, 2, dtype=torch.float64))[1][0]
        lower, upper = bounds.mixture(schedule, t, 0.5, 1.0)
        expected = torch.diag(torch.stack([upper, lower]))  # the upper one along the means
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("schedule", NAMES)
def test_gaussians_attain_the_log_concave_and_log_convex_bounds(schedule):
    schedule = by_name(schedule)
    oracle = MixtureInterpolation(law("T-G"), schedule)  # covariance diag(4, 1/4)
    for t in TIMES:
        gradient = oracle.velocity_and_jacobian(t, torch.tensor([[0.3, -2.0]], dtype=torch.float64))[1][0]
        ends = [bounds.semi_log_concave(schedule, t, 0.25), bounds.semi_log_convex(schedule, t, 4.0)]
        torch.testing.assert_close(gradient, torch.diag(torch.stack(ends)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("schedule", NAMES)
def test_a_point_and_the_normal_law_attain_theirs(schedule):
    schedule = by_name(schedule)
    lower, upper = bounds.bounded_support(schedule, EARLY, 0.0)
    expected = schedule.aa_prime(EARLY) / schedule.a2(EARLY)
    torch.testing.assert_close(lower, expected, rtol=1e-15, atol=0)
    torch.testing.assert_close(upper, expected, rtol=1e-15, atol=0)
    lower, upper = bounds.log_lipschitz(schedule, EARLY, 0.0)
    normal = bounds.semi_log_concave(schedule, EARLY, 1.0)
    torch.testing.assert_close(lower, normal, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(upper, normal, rtol=1e-14, atol=1e-14)


def test_log_lipschitz_bounds_by_hand():
    ends = bounds.log_lipschitz(by_name("linear"), 0.5, 1.0)  # a = b = ½, w = ½, r² = ½: 0 ∓ 1·(1 + √2)
    torch.testing.assert_close(torch.stack(ends), torch.tensor([-1, 1]) * (1 + math.sqrt(2)), check_dtype=False)
    ends = bounds.log_lipschitz(by_name("ve"), 0.96, 3.0)  # a = b = 1, aa' = −12.5, w = 12.5: −6.25 ∓ 3.125 (9 + 3√2)
    expected = -6.25 + torch.tensor([-1, 1]) * 3.125 * (9 + 3 * math.sqrt(2))
    torch.testing.assert_close(torch.stack(ends), expected, check_dtype=False)


GOLDEN = {
    "linear": [
        (-1.189189189189, -0.628195763331),
        (-1.2, 1.36),
        (-0.307692307692, 4.236686390533),
        (0.588235294118, 2.581314878893),
        (1, 1),
    ],
    "foellmer": [
        (-0.196721311475, 0.078473528621),
        (-0.461538461538, 0.295857988166),
        (-0.972972972973, 1.271000730460),
        (-1.719745222930, 4.122276765792),
        (-3, 13),
    ],
    "trigonometric": [
        (-0.467913538903, 0.232950557572),
        (-0.942477796077, 1.068141502221),
        (-1.157531438472, 3.131588395596),
        (-0.678306141171, 2.691902019454),
        (0, 0),
    ],
    "vp": [
        (-0.025205245954, 0.008684106173),
        (-0.116366047084, 0.044806929879),
        (-0.602944124655, 0.362555427088),
        (-2.098648022197, 2.657026461209),
        (-9, 39),
    ],
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_eigenvalues(name):
    expected = torch.tensor(GOLDEN[name], dtype=torch.float64)
    times = torch.tensor([0.25, 0.5, 0.75, 0.9, 1.0], dtype=torch.float64)
    lower, upper = bounds.mixture(by_name(name), times, 0.5, 1.0)
    torch.testing.assert_close(torch.stack([lower, upper], 1), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "sigma", "radius", "value", "time"),
    [
        ("linear", 0.5, 1.0, 4.237619, 0.7467),
        ("trigonometric", 0.5, 1.0, 3.403874, 0.81505),
        ("foellmer", 0.5, 1.0, 13.0, 1.0),
        ("vp", 0.5, 1.0, 39.0, 1.0),
        ("ve", 0.5, 1.0, 150.0, 1.0),
        ("ve-linear", 0.5, 1.0, 8.800863, 0.9495),
        ("linear", 0.4, 1.4275160095, 15.817566, 0.77544),
        ("trigonometric", 0.4, 1.4275160095, 15.704575, 0.8489),
        ("foellmer", 0.4, 1.4275160095, 74.3516, 1.0),
    ],
)
def test_golden_peaks(name, sigma, radius, value, time):
    peak = bounds.peak(lambda t: bounds.mixture(by_name(name), t, sigma, radius)[1])
    digits = 5e-5 if value > 70 else 5e-7
    assert peak.value == pytest.approx(value, abs=digits)
    assert peak.time == pytest.approx(time, abs=1e-4)


def test_a_peak_between_two_grid_times_is_found_and_one_at_the_end_kept():
    peak = bounds.peak(lambda t: -((t - 0.12345) ** 2))
    assert peak.time == pytest.approx(0.12345, abs=1e-7)
    assert peak.value > -1e-13
    assert bounds.peak(lambda t: t, 0.2, 0.7) == bounds.Peak(0.7, 0.7)
    with pytest.raises(InputError, match="first and last are 0.7 and 0.2"):
        bounds.peak(lambda t: t, 0.7, 0.2)


@pytest.mark.parametrize(
    ("name", "largest", "kappa_bound", "beta_bound"),
    [
        ("linear", 0.36, 0.4390243902, 0.0),
        ("foellmer", 0.18, 0.2465753425, 0.0),
        ("trigonometric", 0.2827433388, 0.3448089498, 0.0),
    ],
)
def test_golden_log_concave_mixture(name, largest, kappa_bound, beta_bound):
    schedule = by_name(name)
    oracle = MixtureInterpolation(law("T-D"), schedule)
    gradient = oracle.velocity_and_jacobian(0.5, torch.zeros(1, oracle.dim, dtype=torch.float64))[1]
    assert float(torch.linalg.eigvalsh(gradient).max()) == pytest.approx(largest, abs=1e-10)
    assert float(bounds.semi_log_concave(schedule, 0.5, 0.64)) == pytest.approx(kappa_bound, abs=1e-10)
    assert float(bounds.semi_log_convex(schedule, 0.5, 1.0)) == pytest.approx(beta_bound, abs=1e-10)


CLOSED = {
    "linear": lambda s: s / (1 + s),
    "foellmer": lambda s: s / math.sqrt(1 + s * s),
    "trigonometric": lambda s: 2 / math.pi * math.atan(s),
}


@pytest.mark.parametrize(
    ("name", "golden"), [("linear", 0.775990762260), ("foellmer", 0.960768922831), ("trigonometric", 0.821087624978)]
)
def test_first_valid_time(name, golden):
    assert bounds.first_valid_time(by_name(name), -12.0) == pytest.approx(golden, abs=1e-12)
    for kappa in (-0.01, -1.0, -300.0):
        expected = CLOSED[name](math.sqrt(-kappa))
        assert bounds.first_valid_time(by_name(name), kappa) == pytest.approx(expected, abs=1e-12)
    assert bounds.first_valid_time(by_name(name), 0.0) == 0.0
    assert bounds.first_valid_time(by_name(name), 2.0) == 0.0


def test_first_valid_time_of_schedules_that_start_with_data_in_them():
    assert bounds.first_valid_time(by_name("ve"), -1 / 30) == 0.0  # b_0/a_0 = 1/5 already
    assert bounds.first_valid_time(by_name("ve"), -12.0) == pytest.approx(1 - 1 / 300, abs=1e-13)  # 25(1 − t) = 1/12
    assert bounds.first_valid_time(by_name("ve-linear"), -4.0) == pytest.approx(0.9, abs=1e-13)
    expected = 1 + math.log(12 / 13) / 6  # e^{−6(1−t)} = 12/13
    assert bounds.first_valid_time(by_name("vp"), -12.0) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_rises_to_infinity_at_its_first_valid_time(name):
    schedule = by_name(name)
    start = bounds.first_valid_time(schedule, -12.0)
    near = [float(bounds.semi_log_concave(schedule, start + step, -12.0)) for step in (1e-4, 1e-7, 1e-10)]
    assert near[0] < near[1] < near[2]
    assert near[2] == pytest.approx(0.5e10, rel=1e-4)  # (log √(t − t_0))' = ½/(t − t_0), whatever the schedule
    with pytest.raises(InputError, match="κ a² \\+ b² ≤ 0 for κ=-12.*first_valid_time"):
        bounds.semi_log_concave(schedule, torch.tensor([start + 1e-4, start - 1e-6]), -12.0)


def test_golden_bound_after_the_first_valid_time():
    assert float(bounds.semi_log_concave(by_name("linear"), 0.887995, -12.0)) == pytest.approx(3.4985, abs=1e-4)
    assert float(bounds.mixture(by_name("linear"), 0.887995, 0.5, 1.0)[1]) == pytest.approx(2.7868, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "paper", "sharper"),
    [
        ("linear", 0.4142135624, 0.5),
        ("foellmer", 0.5773502692, 0.7071067812),
        ("trigonometric", 0.3918265520, 0.5),
    ],
)
def test_crossing_time(name, paper, sharper):
    schedule = by_name(name)
    assert bounds.crossing_time(schedule, 0.0, math.sqrt(2)) == pytest.approx(paper, abs=1e-10)
    assert bounds.crossing_time(schedule, 0.0, 1.0) == pytest.approx(sharper, abs=1e-10)
    for kappa, scale in ((-4.0, 1.0), (0.3, 0.8)):
        expected = CLOSED[name](math.sqrt(1 / scale**2 - kappa))
        assert bounds.crossing_time(schedule, kappa, scale) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kappa", "scale"), [(-4.0, 1.0), (-1.0, 1.4), (0.2, 2.0)])
def test_the_two_branches_meet_at_the_crossing_and_the_smaller_one_is_taken(name, kappa, scale):
    schedule = by_name(name)
    crossing = bounds.crossing_time(schedule, kappa, scale)
    late = EARLY[EARLY > crossing]
    torch.testing.assert_close(
        bounds.bounded_semi_log_concave(schedule, late, kappa, scale),
        torch.minimum(bounds.bounded_support(schedule, late, scale)[1], bounds.semi_log_concave(schedule, late, kappa)),
    )
    if crossing > 0:
        before = bounds.bounded_support(schedule, crossing, scale)[1]
        after = bounds.semi_log_concave(schedule, crossing, kappa)
        assert float(before) == pytest.approx(float(after), rel=1e-10)
        early = EARLY[EARLY < crossing]
        torch.testing.assert_close(
            bounds.bounded_semi_log_concave(schedule, early, kappa, scale),
            bounds.bounded_support(schedule, early, scale)[1],
            rtol=0,
            atol=0,
        )


def test_the_crossing_is_at_the_start_where_the_source_holds_enough_data():
    assert bounds.crossing_time(by_name("ve"), 0.0, 6.0) == 0.0  # 1/D² = 1/36 < b_0²/a_0² = 1/25
    assert bounds.crossing_time(by_name("ve"), 0.0, 4.0) > 0.0


def test_a_strongly_concave_bounded_law_has_one_branch_only():
    schedule = by_name("linear")
    with pytest.raises(InputError, match="kappa D² is 2.*semi_log_concave alone"):
        bounds.crossing_time(schedule, 2.0, 1.0)
    torch.testing.assert_close(
        bounds.bounded_semi_log_concave(schedule, TIMES, 2.0, 1.0),
        bounds.semi_log_concave(schedule, TIMES, 2.0),
        rtol=0,
        atol=0,
    )


def test_times_keep_their_shape_and_answers_are_float64():
    t = torch.rand(2, 3)
    for bound in (
        bounds.semi_log_convex(by_name("linear"), t, 2.0),
        *bounds.mixture(by_name("linear"), t, 0.5, 1.0),
        bounds.bounded_semi_log_concave(by_name("linear"), t, -1.0, 1.0),
    ):
        assert bound.shape == (2, 3)
        assert bound.dtype == torch.float64
    assert bounds.semi_log_convex(by_name("linear"), 0.5, 2.0).shape == ()
    assert bounds.bounded_semi_log_concave(by_name("linear"), 0.5, -1.0, 1.0).shape == ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: bounds.bounded_support(s, 0.5, -1.0), "half_diameter is -1.*>= 0"),
        (lambda s: bounds.bounded_support(s, torch.tensor([0.5, 1.0]), 1.0), "t is 1.*below 1"),
        (lambda s: bounds.bounded_semi_log_concave(s, 0.5, 0.0, 0.0), "half_diameter is 0.*> 0"),
        (lambda s: bounds.semi_log_convex(s, 0.5, 0.0), "beta is 0.*> 0"),
        (lambda s: bounds.semi_log_convex(s, 1.5, 1.0), "t is 1.5.*\\[0, 1\\]"),
        (lambda s: bounds.semi_log_concave(s, -0.1, 1.0), "t is -0.1"),
        (lambda s: bounds.semi_log_concave(s, 0.0, 0.0), "t is 0.*first_valid_time"),
        (lambda s: bounds.semi_log_concave(s, 0.5, math.nan), "kappa is nan"),
        (lambda s: bounds.mixture(s, 0.5, 0.0, 1.0), "sigma is 0"),
        (lambda s: bounds.mixture(s, 0.5, 1.0, -1.0), "radius is -1"),
        (lambda s: bounds.mixture(s, math.nan, 1.0, 1.0), "t is nan"),
        (lambda s: bounds.log_lipschitz(s, 0.5, -1.0), "constant is -1"),
        (lambda s: bounds.log_lipschitz(s, 1.0, 1.0), "t is 1.*below 1"),
        (lambda s: bounds.crossing_time(s, 0.0, -1.0), "half_diameter is -1"),
        (lambda s: bounds.first_valid_time(s, math.inf), "kappa is inf"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_outside_its_range_a_bound_is_refused(name, call, message):
    schedule = by_name(name)
    if "t is 0" in message and schedule.b0 > 0:
        assert torch.isfinite(call(schedule)).all()  # with data in the source κ = 0 is valid from the start
        return
    with pytest.raises(InputError, match=message):
        call(schedule)


def test_a_schedule_of_ones_own_has_bounds_too():
    own = Schedule(
        "cubic", lambda t: (1 - t) ** 2, lambda t: t - 1, lambda t: t**3, lambda t: 3 * t**2
    )  # b/a = t³/(1 − t)
    start = bounds.first_valid_time(own, -1.0)
    assert start**3 == pytest.approx(1 - start, abs=1e-12)
    oracle = MixtureInterpolation(GaussianMixture([0.5, 0.5], [[1.0], [-1.0]], scales=0.5), own)
    for t in TIMES:
        gradient = oracle.velocity_and_jacobian(t, torch.zeros(1, 1, dtype=torch.float64))[1]
        assert float(gradient) == pytest.approx(float(bounds.mixture(own, t, 0.5, 1.0)[1]), abs=1e-12)
