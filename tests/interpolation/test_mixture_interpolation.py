"""Closed forms of a Gaussian mixture's interpolation: identities, derivatives, end points, and values of the note."""

import math

import pytest
import torch

from pushforward.distributions import GaussianMixture, checkerboard
from pushforward.errors import InputError
from pushforward.interpolation import SCHEDULES, TARGETS, MixtureInterpolation, mixture
from pushforward.numerics import Exact, velocity_and_jacobian

NAMES = list(SCHEDULES)
LAWS = ["T-A", "T-A1", "T-B", "T-C", "T-D", "T-G", "T-H", "4-D"]
TIMES = [0.0, 0.05, 0.3, 0.5, 0.8, 0.95, 1.0]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def close(found, wanted, tolerance):
    assert float((found - wanted).abs().max()) <= tolerance


def high_dimensional(k=5, d=4):
    root = torch.randn(k, d, d, generator=rng(1), dtype=torch.float64)
    means = 2 * torch.randn(k, d, generator=rng(2), dtype=torch.float64)
    eye = torch.eye(d, dtype=torch.float64)
    return GaussianMixture(torch.arange(1.0, k + 1), means, covariances=root @ root.mT / d + 0.1 * eye)


def oracle(law, schedule):
    if law == "4-D":
        return MixtureInterpolation(high_dimensional(), SCHEDULES[schedule])
    return TARGETS[law].make(SCHEDULES[schedule])


def gradient(function, x):
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    return slope


@pytest.mark.parametrize("schedule", NAMES)
@pytest.mark.parametrize("law", LAWS)
def test_three_forms_of_the_velocity(law, schedule):
    """A1: by the posterior mean, by the score, and the score by the posterior mean."""
    exact = oracle(law, schedule)
    for t in TIMES:
        at, x = exact.schedule.at(t), exact.sample(t, 50, rng(), torch.float64)
        v, s, m = exact(t, x), exact.score(t, x), exact.posterior_mean(t, x)
        if t < 1:
            rate = at.aa_prime / at.a2
            close(v, rate * x + (at.b_prime - rate * at.b) * m, 1e-11)
            close(s, (at.b * m - x) / at.a2, 1e-11)
        if at.b > 0:
            close(v, at.b_prime / at.b * x + exact.schedule.w(t) / at.b * s, 1e-11)


@pytest.mark.parametrize("schedule", NAMES)
@pytest.mark.parametrize("law", LAWS)
def test_covariance_identities(law, schedule):
    """A3: the Hessian of log p_t and the velocity's Jacobian by the posterior covariance."""
    exact = oracle(law, schedule)
    eye = torch.eye(exact.dim, dtype=torch.float64)
    for t in TIMES[:-1]:
        at, x = exact.schedule.at(t), exact.sample(t, 50, rng(), torch.float64)
        covariance, hessian = exact.posterior_covariance(t, x), exact.hessian(t, x)
        _, jacobian = exact.velocity_and_jacobian(t, x)
        wanted = at.b**2 / at.a2**2 * covariance - eye / at.a2
        close(hessian, wanted, 1e-9 * float(1 + wanted.abs().max()))
        wanted = at.aa_prime / at.a2 * eye + at.b * exact.schedule.w(t) / at.a2**2 * covariance
        close(jacobian, wanted, 1e-9 * float(1 + wanted.abs().max()))


@pytest.mark.parametrize("schedule", NAMES)
@pytest.mark.parametrize("law", LAWS)
def test_jacobian_is_symmetric_and_that_of_autograd(law, schedule):
    exact = oracle(law, schedule)
    for t in TIMES:
        x = exact.sample(t, 20, rng(), torch.float64)
        v, jacobian = exact.velocity_and_jacobian(t, x)
        scale = float(1 + jacobian.abs().max())
        close(v, exact(t, x), 1e-13 * scale)
        close(jacobian, jacobian.mT, 1e-12 * scale)
        close(jacobian, velocity_and_jacobian(lambda t, y, f=exact: f(t, y), t, x)[1], 1e-7)
        close(exact.hessian(t, x), velocity_and_jacobian(lambda t, y, f=exact: f.score(t, y), t, x)[1], 1e-7 * scale)
        v, divergence = exact.velocity_and_divergence(t, x)
        close(v, exact(t, x), 1e-13 * scale)
        close(divergence, jacobian.diagonal(dim1=1, dim2=2).sum(1), 1e-11 * scale)


