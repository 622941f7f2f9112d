import pytest
import torch

from cases import jacobian, normal, randomised
from pushforward.errors import InputError
from pushforward.nets import NETS, Potential

X = normal(11, 3)
TIMES = [0.3, torch.tensor(0.3).double(), normal(11, 1)[:, 0]]  # one for all points, or one a point
each_depth = pytest.mark.parametrize("layers", [2, 3, 5])


def network(layers=3, dim=3, rank=10):
    return randomised(Potential(dim, 7, layers, rank).double(), 0.6)


def space_time_gradient(net, t, x):
    """∇Φ in x and in t, by autograd of the potential alone."""
    s = torch.cat([x, torch.as_tensor(t).double().reshape(-1, 1).expand(len(x), 1)], 1).requires_grad_()
    return torch.autograd.grad(net.potential(s[:, -1], s[:, :-1]).sum(), s)[0]


def test_the_potential_is_that_of_the_paper():
    net, t = network(3), 0.3
    s = torch.cat([X, torch.full((11, 1), t).double()], 1)

    def sigma(a):
        return a.abs() + torch.log(1 + torch.exp(-2 * a.abs()))

    u = sigma(s @ net.opening.weight.T + net.opening.bias)
    for layer in net.residual:
        u = u + 0.5 * sigma(u @ layer.weight.T + layer.bias)  # h = 1/(layers − 1)
    form = net.quadratic.T @ net.quadratic
    expected = u @ net.weight + 0.5 * torch.einsum("ni,ij,nj->n", s, form, s) + s @ net.linear
    torch.testing.assert_close(net.potential(t, X), expected)


@each_depth
@pytest.mark.parametrize("t", TIMES, ids=["float", "scalar", "each"])
def test_the_gradient_in_space_and_time_agrees_with_autograd(layers, t):
    net = network(layers)
    gradient, _ = net.gradient_and_laplacian(t, X)
    torch.testing.assert_close(gradient, space_time_gradient(net, t, X))
    torch.testing.assert_close(net(t, X), -gradient[:, :3])


@each_depth
@pytest.mark.parametrize("t", TIMES, ids=["float", "scalar", "each"])
def test_jacobian_divergence_and_laplacian_agree_with_autograd(layers, t):
    net = network(layers)
    v, found = net.velocity_and_jacobian(t, X)
    again, divergence = net.velocity_and_divergence(t, X)
    expected = jacobian(lambda x: -net._gradient(t, x)[0][:, :-1], X)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(divergence, expected.diagonal(dim1=1, dim2=2).sum(1))
    torch.testing.assert_close(net.gradient_and_laplacian(t, X)[1], -divergence)
    for velocity in (v, again):
        torch.testing.assert_close(velocity, net(t, X))


def test_the_gradient_of_the_divergence_is_that_of_central_differences():
    net, x = network(3), normal(5, 3).requires_grad_()
    parameters = [x, *(p for name, p in net.named_parameters() if name != "linear")]
    gradients = torch.autograd.grad(net.velocity_and_divergence(0.4, x)[1].sum(), parameters)
    for k, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
        direction, step = normal(*parameter.shape, seed=k), 1e-5
        values = []
        with torch.no_grad():
            for move in (step, -2 * step):
                parameter += move * direction
                values.append(net.velocity_and_divergence(0.4, x)[1].sum())
            parameter += step * direction
        slope = (values[0] - values[1]) / (2 * step)
        torch.testing.assert_close(slope, (gradient * direction).sum(), rtol=1e-7, atol=1e-8)


def test_steep_slopes_stay_finite():
    net = network(2)
    with torch.no_grad():
        net.opening.weight.mul_(1e4)
    found = [net.potential(0.5, X), *net.gradient_and_laplacian(0.5, X)]
    assert all(part.isfinite().all() for part in found)


def test_a_new_network_is_still_but_for_its_small_quadratic_form():
    net = Potential(4, 8, 3).double()
    v, jacobian_of_v = net.velocity_and_jacobian(0.0, normal(6, 4))
    form = net.quadratic.T @ net.quadratic
    torch.testing.assert_close(jacobian_of_v, -form[:4, :4].expand(6, 4, 4))
    assert 0 < v.abs().max() < 0.2


def test_settings_rebuild_the_network_of_the_stated_size():
    net = Potential(4, 6, 3, 2)
    assert net.settings() == {"dim": 4, "width": 6, "layers": 3, "rank": 2}
    again = NETS["potential"](**net.settings())
    assert sum(p.numel() for p in again.parameters()) == (5 + 1) * 6 + 2 * (6 + 1) * 6 + 6 + 2 * 5 + 5
    assert Potential(2).quadratic.shape == (3, 3)  # no more rows than d + 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"width": 0}, "width=0, rank=10"), ({"rank": 0}, "rank=0"), ({"layers": 1}, "layers is 1, expected at least 2")],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Potential(2, **settings)
