import pytest
import torch

from cases import jacobian, normal, randomised
from pushforward.errors import InputError
from pushforward.nets import NETS, Gated


def network(filters=6):
    return randomised(Gated(3, filters).double(), 0.7)


def test_the_field_is_gated_filters():
    velocity, x = network(), normal(5, 3)
    u = x @ velocity.analysis.T + velocity.offset
    gate = torch.tanh((1 + (velocity.scale * u) ** 2).log() @ velocity.coupling.T + velocity.gate_bias)
    torch.testing.assert_close(velocity(0.0, x), (u * gate) @ velocity.synthesis + velocity.bias)


def test_the_divergence_agrees_with_autograd():
    velocity, x = network(), normal(11, 3)
    v, divergence = velocity.velocity_and_divergence(0.0, x)
    torch.testing.assert_close(v, velocity(0.0, x))
    torch.testing.assert_close(divergence, jacobian(lambda y: velocity(0.0, y), x).diagonal(dim1=1, dim2=2).sum(1))


def test_the_gradient_of_the_divergence_is_right():
    velocity, x = network(3), normal(4, 3).requires_grad_()
    names = [name for name, _ in velocity.named_parameters()]

    def divergence(y, *weights):
        named = {f"net.{name}": weight for name, weight in zip(names, weights, strict=True)}
        return torch.func.functional_call(_Divergence(velocity), named, (y,))

    assert torch.autograd.gradcheck(divergence, (x, *velocity.parameters()))


class _Divergence(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net.velocity_and_divergence(0.0, x)[1]


def test_a_new_block_is_the_identity():
    v, divergence = Gated(3, 8).double().velocity_and_divergence(0.0, normal(5, 3))
    assert not v.any() and not divergence.any()


def test_settings_rebuild_the_network_of_the_stated_size():
    d, m = 4, 6
    velocity = Gated(d, m)
    again = NETS["gated"](**velocity.settings())
    assert velocity.settings() == {"dim": d, "filters": m}
    assert sum(p.numel() for p in again.parameters()) == 2 * m * d + m * m + 3 * m + d


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="filters is 0"):
        Gated(2, 0)
