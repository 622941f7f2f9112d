"""The problem that both sides solve: one JKO block on the rose law, judged on the same held-out points."""

from dataclasses import dataclass

import torch
from torch import nn

import pushforward as pf
from pushforward.flows import Affine, ODEBijection
from pushforward.flows.flow import standard_normal_log_prob
from pushforward.metrics import mean_and_se
from pushforward.nets import MLP
from pushforward.numerics import Exact, FixedGrid
from pushforward.seeds import stream
from pushforward.shapes import PerPoint, Points

H = 0.25  # step size of the paper's first block on this law
FINE = FixedGrid(4)  # of the judge; 16 steps moved the NLL of a trained block by 4e-5 nats


@dataclass(frozen=True)
class Problem:
    """A block starts at ``x`` [n, 2]; ``held_out`` [m, 2] stand there too, with the log-determinant [m] of what led there."""

    x: Points
    held_out: Points
    log_det: PerPoint
    h: float = H

    @classmethod
    def rose(cls, points: int = 200_000, held_out: int = 5000, affine: bool = True) -> "Problem":
        """The rose law whitened by the exact affine map, or as it stands."""
        law = pf.distributions.rose()
        x, z = law.sample(points, stream(0, "bench/train")), law.sample(held_out, stream(0, "bench/held-out"))
        if not affine:
            return cls(x, z, torch.zeros(held_out))
        start = Affine.fit(x)
        return cls(start(x), *start.forward_and_log_det(z))

    @torch.no_grad()
    def nll(self, velocity: nn.Module) -> float:
        """Held-out NLL, in nats, of the flow that ends with this block: exact trace on a fine grid, for every recipe."""
        z, log_det = ODEBijection(velocity, FINE, "trace", Exact()).forward_and_log_det(self.held_out)
        return mean_and_se(-(standard_normal_log_prob(z) + log_det + self.log_det)).value


def paper_network(seed: int) -> MLP:
    """The paper's velocity, 2-128-128-128-2 with softplus, no time input, with torch's own initial weights in all layers.

    The library's last layer starts at zero; the paper's does not, and at its learning rate zeros cost the baseline some
    30 iterations, so both sides start from the paper's weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, "bench/init").initial_seed())
        network = MLP(2)
        network.layers[-1].reset_parameters()
    return network


def zero_last_layer(seed: int) -> MLP:
    """The same network as the library starts it: the block is the identity at first."""
    network = paper_network(seed)
    torch.nn.init.zeros_(network.layers[-1].weight)
    torch.nn.init.zeros_(network.layers[-1].bias)
    return network
