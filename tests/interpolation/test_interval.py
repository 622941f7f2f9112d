"""Laws on an interval: closed forms of the uniform one, identities, narrow posteriors, limits."""

import math

import pytest
import torch

from pushforward.errors import InputError
from pushforward.interpolation import SCHEDULES, IntervalInterpolation, bimodal, interval, uniform
from pushforward.numerics import velocity_and_jacobian

NAMES = list(SCHEDULES)
LAWS = [uniform, bimodal]
TIMES = [0.0, 0.05, 0.3, 0.5, 0.8, 0.95, 0.99]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def close(found, wanted, tolerance):
    assert float((found - wanted).abs().max()) <= tolerance


def log_mass(low, high):
    """log(Φ(high) − Φ(low)), from the tail that loses no digits."""
    low, high = torch.where(low > 0, -high, low), torch.where(low > 0, -low, high)
    log_low, log_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    return log_high + torch.log(-torch.expm1(log_low - log_high))


def uniform_log_prob(at, x):
    """The uniform law on [−1, 1] scaled by b and blurred by a: (Φ((x + b)/a) − Φ((x − b)/a)) / 2b."""
    a = at.a2.sqrt()
    return log_mass((x - at.b) / a, (x + at.b) / a) - torch.log(2 * at.b)


@pytest.mark.parametrize("schedule", NAMES)
def test_uniform_against_the_closed_form(schedule):
    exact = uniform(SCHEDULES[schedule])
    for t in (0.05, 0.3, 0.5, 0.8, 0.95, 0.999):
        at = exact.schedule.at(t)
        a = float(at.a2.sqrt())
        x = torch.cat([exact.sample(t, 40, rng(), torch.float64), float(at.b) + a * column(-3.0, 0.0, 2.0, 6.0)])
        y = x[:, 0].clone().requires_grad_()
        log_p = uniform_log_prob(at, y)
        (score,) = torch.autograd.grad(log_p.sum(), y)
        close(exact.log_prob(t, x), log_p.detach(), 1e-11)
        close(exact.score(t, x)[:, 0], score, 1e-10 / a)
        close(exact(t, x)[:, 0], (at.b_prime * y + exact.schedule.w(t) * score).detach() / at.b, 1e-9)


def test_golden_gradient_of_the_uniform_law():
    _, jacobian = uniform(SCHEDULES["linear"]).velocity_and_jacobian(0.5, column(0.0))
    assert jacobian.shape == (1, 1, 1)
    assert float(jacobian) == pytest.approx(-0.8354996209, abs=1e-10)


@pytest.mark.parametrize("schedule", NAMES)
@pytest.mark.parametrize("law", LAWS)
def test_identities(law, schedule):
    """A1 and A3, on the answers themselves."""
    exact = law(SCHEDULES[schedule])
    for t in TIMES:
        at, x = exact.schedule.at(t), exact.sample(t, 50, rng(), torch.float64)
        v, s, m = exact(t, x), exact.score(t, x), exact.posterior_mean(t, x)
        rate, w = at.aa_prime / at.a2, exact.schedule.w(t)
        close(v, rate * x + (at.b_prime - rate * at.b) * m, 1e-9)
        close(s, (at.b * m - x) / at.a2, 1e-9)
        covariance = exact.posterior_covariance(t, x)
        wanted = at.b**2 / at.a2**2 * covariance - 1 / at.a2
        close(exact.hessian(t, x), wanted, 1e-9 * float(1 + wanted.abs().max()))
        wanted = rate + at.b * w / at.a2**2 * covariance
        u, jacobian = exact.velocity_and_jacobian(t, x)
        close(jacobian, wanted, 1e-9 * float(1 + wanted.abs().max()))
        close(u, v, 0.0)
        close(exact.velocity_and_divergence(t, x)[1], jacobian[:, 0, 0], 0.0)


