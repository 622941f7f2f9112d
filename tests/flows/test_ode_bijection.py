import math

import pytest
import torch
from torch import nn

from cases import LinearVelocity, generator, jacobian, normal, randomised
from pushforward.errors import InputError, NonFinite, NotConverged, NotInvertible
from pushforward.flows import Chain, Flow, ODEBijection, with_solver
from pushforward.flows.determinant import BARRIER
from pushforward.metrics import round_trip
from pushforward.nets import MLP
from pushforward.numerics import Adaptive, Exact, FiniteDifference, FixedGrid, Hutchinson

X = normal(12, 3)


class Ripple(nn.Module):
    """v(x) = a sin(3x) in each coordinate: strong enough, it folds under one midpoint step."""

    def __init__(self, dim, amplitude):
        super().__init__()
        self.dim = dim
        self.amplitude = nn.Parameter(torch.tensor(amplitude, dtype=torch.float64))

    def forward(self, t, x):
        return self.amplitude * torch.sin(3 * x)


def linear(scale=0.4):
    return randomised(LinearVelocity(3).double(), scale)


def rk4(matrix, steps):
    """What ``steps`` Runge–Kutta steps make of x' = Ax over a unit of time, without the offset."""
    step = matrix / steps
    polynomial = sum(torch.linalg.matrix_power(step, k) / math.factorial(k) for k in range(5))
    return torch.linalg.matrix_power(polynomial, steps)


def test_trace_of_a_linear_field_is_exact():
    velocity = linear()
    block = ODEBijection(velocity, Adaptive(1e-12, 1e-12))
    z, log_det = block.forward_and_log_det(X)
    torch.testing.assert_close(log_det, velocity.matrix.trace().expand(12))
    moved = torch.linalg.matrix_exp(velocity.matrix)
    torch.testing.assert_close(z[0] - z[1], moved @ (X[0] - X[1]))


@pytest.mark.parametrize("steps", [1, 3])
def test_discrete_is_the_log_det_of_the_steps_themselves(steps):
    velocity = linear(0.8)
    block = ODEBijection(velocity, FixedGrid(steps), "discrete")
    z, log_det = block.forward_and_log_det(X)
    matrix = rk4(velocity.matrix, steps)
    torch.testing.assert_close(z[0] - z[1], matrix @ (X[0] - X[1]))
    torch.testing.assert_close(log_det, torch.linalg.slogdet(matrix)[1].expand(12))
    assert (log_det[0] - velocity.matrix.trace()).abs() > 1e-7  # not the log-determinant of the ODE


