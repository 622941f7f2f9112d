import pytest
import torch
from torch.nn.functional import silu, softplus

from cases import jacobian, normal, randomised
from pushforward.errors import InputError
from pushforward.nets import MLP, NETS

every = pytest.mark.parametrize("activation", ["softplus", "silu", "tanh"])
depths = pytest.mark.parametrize("widths", [(7,), (7, 5), (7, 5, 6)], ids=len)
time = pytest.mark.parametrize("time", [False, True], ids=["autonomous", "time"])


def network(widths=(7, 5), activation="tanh", time=False):
    return randomised(MLP(3, widths, activation, time).double(), 0.6)


@every
@depths
@time
def test_closed_forms_agree_with_autograd(activation, widths, time):
    velocity, x = network(widths, activation, time), normal(11, 3)
    expected = jacobian(lambda y: velocity(0.3, y), x)
    v, found = velocity.velocity_and_jacobian(0.3, x)
    torch.testing.assert_close(v, velocity(0.3, x))
    torch.testing.assert_close(found, expected)
    v, divergence = velocity.velocity_and_divergence(0.3, x)
    torch.testing.assert_close(v, velocity(0.3, x))
    torch.testing.assert_close(divergence, expected.diagonal(dim1=1, dim2=2).sum(1))


@every
@depths
def test_gradients_of_the_closed_forms_are_those_of_autograd(activation, widths):
    velocity, x = network(widths, activation), normal(4, 3)
    weights = list(velocity.layers[0].parameters()) + [velocity.layers[-1].weight]
    closed = velocity.velocity_and_divergence(0.0, x)[1].sum()
    y = x.clone().requires_grad_()
    v = velocity(0.0, y)
    slow = sum(torch.autograd.grad(v[:, i].sum(), y, create_graph=True)[0][:, i].sum() for i in range(3))
    for a, b in zip(torch.autograd.grad(closed, weights), torch.autograd.grad(slow, weights), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("activation", "function"),
    [("softplus", lambda a: softplus(a, beta=20)), ("silu", silu), ("tanh", torch.tanh)],
)
def test_layers_alternate_with_the_named_activation(activation, function):
    velocity, x = network((7, 5), activation), normal(6, 3)
    first, second, last = velocity.layers
    torch.testing.assert_close(velocity(0.0, x), last(function(second(function(first(x))))))


def test_time_enters_when_asked_and_only_then():
    x = normal(5, 3)
    with_time, without = network(time=True), network()
    assert not torch.allclose(with_time(0.1, x), with_time(0.9, x))
    assert torch.equal(without(0.1, x), without(0.9, x))
    assert torch.equal(with_time(torch.tensor(0.5), x), with_time(0.5, x))


@depths
def test_a_time_a_point_is_that_time_for_that_point(widths):
    velocity, x, times = network(widths, time=True), normal(9, 3), torch.linspace(0, 1, 9, dtype=torch.float64)
    one_by_one = torch.cat([velocity(float(t), point[None]) for t, point in zip(times, x, strict=True)])
    torch.testing.assert_close(velocity(times, x), one_by_one)
    _, divergences = velocity.velocity_and_divergence(times, x)
    expected = [velocity.velocity_and_divergence(t, point[None])[1] for t, point in zip(times, x, strict=True)]
    torch.testing.assert_close(divergences, torch.cat(expected))


@every
def test_a_new_block_is_the_identity(activation):
    velocity, x = MLP(3, (8, 8), activation).double(), normal(5, 3)
    v, divergence = velocity.velocity_and_divergence(0.0, x)
    assert not v.any() and not divergence.any()
    assert all(layer.weight.any() for layer in velocity.layers[:-1])


def test_settings_rebuild_the_network():
    velocity = MLP(3, (7, 5), "silu", time=True)
    assert velocity.settings() == {"dim": 3, "widths": [7, 5], "activation": "silu", "time": True}
    again = NETS["mlp"](**velocity.settings())
    assert [p.shape for p in again.parameters()] == [p.shape for p in velocity.parameters()]
    assert sum(p.numel() for p in MLP(2).parameters()) == 33_666  # the paper's network


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="widths is empty"):
        MLP(2, ())
    with pytest.raises(InputError, match="activation 'relu' is unknown"):
        MLP(2, (8,), "relu")