@pytest.mark.parametrize("schedule", NAMES)
@pytest.mark.parametrize("law", LAWS)
def test_derivatives_are_those_of_autograd(law, schedule):
    exact = law(SCHEDULES[schedule])
    for t in TIMES:
        x = exact.sample(t, 20, rng(1), torch.float64)
        _, jacobian = exact.velocity_and_jacobian(t, x)
        close(jacobian, velocity_and_jacobian(lambda t, y, f=exact: f(t, y), t, x)[1], 1e-7)
        y = x.clone().requires_grad_()
        (score,) = torch.autograd.grad(exact.log_prob(t, y).sum(), y)
        close(exact.score(t, x), score, 1e-8)


@pytest.mark.parametrize("schedule", NAMES)
@pytest.mark.parametrize("law", LAWS)
def test_continuity_equation(law, schedule):
    exact, h = law(SCHEDULES[schedule]), 3e-5
    for t in (0.05, 0.3, 0.5, 0.8):
        x = exact.sample(t, 50, rng(), torch.float64)
        near, far = (exact.log_prob(t + step, x) - exact.log_prob(t - step, x) for step in (h, 2 * h))
        v, divergence = exact.velocity_and_divergence(t, x)
        close((8 * near - far) / (12 * h) + (v * exact.score(t, x)).sum(1) + divergence, 0.0, 1e-6)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("schedule", NAMES)
def test_marginals_integrate_to_one(law, schedule):
    exact = law(SCHEDULES[schedule])
    for t in (0.0, 0.5, 0.95):
        box = exact.box(t)
        x, volume = box.grid(box.width / 2)
        assert volume * float(exact.log_prob(t, x).exp().sum()) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("schedule", NAMES)
def test_limits_at_the_data(schedule):
    """At t = 1, log ρ = 2x² − log ∫ e^{2y²}: slope 4x, curvature 4."""
    exact, x = bimodal(SCHEDULES[schedule]), column(-0.9, -0.3, 0.0, 0.5)
    at = exact.schedule.at(1.0)
    mass = torch.trapezoid(torch.exp(2 * torch.linspace(-1, 1, 20001, dtype=torch.float64) ** 2), dx=1e-4)
    close(exact.log_prob(1.0, x), 2 * x[:, 0] ** 2 - mass.log(), 1e-7)
    close(exact.score(1.0, x), 4 * x, 1e-12)
    close(exact(1.0, x), at.b_prime * x - at.aa_prime * 4 * x, 1e-12)
    close(exact.velocity_and_jacobian(1.0, x)[1], at.b_prime - 4 * at.aa_prime, 1e-12)
    close(exact.hessian(1.0, x), 4.0, 1e-12)
    close(exact.posterior_mean(1.0, x), x, 0.0)
    near = 1 - 1e-6
    for method in (exact, exact.score, exact.posterior_mean, exact.posterior_covariance):
        close(method(1.0, x), method(near, x), 1e-3 + 300 * float(exact.schedule.a2(near)))
    close(exact.velocity_and_jacobian(1.0, x)[1], exact.velocity_and_jacobian(near, x)[1], 3e-2)
    assert exact.log_prob(1.0, column(-1.01, 1.01)).tolist() == [-math.inf, -math.inf]


@pytest.mark.parametrize("schedule", ["linear", "foellmer", "trigonometric"])
def test_limits_at_the_noise(schedule):
    exact, x = bimodal(SCHEDULES[schedule]), column(-2.0, 0.1, 1.5)
    close(exact.score(0.0, x), -x, 1e-13)
    close(exact.posterior_mean(0.0, x), 0.0, 1e-13)
    close(exact.log_prob(0.0, x), -0.5 * x[:, 0] ** 2 - 0.5 * math.log(2 * math.pi), 1e-12)
    at = exact.schedule.at(0.0)
    close(exact(0.0, x), at.aa_prime / at.a2 * x, 1e-13)


def test_the_posterior_is_followed_where_it_is_narrow():
    """Far outside, X_1 crowds against the end with mean distance a²/(b·(x − b)) to leading order."""
    for t in (0.9, 0.99, 0.999, 0.99999):
        exact = uniform(SCHEDULES["linear"])
        a, x = 1 - t, t + 200 * (1 - t)
        gap = 1 - float(exact.posterior_mean(t, column(x)))
        assert gap == pytest.approx(a**2 / (t * (x - t)), rel=1e-3)
    close(exact.posterior_mean(0.99999, column(0.25)), 0.25 / 0.99999, 1e-12)


