import pytest
import torch
from scipy.optimize import brentq

from cases import normal
from pushforward.implicit.activations import ACTIVATIONS, LipSwish, Sin

every = pytest.mark.parametrize("kind", ACTIVATIONS.values(), ids=ACTIVATIONS)
BETAS = (-3.0, 0.5, 4.0)


def slope(activation, a):
    a = a.clone().requires_grad_()
    return torch.autograd.grad(activation(a).sum(), a, create_graph=True)[0]


def lipswish(beta):
    activation = LipSwish().double()
    activation.beta.data.fill_(beta)
    return activation


@every
def test_the_slope_is_the_derivative(kind):
    activation, a = kind().double(), 3 * normal(500)
    value, found = activation.value_and_slope(a)
    torch.testing.assert_close(value, activation(a), rtol=0, atol=0)
    torch.testing.assert_close(found, slope(activation, a), rtol=1e-13, atol=1e-13)


def test_sin_is_the_formula_and_exactly_one_lipschitz():
    a = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    torch.testing.assert_close(Sin()(a / 4)[[1000, 3000]], torch.tensor([-1.0, 1.0]).double() / (2 * torch.pi))
    slopes = slope(Sin(), a).abs()
    assert slopes.max() == 1 == slope(Sin(), torch.zeros(1).double())


@pytest.mark.parametrize("beta", BETAS)
def test_lipswish_is_steepest_where_the_closed_form_says_and_below_one_there(beta):
    activation = lipswish(beta)
    y = brentq(lambda y: y * torch.tanh(torch.tensor(y / 2, dtype=torch.float64)).item() - 2, 1, 5, xtol=1e-14)
    scale = torch.nn.functional.softplus(torch.tensor(beta, dtype=torch.float64))
    steepest = slope(activation, (torch.tensor([y]).double() / scale))
    assert 0.9998 < steepest.item() < 0.99986
    slopes = slope(activation, torch.linspace(-30, 30, 200_001, dtype=torch.float64) / scale)
    assert slopes.max() <= steepest + 1e-12
    assert -0.0912 < slopes.min() < -0.09


def test_lipswish_starts_with_beta_one_half():
    a = normal(20)
    scale = torch.nn.functional.softplus(torch.tensor(0.5, dtype=torch.float64))
    torch.testing.assert_close(LipSwish().double()(a), a / (1 + torch.exp(-scale * a)) / 1.1)


@every
def test_second_derivatives_live_next_to_the_steepest_slope(kind):
    a = torch.linspace(-3, 3, 2001, dtype=torch.float64).requires_grad_()
    first = torch.autograd.grad(kind().double()(a).sum(), a, create_graph=True)[0]
    second = torch.autograd.grad(first.sum(), a)[0]
    assert second[first.abs() > 0.95].abs().max() > 0.05


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(kind, dtype):
    assert all(part.dtype == dtype for part in kind().to(dtype).value_and_slope(normal(3, dtype=dtype)))
