"""A velocity of gated filters: the form of the score of a scale mixture, with its divergence in closed form."""

import math

import torch
from torch import Tensor, nn

from pushforward.errors import InputError
from pushforward.shapes import PerPoint, Points, Time


class Gated(nn.Module):
    """v(x) = Bᵀ(u ∘ g) + c with filters u = Ux + a and gates g = tanh(C log(1 + (s∘u)²) + b).

    A filter's response is scaled up or down by the energies of all the others. The score of a mixture of zero-mean
    Gaussians is of this form (responsibilities are functions of energies), which is what image patches look like;
    a plain MLP has to build the products itself. With G = UBᵀ the exact divergence costs one more product:

        div v = Σ_i g_i G_ii + (u ∘ g')ᵀ [C ∘ Gᵀ] φ'(u),   g' = 1 − g²,   φ(u) = log(1 + (s∘u)²).

    B and c start at zero, so that a new block is the identity.

    Args:
        dim: dimension d of the points.
        filters: number m of filters; 2md + m² + 3m + d parameters.
    """

    def __init__(self, dim: int, filters: int = 192) -> None:
        super().__init__()
        if filters < 1:
            raise InputError(f"filters is {filters}, expected at least 1")
        self.dim, self.filters = dim, filters
        self.analysis = nn.Parameter(torch.randn(filters, dim) / math.sqrt(dim))  # U [m, d]
        self.offset = nn.Parameter(torch.zeros(filters))  # a [m]
        self.synthesis = nn.Parameter(torch.zeros(filters, dim))  # B [m, d]
        self.coupling = nn.Parameter(0.1 * torch.randn(filters, filters) / math.sqrt(filters))  # C [m, m]
        self.scale = nn.Parameter(torch.ones(filters))  # s [m]
        self.gate_bias = nn.Parameter(torch.zeros(filters))  # b [m]
        self.bias = nn.Parameter(torch.zeros(dim))  # c [d]

    def settings(self) -> dict:
        """The arguments that rebuild this network."""
        return {"dim": self.dim, "filters": self.filters}

    @torch.no_grad()
    def restrict_(self, start: float, end: float) -> None:
        """Become (end − start) v: the path from ``start`` to ``end``, run in unit time; the field is autonomous."""
        self.synthesis *= end - start
        self.bias *= end - start

    def _filters_and_gates(self, x: Points) -> tuple[Tensor, Tensor]:
        u = x @ self.analysis.T + self.offset
        return u, torch.tanh(torch.log1p((u * self.scale).square()) @ self.coupling.T + self.gate_bias)

    def forward(self, t: Time, x: Points) -> Points:
        """v(x) [n, d]; the field is autonomous, t is not used."""
        u, gate = self._filters_and_gates(x)
        return (u * gate) @ self.synthesis + self.bias

    def velocity_and_divergence(self, t: Time, x: Points) -> tuple[Points, PerPoint]:
        """v [n, d] and its exact divergence [n]."""
        u, gate = self._filters_and_gates(x)
        overlap = self.analysis @ self.synthesis.T  # G [m, m]
        energy = (u * self.scale).square()
        slope = 2 * u * self.scale.square() / (1 + energy)  # φ'(u)
        coupled = slope @ (self.coupling * overlap.T).T
        divergence = gate @ overlap.diagonal() + (u * (1 - gate.square()) * coupled).sum(1)
        return (u * gate) @ self.synthesis + self.bias, divergence