def test_another_interval():
    """y in [0, 2] with density ∝ e^{−y}: shifting and scaling the interval is shifting and scaling the points."""
    schedule = SCHEDULES["linear"]
    plain = IntervalInterpolation(lambda y: -y, schedule, 0.0, 2.0)
    moved = IntervalInterpolation(lambda y: -(y + 1), schedule)
    x = column(0.3, -0.2, 1.7)
    for t in (0.2, 0.7, 0.97):
        close(plain(t, x), moved(t, x - t) + 1, 1e-11)  # b' = 1
        close(plain.log_prob(t, x), moved.log_prob(t, x - t), 1e-11)


@pytest.mark.parametrize("law", LAWS)
def test_samples_have_the_moments(law):
    exact, n = law(SCHEDULES["trigonometric"]), 100_000
    grid = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    p = exact.log_prob(1.0, grid[:, None]).exp()
    fourth = float(torch.trapezoid(p * grid**4, grid))
    data = exact.sample(1.0, n, rng(2), torch.float64)
    assert float(data.abs().max()) <= 1
    assert abs(float(data.mean())) < 4 * float(data.std()) / math.sqrt(n)
    assert float((data**4).mean()) == pytest.approx(fourth, abs=4 * float((data**4).std()) / math.sqrt(n))
    noise = exact.sample(torch.zeros(n), n, rng(3))
    assert noise.dtype == torch.float32
    assert float(noise.var()) == pytest.approx(1.0, abs=0.02)


def test_shapes_times_and_chunks(monkeypatch):
    exact = bimodal(SCHEDULES["foellmer"])
    x, times = exact.sample(0.5, 9, rng(), torch.float64), torch.linspace(0, 1, 9, dtype=torch.float64)
    methods = [
        exact,
        exact.log_prob,
        exact.score,
        exact.posterior_mean,
        exact.hessian,
        exact.posterior_covariance,
        lambda t, x: exact.velocity_and_jacobian(t, x)[1],
    ]
    whole = [method(times, x) for method in methods]
    rows = [torch.cat([method(t, row[None]) for t, row in zip(times, x, strict=True)]) for method in methods]
    monkeypatch.setattr(interval, "CHUNK", 2)
    parts = [method(times, x) for method in methods]
    for one, row, part in zip(whole, rows, parts, strict=True):
        assert one.shape == part.shape
        assert torch.allclose(one, row, rtol=1e-12, atol=1e-12) and torch.allclose(one, part, rtol=1e-12, atol=1e-12)
    single = exact(0.5, x.float())
    assert single.dtype == torch.float32
    close(single, exact(0.5, x), 1e-5)


def test_solvers_may_touch_the_ends_of_time():
    exact, x = uniform(SCHEDULES["foellmer"]), column(-1.2, 0.3, 1.001)
    for t in (-1e-3, 1.0, 1 + 1e-3):
        assert torch.isfinite(exact(torch.tensor(t, dtype=torch.float64), x)).all()


def test_refusals():
    schedule = SCHEDULES["linear"]
    with pytest.raises(InputError, match="low < high"):
        IntervalInterpolation(torch.zeros_like, schedule, 1.0, -1.0)
    with pytest.raises(InputError, match="not finite on the interval"):
        IntervalInterpolation(lambda y: torch.log(y), schedule)
    with pytest.raises(InputError, match=r"expected \(n, 1\)"):
        uniform(schedule)(0.5, torch.zeros(3, 2))
    with pytest.raises(InputError, match=r"t has shape \(2,\)"):
        uniform(schedule)(torch.zeros(2), torch.zeros(3, 1))
    with pytest.raises(InputError, match="expected a time in"):
        uniform(schedule)(2.0, torch.zeros(3, 1))
