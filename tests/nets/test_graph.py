import pytest
import torch
from torch import nn

from cases import PATH_GRAPH, jacobian, normal, randomised
from pushforward.errors import InputError
from pushforward.nets import NETS, ChebyshevNet
from pushforward.nets.graph import chebyshev

SETTINGS = [{}, {"labels": True}, {"shared": True}, {"order": 1}, {"order": 5, "activation": "tanh"}, {"features": 1}]
every = pytest.mark.parametrize("settings", SETTINGS, ids=str)


def network(features=2, labels=False, scale=0.5, **settings):
    dim = 3 * (features + labels)
    net = ChebyshevNet(dim, PATH_GRAPH, features, widths=(6, 5), labels=labels, **settings)
    return randomised(net.double(), scale)


@every
def test_the_field_is_the_formula_node_by_node(settings):
    """Written out with loops, and with Chebyshev polynomials of the eigenvalues: T_k(cos θ) = cos kθ."""
    net, x = network(**settings), normal(4, network(**settings).dim)
    a = torch.tensor(PATH_GRAPH, dtype=torch.float64)
    root = a.sum(1).rsqrt()
    values, vectors = torch.linalg.eigh(-root[:, None] * a * root)
    angle = values.clamp(-1, 1).arccos()
    polynomials = [vectors @ torch.diag(torch.cos(k * angle)) @ vectors.T for k in range(net.order)]
    act = {"silu": nn.functional.silu, "tanh": torch.tanh}[net.activation]
    f, expected = net.features, torch.zeros_like(x)
    for row in range(4):
        for v in range(3):
            own = 0 if net.shared else v
            seen = sum(
                polynomials[k][v, u] * x[row, u * f : (u + 1) * f] @ net.filters[k]
                for k in range(net.order)
                for u in range(3)
            )
            hidden = act(act(seen + net.offset) @ net.inner[own] + net.inner_bias[own])
            expected[row, v * f : (v + 1) * f] = (hidden @ net.outer[own] + net.outer_bias[own]).detach()
    torch.testing.assert_close(net(0.0, x), expected, rtol=0, atol=1e-12)


@every
def test_jacobian_and_divergence_are_those_of_autograd(settings):
    net = network(**settings)
    x = normal(5, net.dim)
    expected = jacobian(lambda y: net(0.0, y), x)
    v, found = net.velocity_and_jacobian(0.0, x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(v, net(0.0, x), rtol=0, atol=1e-13)
    v, divergence = net.velocity_and_divergence(0.0, x)
    torch.testing.assert_close(divergence, expected.diagonal(dim1=1, dim2=2).sum(1), rtol=0, atol=1e-12)
    torch.testing.assert_close(v, net(0.0, x), rtol=0, atol=1e-13)


def test_a_filter_of_size_two_sees_the_neighbours_and_no_further():
    for order, reach in ((1, 0), (2, 1), (3, 2)):
        net = network(order=order)
        block = jacobian(lambda y, net=net: net(0.0, y), normal(3, 6))[:, :2]  # of the first node of the path
        assert [bool(block[:, :, 2 * u : 2 * u + 2].any()) for u in range(3)] == [u <= reach for u in range(3)]


def test_labels_are_neither_read_nor_moved():
    net, x = network(labels=True), normal(5, 9)
    other = torch.cat([x[:, :6], x[:, 6:] + 1], 1)
    v = net(0.0, x)
    assert torch.equal(v, net(0.0, other)) and not v[:, 6:].any() and v[:, :6].all()


def test_a_new_block_is_the_identity():
    net = ChebyshevNet(6, PATH_GRAPH)
    v, divergence = net.velocity_and_divergence(0.0, normal(5, 6, dtype=torch.float32))
    assert not v.any() and not divergence.any() and net.filters.any() and net.inner.any()


def test_a_node_alone_and_self_loops_do_no_harm():
    a = torch.tensor([[3.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 5.0]], dtype=torch.float64)
    found = chebyshev(a, 3)
    wanted = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(found[1], wanted)
    torch.testing.assert_close(found[2], torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)))


def test_settings_rebuild_the_network():
    net = network(labels=True, shared=True)
    again = NETS["chebyshev"](**net.settings()).double()
    again.load_state_dict(net.state_dict())
    x = normal(3, 9)
    assert torch.equal(again(0.0, x), net(0.0, x)) and "polynomials" not in net.state_dict()
    assert again.inner.shape[0] == 1 and network().inner.shape[0] == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim": 7}, "dim is 7, expected 6: 3 nodes of 2 features"),
        ({"labels": True}, "dim is 6, expected 9: 3 nodes of 2 features and a label"),
        ({"adjacency": [[0.0, 1.0]]}, r"adjacency has shape \(1, 2\)"),
        ({"adjacency": [[0.0, 1.0], [2.0, 0.0]]}, "adjacency is not symmetric"),
        ({"adjacency": [[0.0, -1.0], [-1.0, 0.0]]}, "at least 0"),
        ({"adjacency": "ring"}, "adjacency is no matrix"),
        ({"order": 0}, "order=0"),
        ({"widths": (4,)}, r"widths=\(4,\): expected 1 or more, two widths"),
        ({"activation": "relu"}, "activation 'relu' is unknown"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        ChebyshevNet(**{"dim": 6, "adjacency": PATH_GRAPH, **settings})
