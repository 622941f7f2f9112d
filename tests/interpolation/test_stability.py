"""A8: W2 <= refined <= crude, golden values, the cases of equality, and numbers that overflow."""

import math

import pytest
import torch

from cases import generator, normal
from pushforward.distributions import GaussianMixture
from pushforward.errors import InputError
from pushforward.interpolation import MixtureInterpolation, bounds, by_name, lipschitz, stability, targets
from pushforward.interpolation.flow_map import quantile_map, transport
from pushforward.numerics import velocity_and_jacobian

TIMES = torch.linspace(0, 1, 201, dtype=torch.float64)
LINE = torch.linspace(-6, 6, 601, dtype=torch.float64)[:, None]  # holds 0, where the slope is steepest


def wave(x):
    return torch.sin(2 * x)


def oracle(name, target="T-A1"):
    return MixtureInterpolation(targets.TARGETS[target].law, by_name(name))


def end_map(field, rtol=1e-7):
    return lambda z: transport(field, z, 0.0, 1.0, rtol)


GOLDEN = [
    ("linear", torch.ones_like, 0.137789, 0.338283, 2.3777, 4.2376),
    ("trigonometric", torch.ones_like, 0.110759, 0.274144, 1.1522, 3.4039),
    ("foellmer", torch.ones_like, 0.117954, 0.319924, 8676.0, 13.0),
    ("linear", wave, 0.074977, 0.275080, 2.0770, 4.4376),
    ("trigonometric", wave, 0.060920, 0.220054, 0.9791, 3.6039),
    ("foellmer", wave, 0.059099, 0.253643, 7474.0, 13.2),
]


@pytest.mark.parametrize(("name", "u", "w2", "refined", "crude", "constant"), GOLDEN)
def test_golden_table(name, u, w2, refined, crude, constant):
    exact = oracle(name)
    perturbed = stability.Perturbed(exact, 0.1, u)
    errors = stability.errors_on_line(exact, perturbed, TIMES, LINE)
    assert float(errors.one_sided.max()) == pytest.approx(constant, rel=1e-4)
    assert stability.refined(TIMES, errors.squared_error, errors.one_sided) == pytest.approx(refined, rel=1e-3)
    found = stability.crude(TIMES, errors.squared_error, float(errors.one_sided.max()))
    assert found == pytest.approx(crude, rel=1e-3)
    moved = stability.w2_between_monotone_maps(end_map(exact), end_map(perturbed))
    assert moved == pytest.approx(w2, rel=2e-5)


@pytest.mark.parametrize(
    ("name", "u"),
    [("linear", wave), ("trigonometric", torch.ones_like), ("foellmer", wave)],
    ids=["linear", "trigonometric", "foellmer"],
)
def test_w2_is_below_the_refined_bound_below_the_crude_one_at_every_size(name, u):
    exact, rows, etas = oracle(name), [], (0.3, 0.1, 0.03, 0.01)
    z = torch.linspace(-stability.REACH, stability.REACH, stability.NODES, dtype=torch.float64)[:, None]
    end = end_map(exact, 1e-6)(z)
    for eta in etas:
        perturbed = stability.Perturbed(exact, eta, u)
        errors = stability.errors_on_line(exact, perturbed, TIMES[::4], LINE)
        w2 = stability.w2_between_monotone_maps(lambda _: end, end_map(perturbed, 1e-6))
        refined = stability.refined(TIMES[::4], errors.squared_error, errors.one_sided)
        rows.append((w2, refined, stability.crude(TIMES[::4], errors.squared_error, float(errors.one_sided.max()))))
        assert 0 < rows[-1][0] <= rows[-1][1] <= rows[-1][2]
    for last, least in zip(rows[-2], rows[-1], strict=True):
        assert math.log(last / least) / math.log(etas[-2] / etas[-1]) == pytest.approx(1, abs=0.05)