def test_the_solvers_use_the_closed_forms():
    exact, x = oracle("T-B", "linear"), tensor([[0.1, 0.2], [1.0, -0.4]])
    own = Exact()(exact, x)(0.5, x)
    autograd = Exact()(lambda t, y: exact(t, y), x)(0.5, x)
    close(own[1], autograd[1], 1e-12)
    assert Exact()(exact, x) == exact.velocity_and_divergence


@pytest.mark.parametrize("schedule", NAMES)
def test_log_prob_is_that_of_the_convolution(schedule):
    law, x = high_dimensional(), 3 * torch.randn(200, 4, generator=rng(4), dtype=torch.float64)
    exact = MixtureInterpolation(law, SCHEDULES[schedule])
    covariances, eye = law.roots @ law.roots.mT, torch.eye(4, dtype=torch.float64)
    for t in TIMES:
        at = exact.schedule.at(t)
        marginal = GaussianMixture(law.weights, at.b * law.means, covariances=at.a2 * eye + at.b**2 * covariances)
        close(exact.log_prob(t, x), marginal.log_prob(x), 1e-10)
        close(exact.score(t, x), gradient(marginal.log_prob, x), 1e-10)


@pytest.mark.parametrize("schedule", NAMES)
@pytest.mark.parametrize("law", ["T-A", "T-B", "T-C"])
def test_continuity_equation(law, schedule):
    """A2: ∂ log p/∂t + v·s + tr ∇v = 0."""
    exact, h = oracle(law, schedule), 3e-5  # fourth order: the heat equation near its end is fast
    for t in (0.05, 0.3, 0.5, 0.8, 0.95):
        x = exact.sample(t, 50, rng(), torch.float64)
        near, far = (exact.log_prob(t + step, x) - exact.log_prob(t - step, x) for step in (h, 2 * h))
        rate = (8 * near - far) / (12 * h)
        v, divergence = exact.velocity_and_divergence(t, x)
        close(rate + (v * exact.score(t, x)).sum(1) + divergence, 0.0, 1e-6)


@pytest.mark.parametrize("schedule", NAMES)
def test_end_points(schedule):
    """The limits of A1 at t = 0 and t = 1, and the continuity of every answer there."""
    law = high_dimensional()
    exact = MixtureInterpolation(law, SCHEDULES[schedule])
    x = law.sample(50, rng(), torch.float64)
    at = exact.schedule.at(1.0)
    close(exact(1.0, x), at.b_prime * x - at.aa_prime * gradient(law.log_prob, x), 1e-10)
    close(exact.log_prob(1.0, x), law.log_prob(x), 1e-11)
    close(exact.posterior_mean(1.0, x), x, 1e-12)
    close(exact.posterior_covariance(1.0, x), 0.0, 1e-12)
    if exact.schedule.b0 == 0:
        at = exact.schedule.at(0.0)
        mean = (law.weights[:, None] * law.means).sum(0)
        close(exact(0.0, x), at.aa_prime / at.a2 * x + at.b_prime * mean, 1e-12)
        close(exact.score(0.0, x), -x, 1e-12)
    for end, near in ((0.0, 1e-7), (1.0, 1 - 1e-7)):
        for method in (exact, exact.score, exact.hessian, exact.posterior_mean, exact.posterior_covariance):
            assert torch.allclose(method(end, x), method(near, x), rtol=1e-3, atol=1e-3)
            assert not torch.equal(method(0.5, x), method(end, x))


def test_gaussian_velocity_is_linear():
    """T-G: mean bμ, coordinate i moves at (aa' + bb'σ_i²)/(a² + b²σ_i²)."""
    x, mean, variances = tensor([[1.3, -0.7]]), tensor([0.5, -0.25]), tensor([4.0, 0.25])
    for name in NAMES:
        exact = oracle("T-G", name)
        for t in TIMES:
            a2, aa_prime, b, b_prime = exact.schedule.at(t)
            rate = (aa_prime + b * b_prime * variances) / (a2 + b**2 * variances)
            v, jacobian = exact.velocity_and_jacobian(t, x)
            close(v, b_prime * mean + rate * (x - b * mean), 1e-13)
            close(jacobian[0], torch.diag(rate), 1e-13)


