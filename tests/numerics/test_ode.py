import math

import pytest
import torch
from torch import nn

from cases import normal
from pushforward.errors import InputError, NotConverged
from pushforward.numerics import Adaptive, FixedGrid, Solver

START = torch.tensor([[0.3, 1.2], [1.1, 0.7]], dtype=torch.float64)


def fall(t, x):
    """x' = −3t²x², whose solution from time a to b is 1/(1/x + b³ − a³): nonlinear, and time-dependent."""
    return -3 * t**2 * x**2


def fallen(x, t0, t1):
    return 1 / (1 / x + t1**3 - t0**3)


def turn(t, x):
    """A nonlinear, time-dependent field with no symmetry that could hide an error term."""
    return torch.stack([torch.sin(x[:, 1] + t), x[:, 0] - 0.5 * x[:, 0] * x[:, 1]], 1)


def slope(errors):
    """Order of convergence between the last two of a series of doubled step counts."""
    return math.log2(errors[-2] / errors[-1])


@pytest.mark.parametrize(("method", "order"), [("rk4", 4), ("midpoint", 2)])
@pytest.mark.parametrize(("t0", "t1"), [(0.0, 1.0), (0.4, -0.5)])
def test_order_of_convergence(method, order, t0, t1):
    exact = fallen(START, t0, t1)
    errors = [float((FixedGrid(n, method)(fall, START, t0, t1) - exact).abs().max()) for n in (64, 128)]
    assert slope(errors) == pytest.approx(order, abs=0.1)


def test_a_plain_backward_rk4_solve_returns_with_order_four_at_least():
    errors = []
    for n in (4, 8, 16, 32):
        solve = FixedGrid(n)
        errors.append(float((solve(turn, solve(turn, START, 0.0, 1.0), 1.0, 0.0) - START).abs().max()))
    assert errors[0] > 1e-8  # a discrete solve is not its own exact inverse
    assert slope(errors) > 3.9


@pytest.mark.parametrize(
    ("method", "growth"), [("rk4", 1 + 0.5 + 0.5**2 / 2 + 0.5**3 / 6 + 0.5**4 / 24), ("midpoint", 1 + 0.5 + 0.5**2 / 2)]
)
def test_one_step_on_a_linear_field_is_the_taylor_polynomial(method, growth):
    end = FixedGrid(1, method)(lambda t, x: x, START, 0.0, 0.5)
    torch.testing.assert_close(end, growth * START, rtol=1e-15, atol=0)


@pytest.mark.parametrize(("method", "degree"), [("rk4", 3), ("midpoint", 1)])
def test_quadrature_is_exact_up_to_its_degree_and_not_beyond(method, degree):
    def error(power):
        end = FixedGrid(1, method)(lambda t, x: torch.full_like(x, float(t) ** power), torch.zeros(1, 1).double(), 0, 2)
        return abs(float(end) - 2 ** (power + 1) / (power + 1))

    assert error(degree) < 1e-14
    assert error(degree + 1) > 1e-2


@pytest.mark.parametrize("solver", [FixedGrid(3), FixedGrid(5, "midpoint")])
def test_evaluations_are_counted(solver):
    seen = []
    solver(lambda t, x: seen.append(float(t)) or x, START, 0.0, 1.0)
    assert len(seen) == solver.evaluations
    assert min(seen) == 0.0
    assert max(seen) <= 1.0


@pytest.mark.parametrize("solver", [FixedGrid(2), FixedGrid(2, "midpoint"), Adaptive(1e-9, 1e-9)])
def test_gradient_is_that_of_the_solution(solver):
    def end(x, rate):
        return solver(lambda t, y: torch.sin(rate * y + t), x, 0.0, 0.7)

    x, rate = START.clone().requires_grad_(), torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(end, (x, rate), atol=1e-6)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-7, 1e-10])
def test_dopri5_ends_within_a_few_tolerances(tolerance):
    end = Adaptive(tolerance, tolerance)(fall, START, 0.0, 2.0)
    assert (end - fallen(START, 0.0, 2.0)).abs().max() < 20 * tolerance
    back = Adaptive(tolerance, tolerance)(fall, end, 2.0, 0.0)
    assert (back - START).abs().max() < 1000 * tolerance  # the way back magnifies errors by up to (x/y)² = 100


class Decay(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.8, dtype=torch.float64))

    def forward(self, t, x):
        return -self.rate * x


def test_adjoint_gradient_agrees_with_the_closed_form():
    field = Decay()
    end = Adaptive(1e-10, 1e-10, adjoint=True)(field, START, 0.0, 1.0)
    end.sum().backward()
    expected = -START.sum() * torch.exp(-field.rate.detach())
    torch.testing.assert_close(field.rate.grad, expected, rtol=1e-8, atol=0)


def test_adjoint_keeps_no_graph_of_the_steps():
    seen = []
    field = Decay()
    field.register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    Adaptive(adjoint=True)(field, START, 0.0, 1.0)
    assert not any(seen)


@pytest.mark.parametrize("solver", [FixedGrid(2), Adaptive(1e-3, 1e-3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(solver, dtype):
    assert isinstance(solver, Solver)
    assert solver(turn, normal(3, 2, dtype=dtype), 0.0, 1.0).dtype == dtype


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="'euler' is unknown.*midpoint.*rk4"):
        FixedGrid(2, "euler")
    with pytest.raises(InputError, match="steps is 0"):
        FixedGrid(0)
    with pytest.raises(InputError, match="nn.Module"):
        Adaptive(adjoint=True)(fall, START, 0.0, 1.0)


def test_an_adaptive_solver_that_gives_up_says_so():
    with pytest.raises(NotConverged, match="dopri5 at rtol=1e-10.*gave up"):
        Adaptive(1e-10, 1e-10, max_steps=3)(turn, START, 0.0, 1.0)
    with pytest.raises(NotConverged, match="gave up"):
        Adaptive()(lambda t, x: x * x, torch.full((1, 1), 2.0), 0.0, 1.0)  # infinite at t = ½
