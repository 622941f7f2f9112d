"""The parts of the paper's own trainer that the library does not train with, built from torch and torchdiffeq."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchdiffeq import odeint_adjoint

from pushforward.nets import MLP
from pushforward.nets.mlp import BETA
from pushforward.shapes import PerPoint, Points, Time


class PlainMLP(nn.Module):
    """The layers of ``network`` called as torch.nn writes them: no slope is computed that nobody asks for.

    The exact divergence, for the judge alone, is still the network's own.
    """

    def __init__(self, network: MLP) -> None:
        super().__init__()
        self.dim, self.network = network.dim, network
        hidden = [part for layer in network.layers[:-1] for part in (layer, nn.Softplus(BETA))]
        self.plain = nn.Sequential(*hidden, network.layers[-1])

    def forward(self, t: Time, x: Points) -> Points:
        """v(x) [n, d]."""
        return self.plain(x)

    def velocity_and_divergence(self, t: Time, x: Points) -> tuple[Points, PerPoint]:
        """v [n, d] and its exact divergence [n]."""
        return self.network.velocity_and_divergence(t, x)


@dataclass(frozen=True)
class AdjointGrid:
    """``steps`` equal sub-intervals, one step of torchdiffeq's rk4 each, gradients by the adjoint ODE."""

    steps: int = 3

    def __call__(self, field: nn.Module, state: Tensor, t0: float, t1: float) -> Tensor:
        times = torch.tensor([t0, t1], dtype=state.dtype)
        return odeint_adjoint(field, state, times, method="rk4", options={"step_size": (t1 - t0) / self.steps})[-1]