GAUSSIAN = [
    ("linear", 0.5, 0.860817881928),
    ("trigonometric", 0.5, 0.686440250309),
    ("foellmer", 0.5, 0.604599788078),
    ("linear", 2.0, 1.721635763856),
    ("trigonometric", 2.0, 1.372880500618),
    ("foellmer", 2.0, 1.520691992602),
]


@pytest.mark.parametrize(("name", "sigma", "golden"), GAUSSIAN)
def test_a_constant_error_on_gaussian_data_attains_the_refined_bound(name, sigma, golden):
    schedule = by_name(name)
    times = torch.linspace(0, 1, 801, dtype=torch.float64)
    rate = bounds.semi_log_concave(schedule, times, 1 / sigma**2)  # the exact slope of the velocity
    refined = stability.refined(times, torch.full_like(times, 0.01), rate)
    assert refined / 0.1 == pytest.approx(golden, abs=1e-9)
    exact = MixtureInterpolation(GaussianMixture([1.0], [[0.0]], scales=sigma), schedule)
    perturbed = stability.Perturbed(exact, 0.1, torch.ones_like)
    w2 = stability.w2_between_monotone_maps(end_map(exact, 1e-10), end_map(perturbed, 1e-10))
    assert w2 / 0.1 == pytest.approx(golden, abs=1e-8)
    assert w2 <= refined + 1e-9


def test_in_the_plane_the_coupled_distance_is_below_the_bounds():
    exact = oracle("linear", "T-B")
    perturbed = stability.Perturbed(exact, 0.05, lambda x: torch.sin(x.flip(1)))
    errors = stability.errors_on_samples(exact, perturbed, TIMES[::8], 400, generator(1))
    x = normal(400, 2, seed=2)
    moved = (end_map(exact)(x) - end_map(perturbed)(x)).square().sum(1).mean().sqrt()
    refined = stability.refined(errors.times, errors.squared_error, errors.one_sided)
    crude = stability.crude(errors.times, errors.squared_error, float(errors.one_sided.max()))
    assert 0 < moved <= refined <= crude


def test_errors_on_a_line_and_on_samples_agree():
    exact = oracle("foellmer")
    perturbed = stability.Perturbed(exact, 0.1, wave)
    line = stability.errors_on_line(exact, perturbed, TIMES[::50], LINE)
    draws = stability.errors_on_samples(exact, perturbed, TIMES[::50], 20_000, generator(0))
    # sin² has a standard deviation below ½: 4 standard errors of the mean are 0.0015
    torch.testing.assert_close(draws.squared_error, line.squared_error, rtol=0, atol=0.01 * 0.015)
    assert (draws.one_sided <= line.one_sided + 1e-3).all()
    torch.testing.assert_close(draws.one_sided, line.one_sided, rtol=0.02, atol=1e-3)
    # p_t is the exact law at t: at 0 the standard normal, where E sin² 2x = (1 − e^{−8})/2
    assert float(line.squared_error[0]) == pytest.approx(0.01 * (1 - math.exp(-8)) / 2, rel=1e-9)


def test_one_sided_growth_is_that_of_the_symmetric_part():
    def turn(t, x):
        return torch.stack([0.3 * x[:, 0] - 5 * x[:, 1], 5 * x[:, 0] - 2.0 * x[:, 1]], 1)

    errors = stability.errors_on_samples(oracle("linear", "T-A"), turn, TIMES[::100], 10, generator(0))
    torch.testing.assert_close(errors.one_sided, torch.full((3,), 0.3, dtype=torch.float64))


# --- the two bounds as functions ---


@pytest.mark.parametrize("constant", [3.0, 0.5, 1e-9, 0.0, -1e-9, -0.5, -3.0])
def test_errors_that_grow_like_the_flow_make_the_two_bounds_equal(constant):
    errors = torch.exp(2 * constant * (1 - TIMES))  # the case of equality of Cauchy and Schwarz
    refined = stability.refined(TIMES, errors, torch.full_like(TIMES, constant))
    growth = math.expm1(2 * constant) / (2 * constant) if constant else 1.0
    assert refined == pytest.approx(growth, rel=1e-7)
    assert stability.crude(TIMES, errors, constant) == pytest.approx(growth, rel=1e-7)