T_A = {
    "linear": [
        (-1.189189189189, -0.628195763331),
        (-1.2, 1.36),
        (-0.307692307692, 4.236686390533),
        (0.588235294118, 2.581314878893),
        (1.0, 1.0),
    ],
    "foellmer": [
        (-0.196721311475, 0.078473528621),
        (-0.461538461538, 0.295857988166),
        (-0.972972972973, 1.271000730460),
        (-1.719745222930, 4.122276765792),
        (-3.0, 13.0),
    ],
    "trigonometric": [
        (-0.467913538903, 0.232950557572),
        (-0.942477796077, 1.068141502221),
        (-1.157531438472, 3.131588395596),
        (-0.678306141171, 2.691902019454),
        (0.0, 0.0),
    ],
    "vp": [
        (-0.025205245954, 0.008684106173),
        (-0.116366047084, 0.044806929879),
        (-0.602944124655, 0.362555427088),
        (-2.098648022197, 2.657026461209),
        (-9.0, 39.0),
    ],
}


@pytest.mark.parametrize("schedule", T_A)
def test_golden_eigenvalues(schedule):
    exact = oracle("T-A", schedule)
    for t, wanted in zip((0.25, 0.5, 0.75, 0.9, 1.0), T_A[schedule], strict=True):
        _, jacobian = exact.velocity_and_jacobian(t, torch.zeros(1, 2, dtype=torch.float64))
        close(torch.linalg.eigvalsh(jacobian[0]), tensor(wanted), 1e-11)


def test_golden_largest_eigenvalue_of_unit_components():
    for schedule, wanted in (("linear", 0.36), ("foellmer", 0.18), ("trigonometric", 0.2827433388)):
        _, jacobian = oracle("T-D", schedule).velocity_and_jacobian(0.5, torch.zeros(1, 2, dtype=torch.float64))
        assert float(torch.linalg.eigvalsh(jacobian[0])[1]) == pytest.approx(wanted, abs=1e-10)


def test_golden_three_means():
    exact, x = oracle("T-B", "linear"), tensor([[0.1, 0.2]])
    v, jacobian = exact.velocity_and_jacobian(0.5, x)
    close(exact.log_prob(0.5, x), -1.357403555714, 1e-11)
    close(exact.score(0.5, x), tensor([[0.384042761643, -0.082293393111]]), 1e-11)
    close(v, tensor([[0.584042761643, 0.317706606889]]), 1e-11)
    close(jacobian[0], tensor([[1.789275052843, -0.830607965045], [-0.830607965045, -0.173050536294]]), 1e-11)
    close(exact.log_prob(1.0, x), -4.262892570218, 1e-11)


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("linear", [0.514479929375, 0.703682619637]),
        ("foellmer", [0.235701418648, 0.574098648691]),
        ("trigonometric", [0.532290602813, 0.978724833297]),
        ("vp", [0.009834102104, 0.230018758110]),
        ("ve", [-0.417811357211, 0.672640272631]),
    ],
)
def test_golden_two_shapes(schedule, wanted):
    close(oracle("T-C", schedule)(0.7, tensor([[0.3, -0.4]])), tensor([wanted]), 1e-11)


def methods(exact):
    return [
        exact,
        exact.log_prob,
        exact.score,
        exact.posterior_mean,
        exact.hessian,
        exact.posterior_covariance,
        lambda t, x: exact.velocity_and_divergence(t, x)[1],
        lambda t, x: exact.velocity_and_jacobian(t, x)[1],
    ]


def test_chunks_do_not_matter(monkeypatch):
    exact = oracle("4-D", "linear")
    x = exact.sample(0.5, 23, rng(), torch.float64)
    times = torch.linspace(0, 1, 23, dtype=torch.float64)
    whole = [method(0.5, x) for method in methods(exact)] + [method(times, x) for method in methods(exact)[:4]]
    monkeypatch.setattr(mixture, "CHUNK", 3 * 20)
    parts = [method(0.5, x) for method in methods(exact)] + [method(times, x) for method in methods(exact)[:4]]
    for one, other in zip(whole, parts, strict=True):
        assert one.shape == other.shape
        close(one, other, 1e-12)