def test_the_clock_may_run_from_one_to_zero():
    velocity = linear()
    block = ODEBijection(velocity, FixedGrid(40), t_data=1.0, t_latent=0.0)
    other = ODEBijection(velocity, FixedGrid(40))
    z, log_det = block.forward_and_log_det(X)
    torch.testing.assert_close(log_det, -velocity.matrix.trace().expand(12))
    torch.testing.assert_close(z, other.inverse(X), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(block.inverse(z), X)
    torch.testing.assert_close(block.path(X, 3)[2], z, rtol=0, atol=1e-7)


def test_time_runs_from_data_to_latent():
    class Clock(nn.Module):
        dim = 1

        def forward(self, t, x):
            return 0 * x + 3 * t**2

    for solver in (FixedGrid(2), Adaptive(1e-9, 1e-9)):
        block = ODEBijection(Clock(), solver, t_data=1.0, t_latent=3.0)
        torch.testing.assert_close(block(torch.zeros(2, 1).double()), torch.full((2, 1), 26.0).double())


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_step_determinants_multiply_to_that_of_the_map(dim):
    block = ODEBijection(randomised(MLP(dim, (6,), "tanh").double(), 0.7), FixedGrid(3), "discrete")
    x = normal(9, dim)
    z, determinants = block.step_determinants(x)
    assert determinants.shape == (3, 9)
    torch.testing.assert_close(z, block(x))
    expected = jacobian(block, x)
    torch.testing.assert_close(block._with_jacobian(x)[1], expected)
    torch.testing.assert_close(determinants.prod(0), torch.linalg.det(expected))
    _, log_det = block.eval().forward_and_log_det(x)
    torch.testing.assert_close(log_det, determinants.log().sum(0))


def folding(amplitude=0.8):
    block = ODEBijection(Ripple(2, amplitude), FixedGrid(1, "midpoint"), "discrete")
    x = torch.linspace(-2, 2, 400, dtype=torch.float64)[:, None] * torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    return block, x


def test_a_fold_is_an_error_in_evaluation():
    block, x = folding()
    _, determinants = block.step_determinants(x)
    count = int((determinants[0] <= 0).sum())
    assert 0 < count < 400
    with pytest.raises(NotInvertible, match=f"{count} of 400 points meet a step determinant that is not positive"):
        block.eval().forward_and_log_det(x)
    good = x[determinants[0] > 0]
    assert len(block.forward_and_log_det(good)[1]) == len(good)


def test_in_training_the_logarithm_goes_on_as_a_line_below_the_barrier():
    block, x = folding()
    _, log_det = block.train().forward_and_log_det(x)
    determinant = block.step_determinants(x)[1][0]
    line = math.log(BARRIER) + (determinant - BARRIER) / BARRIER
    torch.testing.assert_close(log_det, torch.where(determinant < BARRIER, line, determinant.clamp_min(1e-9).log()))


def test_training_unfolds():
    block, x = folding()
    optimiser = torch.optim.Adam(block.parameters(), lr=0.02)
    for _ in range(40):
        optimiser.zero_grad()
        loss = -block.train().forward_and_log_det(x)[1].mean()
        loss.backward()
        assert loss.isfinite()
        optimiser.step()
    assert (block.step_determinants(x)[1] > 0).all()
    block.eval().forward_and_log_det(x)


@pytest.mark.parametrize("divergence", [Hutchinson(), Hutchinson("gaussian"), FiniteDifference(0.5)])
def test_estimates_are_for_training_and_evaluation_is_exact(divergence):
    velocity = randomised(MLP(3, (6,), "tanh").double())
    block, exact = ODEBijection(velocity, FixedGrid(4), divergence=divergence), ODEBijection(velocity, FixedGrid(4))
    block.generator = generator(1)
    _, estimate = block.train().forward_and_log_det(X)
    block.generator = generator(1)
    _, again = block.forward_and_log_det(X)
    _, other = block.forward_and_log_det(X)
    assert torch.equal(estimate, again)
    assert not torch.isclose(estimate, other).any()
    _, expected = exact.eval().forward_and_log_det(X)
    assert not torch.isclose(estimate, expected).any()
    torch.testing.assert_close(block.eval().forward_and_log_det(X)[1], expected, rtol=0, atol=0)


def test_a_coarse_grid_is_inverted_exactly_where_a_plain_backward_solve_is_not():
    block = ODEBijection(randomised(MLP(3, (8, 8), "tanh").double(), 0.6, seed=1), FixedGrid(1))
    with torch.no_grad():
        z = block(X)
        plain = block.solver(block.velocity, z, 1.0, 0.0)
    assert (plain - X).abs().max() > 1e-4
    assert round_trip(block, X).max_abs < 1e-12
    assert round_trip(block.float(), X.float()).max_abs < 1e-5


def test_an_adaptive_solver_is_inverted_to_its_tolerance():
    velocity = randomised(MLP(3, (8, 8), "tanh").double(), 0.6, seed=1)
    errors = [round_trip(ODEBijection(velocity, Adaptive(tol, tol)), X).max_abs for tol in (1e-4, 1e-8, 1e-12)]
    assert errors[0] < 1e-2 and errors[1] < 1e-6 and errors[2] < 1e-10
    assert errors[0] > errors[1] > errors[2]


def test_a_grid_that_defeats_corrections_is_inverted_all_the_same():
    """Injective with determinants above 0.7, yet forward after backward is no contraction at some of these points."""
    block = ODEBijection(randomised(MLP(3, (8, 8), "tanh").double(), 0.6, seed=3), FixedGrid(1))
    assert round_trip(block, normal(2000, 3)).max_abs < 1e-11


def test_a_point_that_a_folded_block_never_reaches_is_an_error():
    block, _ = folding(2.0)
    with pytest.raises(NotConverged, match="points do not return .* not a bijection there"):
        block.inverse(torch.linspace(-2, 2, 40, dtype=torch.float64).reshape(20, 2))


def test_points_that_become_nan_are_counted():
    block, _ = folding(float("nan"))
    with pytest.raises(NotConverged, match="5 points do not return"):
        block.inverse(normal(5, 2))
    with pytest.raises(NonFinite, match="5 of 5 points meet a velocity that is NaN"):
        block.eval().forward_and_log_det(normal(5, 2))


def test_the_path_follows_the_ode():
    velocity = linear()
    with torch.no_grad():
        path = ODEBijection(velocity, FixedGrid(10)).path(X, 5)
        quarter = torch.linalg.matrix_exp(velocity.matrix / 4)
    torch.testing.assert_close(path[1, 0] - path[1, 1], quarter @ (X[0] - X[1]), rtol=1e-8, atol=0)
    assert path.shape == (5, 12, 3)


def test_adjoint_and_backprop_gradients_agree_at_a_tight_tolerance():
    velocity = randomised(MLP(3, (5,), "tanh").double())
    gradients = []
    for adjoint in (False, True):
        block = ODEBijection(velocity, Adaptive(1e-10, 1e-10, adjoint=adjoint))
        z, log_det = block.forward_and_log_det(X)
        gradients.append(torch.autograd.grad((z.square().sum(1) - log_det).mean(), velocity.parameters()))
    for plain, adjoint in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, adjoint, rtol=1e-6, atol=1e-8)


def test_with_solver_copies_and_evaluates_exactly():
    block = ODEBijection(linear(), FixedGrid(1), "discrete", Hutchinson())
    block.generator = generator()
    flow = Flow(Chain(3, [block]))
    finer = with_solver(flow, Adaptive(1e-12, 1e-12)).train()
    assert block.solver == FixedGrid(1) and block.log_det == "discrete" and block.divergence == Hutchinson()
    (other,) = finer.bijection.blocks
    assert other.solver == Adaptive(1e-12, 1e-12) and other.log_det == "trace" and other.divergence == Exact()
    assert other.velocity.matrix is not block.velocity.matrix
    torch.testing.assert_close(other.forward_and_log_det(X)[1], block.velocity.matrix.trace().expand(12))
    (kept,) = with_solver(flow, FixedGrid(5), "discrete").bijection.blocks
    assert kept.solver == FixedGrid(5) and kept.log_det == "discrete"


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="log_det is 'exact', expected 'trace' or 'discrete'"):
        ODEBijection(linear(), log_det="exact")
    with pytest.raises(InputError, match="differentiates a FixedGrid's steps, found Adaptive"):
        ODEBijection(linear(), Adaptive(), "discrete")
    with pytest.raises(InputError, match="differentiates a FixedGrid's steps, found Adaptive"):
        with_solver(Chain(3), Adaptive(), "discrete")  # refused even where there is no ODE to solve