def test_late_errors_grow_less_than_early_ones():
    rate = torch.full_like(TIMES, 2.0)
    early = stability.refined(TIMES, (1 - TIMES) ** 2, rate)  # ∫ e^{2(1−t)} (1−t) dt = (e² + 1)/4
    late = stability.refined(TIMES, TIMES**2, rate)  # ∫ e^{2(1−t)} t dt = (e² − 3)/4
    assert early == pytest.approx((math.exp(2) + 1) / 4, rel=1e-7)
    assert late == pytest.approx((math.exp(2) - 3) / 4, rel=1e-7)


@pytest.mark.parametrize("constant", [1e-300, 1e-12, 1e-3, 1.0, 30.0, -1e-12, -1.0, -30.0])
def test_log_growth(constant):
    assert stability.log_growth(constant) == pytest.approx(
        math.log(math.expm1(2 * constant) / (2 * constant)), rel=1e-12, abs=1e-14
    )


def test_log_growth_at_zero_and_beyond_the_largest_number():
    assert stability.log_growth(0.0) == 0.0
    assert stability.log_growth(400.0) == pytest.approx(800 - math.log(800), rel=1e-15)
    assert stability.log_growth(1e6) == pytest.approx(2e6 - math.log(2e6), rel=1e-15)
    assert stability.log_growth(-1e6) == pytest.approx(-math.log(2e6), rel=1e-15)


def test_bounds_that_overflow_are_finite_as_logarithms():
    error = torch.full_like(TIMES, 0.04)
    assert stability.log_crude(TIMES, error, 400.0) == pytest.approx((800 - math.log(800)) / 2 + math.log(0.2))
    assert stability.crude(TIMES, error, 400.0) < math.inf  # e^{2C} overflows, its root does not
    assert stability.crude(TIMES, error, 1000.0) == math.inf
    fine = torch.linspace(0, 1, 200_001, dtype=torch.float64)  # the integrand falls by e every 1/1000
    found = stability.log_refined(fine, torch.full_like(fine, 0.04), torch.full_like(fine, 1000.0))
    assert found == pytest.approx(1000 - math.log(1000) + math.log(0.2), rel=1e-9)  # ∫ e^{C(1−t)} = (e^C − 1)/C
    assert stability.refined(fine, torch.full_like(fine, 0.04), torch.full_like(fine, 1000.0)) == math.inf


def test_no_error_no_distance():
    none = torch.zeros_like(TIMES)
    assert stability.crude(TIMES, none, 5.0) == 0.0
    assert stability.refined(TIMES, none, torch.ones_like(TIMES)) == 0.0
    assert stability.log_crude(TIMES, none, 5.0) == -math.inf


@pytest.mark.parametrize(
    ("name", "out", "sharper", "plain"),
    [
        ("vp", 0.00100184, 0.00572452, 0.20558685),
        ("ve", 0.01569407, 0.08901039, 0.80590415),
        ("ve-linear", 0.01569407, 0.08901039, 0.80590415),
    ],
)
def test_golden_source_stability(name, out, sharper, plain):
    schedule, exact = by_name(name), oracle(name)
    constant = lipschitz.mixture(schedule, 0.5, 1.0)
    bound = stability.source(schedule, constant, 1.25)
    assert bound == pytest.approx(plain, abs=5e-9)

    spread = math.sqrt(schedule.a0**2 + schedule.b0**2 / 4)
    law0 = GaussianMixture([0.5, 0.5], [[schedule.b0], [-schedule.b0]], scales=spread)
    sources = stability.w2_between_monotone_maps(lambda z: schedule.a0 * z, lambda z: quantile_map(law0, z))
    assert constant * sources == pytest.approx(sharper, abs=5e-8)

    law1 = targets.TARGETS["T-A1"].law
    w2 = stability.w2_between_monotone_maps(
        lambda z: transport(exact, schedule.a0 * z, 0.0, 1.0), lambda z: quantile_map(law1, z)
    )
    assert w2 == pytest.approx(out, abs=5e-9)
    assert w2 <= constant * sources <= bound


