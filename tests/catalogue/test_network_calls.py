"""Network calls of sampling: counts that are known beforehand."""

import pytest
import torch
from torch import nn

from pushforward.catalogue.network_calls import sampling_calls
from pushforward.flows import Chain, Flow, ImplicitBlock, ODEBijection, ResidualBlock, ZukoFlow
from pushforward.implicit import build_network
from pushforward.nets import NETS
from pushforward.numerics import Adaptive, FixedGrid
from pushforward.seeds import stream

DOPRI5 = Adaptive(1e-5, 1e-5)
POINTS = 20


def calls(*blocks, solver=DOPRI5):
    flow = Flow(Chain(blocks[0].dim, blocks)).eval()
    return sampling_calls(flow, POINTS, stream(0, "calls"), solver)


class Linear(nn.Module):
    """v = −x / 2, which knows how often it was called."""

    dim = 2

    def __init__(self):
        super().__init__()
        self.count = []

    def forward(self, t, x):
        self.count.append(1)
        return -0.5 * x


def test_an_ode_counts_evaluations_of_the_solver_asked_for():
    velocity = Linear()
    flow = Flow(Chain(2, [ODEBijection(velocity, FixedGrid(50))]))
    found = sampling_calls(flow, POINTS, stream(0, "calls"), DOPRI5)
    z, direct = torch.randn(POINTS, 2, generator=stream(0, "calls")), Linear()
    DOPRI5(direct, z, 1.0, 0.0)
    assert found == len(direct.count) < 50
    assert not velocity.count and flow.bijection.blocks[0].solver == FixedGrid(50)  # it was a copy that sampled


def test_two_odes_count_twice():
    both = calls(ODEBijection(NETS["mlp"](dim=2, widths=(4,))), ODEBijection(NETS["mlp"](dim=2, widths=(4,))))
    assert both == 2 * calls(ODEBijection(NETS["mlp"](dim=2, widths=(4,)))) > 0


@pytest.mark.parametrize(
    ("dim", "settings", "expected"),
    [
        (2, {"transforms": 3}, 6),  # one call a coordinate and transform
        (4, {"transforms": 2}, 8),
        (4, {"transforms": 3, "passes": 2}, 6),  # coupling: two a transform
        (3, {"model": "maf", "transforms": 5}, 15),
    ],
)
def test_an_autoregressive_inverse_calls_once_a_coordinate(dim, settings, expected):
    assert calls(ZukoFlow(dim, hidden=(4,), **settings)) == expected


def test_a_residual_block_counts_the_steps_of_its_inversion():
    identity = ResidualBlock(NETS["mlp"](dim=2, widths=(4,)))  # its last layer starts at zero
    assert calls(identity) == 1  # the start is right, and checked
    bent = ResidualBlock(NETS["mlp"](dim=2, widths=(4,)))
    nn.init.constant_(bent.net.layers[-1].weight, 0.2)
    assert calls(bent) > calls(identity)
    assert calls(bent, identity) == calls(bent) + calls(identity)


def test_a_certified_root_counts_its_steps_a_mean_over_points():
    torch.manual_seed(0)
    net = build_network({"kind": "mlp", "widths": (8,), "activation": "sin", "coeff": 0.9}, dim=2)
    block = ImplicitBlock(g_x=net)
    found = calls(block)
    flow = Flow(Chain(2, [block]))
    flow.sample(POINTS, stream(0, "calls"))
    assert block.audits["inverse"].solves == POINTS
    assert found == block.audits["inverse"].iterations / POINTS > 0
