import math

import pytest
import torch

from cases import generator, jacobian, normal
from pushforward.errors import InputError
from pushforward.nets import MLP, Lattice
from pushforward.numerics import Divergence, Exact, FiniteDifference, Hutchinson

POINT = torch.tensor([[0.4, -0.7, 0.2]], dtype=torch.float64)
MATRIX = torch.tensor([[1.0, 2.0, -0.5], [0.3, -2.0, 1.0], [0.0, 0.4, 0.5]], dtype=torch.float64)
WAVES = torch.tensor([[1.0, 0.5, -1.0], [0.0, 2.0, 1.0]], dtype=torch.float64)  # wave vectors k
AMPLITUDES = torch.tensor([[1.0, -0.5, 0.5], [0.4, 1.0, 0.0]], dtype=torch.float64)  # a
DRAWS = 200_000


def linear(t, x):
    return x @ MATRIX.T


def waves(t, x):
    """v(x) = Σ a sin(k·x), whose divergence is Σ (a·k) cos(k·x)."""
    return torch.sin(x @ WAVES.T) @ AMPLITUDES


def waves_divergence(x, sigma=0.0):
    """Smoothing by N(0, σ²I) multiplies each wave by exp(−σ²|k|²/2)."""
    damping = torch.exp(-0.5 * sigma**2 * WAVES.square().sum(1))
    return torch.cos(x @ WAVES.T) @ (damping * (AMPLITUDES * WAVES).sum(1))


def draws(divergence, velocity, seed=0):
    """Independent estimates of the divergence at one point."""
    points = POINT.expand(DRAWS, -1)
    return divergence(velocity, points, generator(seed))(0.0, points)[1]


def assert_mean(values, expected, errors=4.0):
    assert abs(float(values.mean()) - float(expected)) < errors * float(values.std()) / math.sqrt(len(values))


def test_exact_is_the_trace():
    x = normal(6, 3)
    v, divergence = Exact()(waves, x)(0.0, x)
    torch.testing.assert_close(v, waves(0.0, x))
    torch.testing.assert_close(divergence, waves_divergence(x))


def test_exact_prefers_the_velocity_s_own_formula():
    class Own:
        def velocity_and_divergence(self, t, x):
            return "own"

    assert Exact()(Own(), POINT)(0.0, POINT) == "own"


def test_finite_difference_is_unbiased_for_the_smoothed_field():
    sigma = 0.6
    values = draws(FiniteDifference(sigma * math.sqrt(3)), waves)  # σ = σ₀/√d
    assert_mean(values, waves_divergence(POINT, sigma))
    with pytest.raises(AssertionError):  # the smoothing is no rounding error: this many draws tell it from v itself
        assert_mean(values, waves_divergence(POINT))


def test_finite_difference_looks_forward_along_its_probe():
    x, noise = normal(6, 3), torch.randn(6, 3, generator=generator(7), dtype=torch.float64)
    sigma = 0.3 / math.sqrt(3)
    _, found = FiniteDifference(0.3)(waves, x, generator(7))(0.0, x)
    torch.testing.assert_close(found, (noise * (waves(0.0, x + sigma * noise) - waves(0.0, x))).sum(1) / sigma)


@pytest.mark.parametrize("sigma0", [1e-3, 0.02, 5.0])
def test_finite_difference_on_a_linear_field_is_gaussian_hutchinson_whatever_sigma(sigma0):
    x = normal(50, 3)
    _, finite = FiniteDifference(sigma0)(linear, x, generator())(0.0, x)
    _, hutchinson = Hutchinson("gaussian")(linear, x, generator())(0.0, x)
    torch.testing.assert_close(finite, hutchinson, rtol=1e-9, atol=1e-9)


def test_gaussian_hutchinson_has_mean_trace_and_variance_twice_the_symmetric_part():
    values = draws(Hutchinson("gaussian"), linear)
    symmetric = (MATRIX + MATRIX.T) / 2
    assert_mean(values, MATRIX.trace())
    assert float(values.var()) == pytest.approx(float(2 * symmetric.square().sum()), rel=0.03)


def test_rademacher_hutchinson_leaves_the_diagonal_out_of_its_variance():
    values = draws(Hutchinson("rademacher"), linear)
    symmetric = (MATRIX + MATRIX.T) / 2
    expected = 2 * (symmetric.square().sum() - MATRIX.diagonal().square().sum())
    assert_mean(values, MATRIX.trace())
    assert float(values.var()) == pytest.approx(float(expected), rel=0.03)


@pytest.mark.parametrize("probe", ["gaussian", "rademacher"])
def test_hutchinson_is_unbiased_for_the_divergence_itself(probe):
    assert_mean(draws(Hutchinson(probe), waves), waves_divergence(POINT))


def test_rademacher_probes_are_exact_where_the_jacobian_is_diagonal():
    x = normal(20, 3)
    _, estimate = Hutchinson()(lambda t, y: y**3, x, generator())(0.0, x)
    torch.testing.assert_close(estimate, 3 * x.square().sum(1))


@pytest.mark.parametrize("divergence", [Hutchinson("gaussian"), Hutchinson(), FiniteDifference(0.5)])
def test_one_probe_serves_the_whole_solve_and_the_generator_decides_it(divergence):
    x = normal(20, 3)
    estimate = divergence(waves, x, generator(1))
    first, again = estimate(0.0, x)[1], estimate(0.0, x)[1]
    same, other = divergence(waves, x, generator(1))(0.0, x)[1], divergence(waves, x, generator(2))(0.0, x)[1]
    assert torch.equal(first, again)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    torch.testing.assert_close(estimate(0.0, x)[0], waves(0.0, x))


@pytest.mark.parametrize("velocity", [MLP(2, (8,)), Lattice(2, (9,))], ids=["mlp", "lattice"])
@pytest.mark.parametrize("probe", ["gaussian", "rademacher"])
def test_hutchinson_takes_the_jacobian_of_every_network_and_trains_it(velocity, probe):
    velocity = velocity.double()
    with torch.no_grad():
        for p in velocity.parameters():
            p += 0.3 * torch.randn(p.shape, generator=generator(4), dtype=p.dtype)
    x = normal(6, 2)
    _, estimate = Hutchinson(probe)(velocity, x, generator())(0.0, x)
    noise = torch.randn(x.shape, generator=generator(), dtype=x.dtype)
    noise = noise.sign() if probe == "rademacher" else noise
    expected = torch.einsum("ni,nij,nj->n", noise, jacobian(lambda y: velocity(0.0, y), x), noise)
    torch.testing.assert_close(estimate, expected)
    estimate.sum().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in velocity.parameters())


@pytest.mark.parametrize("divergence", [Exact(), Hutchinson(), FiniteDifference()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(divergence, dtype):
    assert isinstance(divergence, Divergence)
    x = normal(4, 3, dtype=dtype)
    v, found = divergence(lambda t, y: torch.sin(y), x, generator())(0.0, x)
    assert v.dtype == found.dtype == dtype
    assert found.shape == (4,)


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="probe 'uniform' is unknown"):
        Hutchinson("uniform")
    with pytest.raises(InputError, match="sigma0 is 0.0"):
        FiniteDifference(0.0)