def test_a_source_without_data_costs_nothing():
    assert stability.source(by_name("linear"), 3.0, 1.25) == 0.0


# --- the exact distance on a line, and the perturbed field ---


def test_w2_of_affine_maps_is_the_gaussian_formula():
    w2 = stability.w2_between_monotone_maps(lambda z: 0.3 + 2 * z, lambda z: -0.4 + 0.5 * z)
    assert w2 == pytest.approx(math.hypot(0.7, 1.5), rel=1e-12)
    assert stability.w2_between_monotone_maps(lambda z: z, lambda z: z) == 0.0


def test_golden_distance_from_the_noise_to_the_data():
    law = targets.TARGETS["T-A1"].law
    found = stability.w2_between_monotone_maps(lambda z: z, lambda z: quantile_map(law, z))
    assert found == pytest.approx(0.270649153, abs=1e-9)


EULER = {
    "linear": (0.1237, 0.0632, 0.0320, 0.0161),
    "trigonometric": (0.0123, 0.0056, 0.0027, 0.0013),
    "foellmer": (0.0832, 0.0446, 0.0230, 0.0117),
}


@pytest.mark.parametrize("name", EULER)
def test_golden_discretisation_error_of_euler_steps(name):
    def euler(z, steps):
        for i in range(steps):
            z = z + exact(i / steps, z) / steps
        return z

    exact, law = oracle(name), targets.TARGETS["T-A1"].law
    for steps, golden in zip((8, 16, 32, 64), EULER[name], strict=True):
        found = stability.w2_between_monotone_maps(lambda z, n=steps: euler(z, n), lambda z: quantile_map(law, z))
        assert found == pytest.approx(golden, abs=6e-5)


def test_perturbed_velocity_and_jacobian():
    exact, x = oracle("linear", "T-C"), normal(5, 2)
    perturbed = stability.Perturbed(exact, 0.3, lambda y: torch.sin(2 * y.flip(1)))
    v, gradient = perturbed.velocity_and_jacobian(0.4, x)
    torch.testing.assert_close(v, exact(0.4, x) + 0.3 * torch.sin(2 * x.flip(1)))
    torch.testing.assert_close(perturbed(0.4, x), v)
    torch.testing.assert_close(gradient, velocity_and_jacobian(lambda t, y: perturbed(t, y), 0.4, x)[1])
    extra = gradient - exact.velocity_and_jacobian(0.4, x)[1]
    torch.testing.assert_close(extra[:, 0, 1], 0.6 * torch.cos(2 * x[:, 1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stability.crude(TIMES[:2], TIMES[:2], 1.0), "times has shape \\(2,\\).*linspace"),
        (lambda: stability.crude(TIMES.flip(0), TIMES, 1.0), "increase from 0 to 1"),
        (lambda: stability.crude(TIMES, TIMES[:5], 1.0), "squared_error has shape \\(5,\\), expected \\(201,\\)"),
        (lambda: stability.crude(TIMES, TIMES - 0.5, 1.0), "squared_error has the entry -0.5"),
        (lambda: stability.crude(TIMES, TIMES, math.nan), "constant is nan"),
        (lambda: stability.refined(TIMES, TIMES, TIMES / 0), "one_sided holds NaN or infinite.*t = 0"),
        (lambda: stability.source(by_name("ve"), -1.0, 1.0), "lipschitz is -1"),
        (lambda: stability.source(by_name("ve"), 1.0, -1.0), "second_moment is -1"),
        (lambda: stability.w2_between_monotone_maps(lambda z: z, lambda z: -z), "second does not increase at z = -8"),
        (lambda: stability.w2_between_monotone_maps(lambda z: z[:5], lambda z: z), "first\\(z\\) has shape \\(5, 1\\)"),
        (
            lambda: stability.errors_on_line(oracle("linear"), oracle("linear"), TIMES, LINE / 6),
            "p_t integrates to 0.68.* at t = 0, expected 1",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
