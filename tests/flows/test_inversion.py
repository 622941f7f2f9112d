import pytest
import torch

from cases import normal
from pushforward.errors import NotConverged
from pushforward.flows.inversion import CERTIFIED, invert

Z = normal(30, 2) * 3


def diagonal(function):
    """A map that acts on each coordinate alone, with its Jacobian, and a record of how many points asked for one."""
    asked = []

    def with_jacobian(x):
        asked.append(len(x))
        x = x.detach().requires_grad_()
        value = function(x)
        return value.detach(), torch.diag_embed(torch.autograd.grad(value.sum(), x)[0])

    return function, with_jacobian, asked


def defect(function, x, z):
    return ((z - function(x)).norm(dim=1) / (1 + z.norm(dim=1))).max()


def test_corrections_suffice_where_backward_is_nearly_the_inverse():
    forward, with_jacobian, asked = diagonal(lambda x: x + 0.01 * torch.sin(x))
    x = invert(forward, lambda y: y, with_jacobian, Z)
    assert defect(forward, x, Z) <= CERTIFIED * torch.finfo(Z.dtype).eps
    assert asked == []


@pytest.mark.parametrize("function", [lambda x: 3 * x, lambda x: x + 0.95 * torch.sin(x), torch.sinh])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_newton_takes_over_where_they_diverge(function, dtype):
    forward, with_jacobian, asked = diagonal(function)
    z = Z.to(dtype)
    x = invert(forward, lambda y: y, with_jacobian, z)
    assert x.dtype == dtype
    assert defect(forward, x, z) <= CERTIFIED * torch.finfo(dtype).eps
    assert asked


def test_newton_is_damped_where_a_full_step_overshoots():
    forward, with_jacobian, _ = diagonal(torch.atan)
    z = Z / Z.abs().max()
    x = invert(forward, lambda y: 20 * y, with_jacobian, z)  # far out on the flat part of the curve
    torch.testing.assert_close(x, torch.tan(z), rtol=1e-12, atol=1e-12)


def test_only_the_points_left_go_on():
    forward, with_jacobian, asked = diagonal(lambda x: torch.where(x > 0, 3 * x, x))
    z = torch.cat([-Z[:20].abs() - 0.1, Z[20:].abs() + 0.1])
    x = invert(forward, lambda y: y, with_jacobian, z)
    torch.testing.assert_close(x, torch.where(z > 0, z / 3, z))
    assert set(asked) == {10}


@pytest.mark.parametrize(
    ("function", "count"),
    [(lambda x: x**2, 4), (lambda x: 0 * x, 6), (lambda x: x * float("nan"), 6)],
    ids=["unreachable", "singular", "nan"],
)
def test_points_that_cannot_return_are_counted(function, count):
    forward, with_jacobian, _ = diagonal(function)
    z = torch.tensor([[1.0, 4.0], [0.25, 1.0], [-1.0, 1.0], [-2.0, -2.0], [1.0, -3.0], [-1.0, -1.0]]).double()
    with pytest.raises(NotConverged, match=f"^{count} points do not return"):
        invert(forward, lambda y: y, with_jacobian, z)
