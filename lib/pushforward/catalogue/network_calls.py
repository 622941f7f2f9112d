"""How often sampling calls a flow's networks, whatever the flow is: along an ODE, at a root, one by one coordinate."""

import torch
from torch import Tensor, nn

from pushforward.flows import Flow, ImplicitBlock, ODEBijection, ResidualBlock, ZukoFlow, with_solver
from pushforward.numerics import Solver, velocity_and_jacobian
from pushforward.shapes import Points, Time


class _Counting(nn.Module):
    """A network of x ↦ x + g(x) that counts its calls; one with the Jacobian, as Newton's steps make, is one call."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.dim, self.calls = net, net.dim, 0

    def forward(self, t: Time, x: Points) -> Points:
        self.calls += 1
        return self.net(t, x)

    def velocity_and_jacobian(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        """Both [n, d] and [n, d, d], counted as one."""
        self.calls += 1
        return velocity_and_jacobian(self.net, t, x)


@torch.no_grad()
def sampling_calls(flow: Flow, points: int, generator: torch.Generator, solver: Solver) -> float:
    """Calls of all networks of ``flow`` while it samples ``points`` points together.

    An ODE is solved by ``solver``, and its velocity's evaluations count. The masked networks of zuko count where they
    are called: an autoregressive inverse has one call a coordinate and transform. A residual block of IGNN counts the
    calls of its inversion, those with the Jacobian too, even if the last are for few points. The root solver of a
    residual or implicit block counts its steps, each point for itself: their mean over the points, summed over blocks.

    Raises:
        NotConverged: a block could not be inverted.
    """
    flow = with_solver(flow, solver)  # a copy
    calls: list[int] = []
    counters, blocks = [], [part for part in flow.modules() if isinstance(part, ImplicitBlock)]
    for part in list(flow.modules()):
        if isinstance(part, ODEBijection):
            part.velocity.register_forward_hook(lambda *_: calls.append(1))
        elif isinstance(part, ResidualBlock):
            part.net = _Counting(part.net)
            counters.append(part.net)
        elif isinstance(part, ZukoFlow):
            for name, net in part.named_modules():
                if name.endswith("hyper"):
                    net.register_forward_hook(lambda *_: calls.append(1))
    before = _steps(blocks)
    flow.sample(points, generator)
    return len(calls) + sum(counter.calls for counter in counters) + (_steps(blocks) - before) / points


def _steps(blocks: list[ImplicitBlock]) -> int:
    return sum(audit.iterations for block in blocks for audit in block.audits.values())
