"""Hard maps for the studies: as far from the identity as a Lipschitz bound lets them be."""

from collections.abc import Sequence

import torch
from torch import nn

from pushforward.implicit import LipschitzMLP
from pushforward.seeds import stream


def contracting_network(dim: int, widths: Sequence[int], kappa: float, seed: int = 0) -> LipschitzMLP:
    """A network in float64 that is as far from the identity as its bound lets it: J(0) = −κ I, milder away from 0.

    Every layer is an isometry scaled to its bound, the last one minus the transpose of those before it; hidden layers
    must not be narrower than ``dim``.
    """
    generator = stream(seed, f"study/network/{dim}")
    g = LipschitzMLP(dim, widths, "sin", kappa ** (1 / (len(widths) + 1))).double()
    onward = torch.eye(dim, dtype=torch.float64)
    with torch.no_grad():
        for layer in g.layers[:-1]:
            weight = layer.parametrizations.weight.original
            torch.nn.init.orthogonal_(weight, generator=generator)
            onward = weight @ onward
        g.layers[-1].parametrizations.weight.original.copy_(-onward.T)
        for layer in g.layers:
            layer.bias.zero_()
    return g.eval().requires_grad_(False)


def rotation(dim: int, kappa: float) -> nn.Module:
    """z ↦ κ Q z with Q orthogonal: every distance shrinks by κ and by no more, the fixed point's hardest map."""
    g = nn.Linear(dim, dim, bias=False, dtype=torch.float64).requires_grad_(False)
    nn.init.orthogonal_(g.weight, generator=stream(0, f"study/rotation/{dim}"))
    g.weight.mul_(kappa)
    return g
