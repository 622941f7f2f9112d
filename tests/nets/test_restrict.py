"""A velocity restricted to a part of its path, for every network that can be."""

import pytest
import torch

from cases import normal, randomised
from pushforward.nets import MLP, NETS, Gated, Lattice

NETWORKS = {
    "mlp": MLP(2, (6, 5), "tanh"),
    "mlp in time": MLP(2, (6,), "silu", time=True),
    "lattice": Lattice(2, (10, 8), 3.0),
    "gated": Gated(2, 4),
}
X = normal(12, 2)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (0.5, 1.0), (0.2, 0.9)])
def test_the_velocity_of_a_part_of_the_path_in_unit_time(name, start, end):
    net = randomised(NETWORKS[name].double())
    with torch.no_grad():
        expected = [(end - start) * net(start + (end - start) * t, X) for t in (0.0, 0.3, 1.0)]
        net.restrict_(start, end)
        found = [net(t, X) for t in (0.0, 0.3, 1.0)]
    assert expected[0].abs().min() > 1e-3
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def test_every_network_here_is_one_that_can():
    assert {type(net) for net in NETWORKS.values()} == {cls for cls in NETS.values() if hasattr(cls, "restrict_")}
