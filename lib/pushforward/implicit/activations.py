"""Activations of slope at most 1, smooth enough for a log-determinant to be trained through.

The gradient of ln det(I + J) holds second derivatives of the network; both activations keep theirs where the slope is
near 1, which is where a Lipschitz network must work. (ReLU has none.)
Source: residual flows (arXiv 1906.02735) and implicit flows (arXiv 2103.09527).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

TWO_PI = 2 * math.pi
SWISH_SLOPE = 1.1  # the steepest slope of y σ(y) is 1.09984, at the y > 0 with y tanh(y/2) = 2


class Sin(nn.Module):
    """sin(2π a)/(2π), slope cos(2π a): exactly 1-Lipschitz."""

    def forward(self, a: Tensor) -> Tensor:
        return torch.sin(TWO_PI * a) / TWO_PI

    def value_and_slope(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """The activation and its derivative at a, both of a's shape."""
        return self(a), torch.cos(TWO_PI * a)


class Sine:
    """sin a: what is left of ``Sin`` once its factors 2π stand in the layers around it."""

    def __call__(self, a: Tensor) -> Tensor:
        return torch.sin(a)

    def value_and_slope(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """The activation and its derivative at a, both of a's shape."""
        return torch.sin(a), torch.cos(a)


class LipSwish(nn.Module):
    """a σ(softplus(β) a)/1.1 with one learned β, 0.5 at first: slope in [−0.091, 0.99986] whatever β is."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(0.5))

    def forward(self, a: Tensor) -> Tensor:
        return a * torch.sigmoid(softplus(self.beta) * a) / SWISH_SLOPE

    def value_and_slope(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """The activation and its derivative at a, both of a's shape."""
        y = softplus(self.beta) * a
        gate = torch.sigmoid(y)
        return a * gate / SWISH_SLOPE, gate * (1 + y * (1 - gate)) / SWISH_SLOPE


ACTIVATIONS = {"sin": Sin, "lipswish": LipSwish}