def test_one_time_a_point():
    exact = oracle("4-D", "foellmer")
    x, times = exact.sample(0.5, 7, rng(), torch.float64), torch.linspace(0, 1, 7, dtype=torch.float64)
    for method in [*methods(exact)[:4], lambda t, x: exact.velocity_and_divergence(t, x)[1]]:
        rows = torch.cat([method(t, row[None]) for t, row in zip(times, x, strict=True)])
        close(method(times, x), rows, 1e-12)
        close(method(torch.tensor(0.3, dtype=torch.float64), x), method(0.3, x), 0.0)
    for method in (exact.hessian, exact.posterior_covariance, exact.velocity_and_jacobian):
        with pytest.raises(InputError, match="expected one time"):
            method(times, x)
    with pytest.raises(InputError, match=r"t has shape \(7,\), expected one time, or \(6,\)"):
        exact(times, x[:6])


@pytest.mark.parametrize("schedule", NAMES)
def test_single_precision(schedule):
    exact = oracle("4-D", schedule)
    for t in (0.0, 0.5, 1.0):
        x = exact.sample(t, 50, rng())
        assert x.dtype == torch.float32
        for method in methods(exact):
            single, double = method(t, x), method(t, x.double())
            assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
            close(single, double, 1e-4 * float(1 + double.abs().max()))


@pytest.mark.parametrize("schedule", ["linear", "vp", "ve"])
def test_samples_have_the_moments(schedule):
    exact, n, t = oracle("T-C", schedule), 100_000, 0.6
    x = exact.sample(t, n, rng(6), torch.float64)
    at, law = exact.schedule.at(t), exact.law
    mean = law.weights @ law.means
    spread = law.roots @ law.roots.mT + (law.means - mean)[:, :, None] * (law.means - mean)[:, None, :]
    covariance = at.a2 * torch.eye(2, dtype=torch.float64) + at.b**2 * torch.einsum("k,kij->ij", law.weights, spread)
    assert ((x.mean(0) - at.b * mean).abs() < 4 * x.std(0) / math.sqrt(n)).all()
    assert torch.allclose(torch.cov(x.T), covariance, atol=0.02 * float(covariance.max()))
    assert torch.equal(exact.sample(t, 5, rng(7)), exact.sample(t, 5, rng(7)))


def test_samples_at_their_own_times():
    times = torch.cat([torch.zeros(20_000), torch.ones(20_000)])
    x = oracle("T-A1", "linear").sample(times, 40_000, rng(8), torch.float64)[:, 0]
    assert float(x[:20_000].var()) == pytest.approx(1.0, abs=0.04)
    assert float(x[20_000:].var()) == pytest.approx(1.25, abs=0.04)
    assert float((x[20_000:] ** 4).mean()) == pytest.approx(1 + 6 * 0.25 + 3 * 0.0625, abs=0.1)


def test_box_holds_the_marginal():
    for law, schedule in (("T-C", "linear"), ("T-G", "ve"), ("T-A1", "vp")):
        exact = oracle(law, schedule)
        for t in (0.0, 0.5, 1.0):
            box = exact.box(t)
            x, volume = box.grid(box.width / 2)
            assert volume * float(exact.log_prob(t, x).exp().sum()) == pytest.approx(1.0, abs=1e-9)
            faces = torch.stack([box.low, box.high])
            assert torch.allclose(x.amin(0), faces[0]) and torch.allclose(x.amax(0), faces[1])


def test_refusals():
    with pytest.raises(InputError, match="expected a GaussianMixture"):
        MixtureInterpolation(checkerboard(), SCHEDULES["linear"])
    exact = oracle("T-A", "linear")
    with pytest.raises(InputError, match=r"expected \(n, 2\)"):
        exact(0.5, torch.zeros(3, 3))
    with pytest.raises(InputError, match="NaN"):
        exact.score(0.5, torch.full((3, 2), math.nan))
    with pytest.raises(InputError, match="expected a time in"):
        exact(1.5, torch.zeros(3, 2))
    with pytest.raises(InputError, match="million|expected at most"):
        exact.box(0.5).grid(1e-4)
