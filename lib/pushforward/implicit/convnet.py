"""A convolutional network with a known Lipschitz constant, on images laid out flat."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from pushforward.errors import InputError
from pushforward.implicit.activations import ACTIVATIONS
from pushforward.implicit.lipschitz import NEAR_IDENTITY, Lipschitz, check_coeff
from pushforward.implicit.spectral import Convolution, normalise
from pushforward.shapes import Points


class LipschitzConv(Lipschitz):
    """g = W_L φ(… φ(W_1 [φ](x)) …) with convolutions W_l, ‖W_l‖₂ ≤ c at the images' own size, so κ ≤ c^L.

    An image [channels, h, w] is a point in R^(channels · h · w), pixel by pixel, row by row, channel by channel: what
    ``images.flatten(1)`` gives. Source: residual flows (arXiv 1906.02735), appendix E; implicit flows (arXiv
    2103.09527), section 5, where kernels are 3, 1, 3 and the width is 512.

    Args:
        shape: channels, height and width of an image.
        width: channels between the convolutions.
        kernels: odd sides of their kernels, at least two.
        activation: ``sin`` or ``lipswish``.
        coeff: c in (0, 1), the bound of one convolution.
        preactivation: begin with the activation; the paper's first block has none, all others have one.

    Raises:
        InputError: a shape that is none, fewer than two kernels or an even one, an unknown activation, c outside
            (0, 1).
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 512,
        kernels: Sequence[int] = (3, 1, 3),
        activation: str = "lipswish",
        coeff: float = 0.9,
        preactivation: bool = True,
    ) -> None:
        super().__init__()
        self.shape, self.width, self.kernels = check_shape(shape), width, tuple(kernels)
        if len(self.kernels) < 2 or any(kernel < 1 or kernel % 2 == 0 for kernel in self.kernels):
            raise InputError(f"kernels are {self.kernels}, expected two or more odd sides such as (3, 1, 3)")
        if activation not in ACTIVATIONS:
            raise InputError(f"activation {activation!r} is unknown, expected one of {sorted(ACTIVATIONS)}")
        self.activation, self.coeff, self.preactivation = activation, check_coeff(coeff), preactivation
        self.dim = math.prod(self.shape)
        channels = [self.shape[0], *[width] * (len(self.kernels) - 1), self.shape[0]]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, kernel, padding=kernel // 2)
            for a, b, kernel in zip(channels[:-1], channels[1:], self.kernels, strict=True)
        )
        self.first = ACTIVATIONS[activation]() if preactivation else nn.Identity()
        self._bound: tuple[object, float] = (None, 0.0)  # of the weights that were met last
        self.activations = nn.ModuleList(ACTIVATIONS[activation]() for _ in self.layers[:-1])
        with torch.no_grad():
            for parameter in self.layers[-1].parameters():
                parameter.mul_(NEAR_IDENTITY)
        for layer, kernel in zip(self.layers, self.kernels, strict=True):
            # A 1 × 1 kernel acts on every pixel alike: the norm of its matrix at one pixel is that of the whole.
            operator = Convolution(self.shape[1:] if kernel > 1 else (1, 1), kernel)
            normalise(layer, coeff, operator, torch.randn(layer.in_channels, *operator.size))

    def settings(self) -> dict:
        """The arguments that rebuild this network."""
        return {
            "shape": list(self.shape),
            "width": self.width,
            "kernels": list(self.kernels),
            "activation": self.activation,
            "coeff": self.coeff,
            "preactivation": self.preactivation,
        }

    def forward(self, x: Points) -> Points:
        """g(x) [n, channels · h · w]."""
        return self.effective()(x)

    def effective(self) -> "ConvLayers":
        """g with its weights normalised once, for several evaluations; the graph leads to the parameters."""
        weights, biases = [layer.weight for layer in self.layers], [layer.bias for layer in self.layers]
        return ConvLayers(self.shape, weights, biases, [self.first, *self.activations])

    @property
    def kappa(self) -> float:
        """``Lipschitz.kappa``. In evaluation its singular values are dear: they are kept while the weights stand."""
        if self.training:
            return super().kappa
        tensors = [*self.parameters(), *self.buffers()]
        state = [(t.data_ptr(), t._version, t.dtype) for t in tensors]
        if state != self._bound[0]:
            self._bound = state, super().kappa
        return self._bound[1]


@dataclass(frozen=True)
class ConvLayers:
    """W_L φ(… φ(W_1 φ_0(x)) …) with the weights as they act."""

    shape: tuple[int, int, int]
    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    activations: Sequence[nn.Module]  # φ_0 first, which may be the identity

    def __call__(self, x: Points) -> Points:
        a = x.unflatten(1, self.shape)
        for activation, weight, bias in zip(self.activations, self.weights, self.biases, strict=True):
            a = conv2d(activation(a), weight, bias, padding=weight.shape[-1] // 2)
        return a.flatten(1)

    @torch.no_grad()
    def frozen(self, dtype: torch.dtype) -> "ConvLayers":
        """The same map in another precision, without a graph to the parameters."""
        weights, biases = ([t.detach().to(dtype) for t in part] for part in (self.weights, self.biases))
        activations = [copy.deepcopy(activation).to(dtype).requires_grad_(False) for activation in self.activations]
        return ConvLayers(self.shape, weights, biases, activations)


def check_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """The shape as (channels, height, width).

    Raises:
        InputError: it is not three positive whole numbers.
    """
    found = tuple(shape)
    if len(found) != 3 or not all(isinstance(side, int) and side > 0 for side in found):
        raise InputError(f"shape is {found}, expected channels, height and width, three positive whole numbers")
    return found
