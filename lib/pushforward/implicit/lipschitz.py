"""Networks with a known Lipschitz constant: every layer is divided by its spectral norm where that exceeds c.

The norm is σ̂ = ⟨u, W v⟩ with the singular vectors u, v kept as buffers. They move only when ``update_norms`` is
called (after each optimiser step), never inside ``forward``: a solver must meet one and the same map at every step.
Many evaluations without gradients may share one normalisation, inside ``torch.nn.utils.parametrize.cached()``.
Source: residual flows (arXiv 1906.02735), implicit flows (arXiv 2103.09527).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils import parametrize

from pushforward.errors import InputError
from pushforward.implicit.activations import ACTIVATIONS, TWO_PI, Sine
from pushforward.implicit.spectral import MATRIX, Convolution, SoftSpectral, normalise
from pushforward.shapes import Points

NEAR_IDENTITY = 1e-3  # factor on the last layer: a new block starts near the identity


class Lipschitz(nn.Module):
    """A network whose spectral layers compose with maps of slope at most 1; subclasses write ``forward``."""

    @cached_property
    def spectral(self) -> list[tuple[nn.Module, SoftSpectral]]:
        """Every normalised layer with its parametrisation, in order."""
        return [
            (layer, layer.parametrizations.weight[0])
            for layer in self.modules()
            if parametrize.is_parametrized(layer, "weight")
        ]

    def update_norms(self, iterations: int | None = None, tolerance: float | None = None) -> None:
        """Renew the norms after the weights have changed.

        Args:
            iterations: so many power iterations, warm-started.
            tolerance: power iterations until v moves by at most this much, at most ``iterations`` or 200 of them.
                With neither, the singular vectors are exact (for large convolutions: iterated to 1e-5).
        """
        for layer, norm in self.spectral:
            norm.update(layer.parametrizations.weight.original, iterations, tolerance)

    def train(self, mode: bool = True) -> "Lipschitz":
        """Entering evaluation makes the norms exact; after loading or swapping weights later, update them again."""
        super().train(mode)
        if not mode:
            self.update_norms()
        return self

    @property
    def kappa(self) -> float:
        """A bound on the Lipschitz constant, the product over the layers of their norms.

        In evaluation it is certified: singular values of the weights as they act, however stale u and v may be. In
        training it is the cheap estimate ∏ min(c, σ̂), right as far as the last ``update_norms`` was.
        """
        with torch.no_grad():
            if self.training:
                return math.prod(
                    min(norm.coeff, float(norm.sigma(layer.parametrizations.weight.original)))
                    for layer, norm in self.spectral
                )
            return math.prod(norm.operator.norm_bound(layer.weight) for layer, norm in self.spectral)


class LipschitzMLP(Lipschitz):
    """g(x) = W_L φ(… φ(W_1 x + b_1) …) + b_L on R^d with every ‖W_l‖₂ ≤ c, so κ ≤ c^L.

    Args:
        dim: dimension d of the points.
        widths: hidden widths, at least one.
        activation: ``sin`` or ``lipswish``.
        coeff: c in (0, 1), the bound of one layer.

    Raises:
        InputError: no hidden layer, an unknown activation, or c outside (0, 1).
    """

    def __init__(
        self, dim: int, widths: Sequence[int] = (128, 128), activation: str = "sin", coeff: float = 0.99
    ) -> None:
        super().__init__()
        if not widths:
            raise InputError("widths is empty, expected at least one hidden layer")
        if activation not in ACTIVATIONS:
            raise InputError(f"activation {activation!r} is unknown, expected one of {sorted(ACTIVATIONS)}")
        self.dim, self.widths, self.activation, self.coeff = dim, tuple(widths), activation, check_coeff(coeff)
        sizes = [dim, *widths, dim]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        self.activations = nn.ModuleList(ACTIVATIONS[activation]() for _ in widths)
        with torch.no_grad():
            for parameter in self.layers[-1].parameters():
                parameter.mul_(NEAR_IDENTITY)
        for layer in self.layers:
            normalise(layer, coeff, MATRIX, torch.ones(layer.in_features))

    def settings(self) -> dict:
        """The arguments that rebuild this network."""
        return {"dim": self.dim, "widths": list(self.widths), "activation": self.activation, "coeff": self.coeff}

    def forward(self, x: Points) -> Points:
        """g(x) [n, d]."""
        return self.effective()(x)

    def value_and_jacobian(self, x: Points) -> tuple[Points, Tensor]:
        """g(x) [n, d] and J[n, i, j] = ∂g_i/∂x_j [n, d, d], all d tangents in one pass, differentiable."""
        return self.effective().value_and_jacobian(x)

    def effective(self) -> "Layers":
        """g with its weights normalised once, for several evaluations; the graph leads to the parameters."""
        weights, biases = [layer.weight for layer in self.layers], [layer.bias for layer in self.layers]
        if self.activation != "sin":
            return Layers(weights, biases, list(self.activations))
        # sin(2π a)/(2π) on all points costs as much as a matrix product: its factors move into the small matrices.
        weights = [TWO_PI * weights[0], *weights[1:-1], weights[-1] / TWO_PI]
        return Layers(weights, [*(TWO_PI * bias for bias in biases[:-1]), biases[-1]], [Sine()] * len(self.widths))


@dataclass(frozen=True)
class Layers:
    """x ↦ W_L φ(… φ(W_1 x + b_1) …) + b_L with the weights [out, in] as they are given."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]
    activations: Sequence[nn.Module]

    def __call__(self, x: Points) -> Points:
        """g(x) [n, d]."""
        a = x
        for weight, bias, activation in zip(self.weights, self.biases, self.activations, strict=False):
            a = activation(linear(a, weight, bias))
        return linear(a, self.weights[-1], self.biases[-1])

    def value_and_jacobian(self, x: Points) -> tuple[Points, Tensor]:
        """g(x) [n, d] and J [n, d, d]; see ``LipschitzMLP``."""
        a, slope = self.activations[0].value_and_slope(linear(x, self.weights[0], self.biases[0]))
        tangents = self.weights[0].T.contiguous()[:, None] * slope  # [d, n, width], the images of the unit vectors
        for weight, bias, activation in zip(self.weights[1:], self.biases[1:], self.activations[1:], strict=False):
            a, slope = activation.value_and_slope(linear(a, weight, bias))
            tangents = (tangents @ weight.T) * slope
        value = linear(a, self.weights[-1], self.biases[-1])
        return value, (tangents @ self.weights[-1].T).permute(1, 2, 0)

    @torch.no_grad()
    def frozen(self, dtype: torch.dtype) -> "Layers":
        """The same map in another precision, without a graph."""
        weights, biases = ([t.detach().to(dtype) for t in part] for part in (self.weights, self.biases))
        activations = [a.frozen(dtype) if hasattr(a, "frozen") else a for a in self.activations]
        return Layers(weights, biases, activations)


class SpectralConv2d(Lipschitz):
    """A convolution [n, c_in, h, w] -> [n, c_out, h, w], zero padded, whose operator norm at h × w is at most c.

    Args:
        channels: c_in and c_out.
        size: h and w of the images that it will meet; the norm is that of this size.
        kernel: odd side of the kernel.
        coeff: c in (0, 1).

    Raises:
        InputError: an even kernel, or c outside (0, 1).
    """

    def __init__(self, channels: tuple[int, int], size: tuple[int, int], kernel: int = 3, coeff: float = 0.9) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise InputError(f"kernel is {kernel}, expected an odd side: only then does the padding keep the size")
        self.size, self.coeff = tuple(size), check_coeff(coeff)
        self.conv = nn.Conv2d(*channels, kernel, padding=kernel // 2)
        # A 1 × 1 kernel acts on every pixel alike: the norm of its matrix at one pixel is that of the whole.
        operator = Convolution(self.size if kernel > 1 else (1, 1), kernel)
        normalise(self.conv, coeff, operator, torch.randn(channels[0], *operator.size))

    def forward(self, images: Tensor) -> Tensor:
        """[n, c_in, h, w] -> [n, c_out, h, w].

        Raises:
            InputError: images of another size: their norm is not the one that was bounded.
        """
        if tuple(images.shape[2:]) != self.size:
            raise InputError(
                f"images have size {tuple(images.shape[2:])}, expected {self.size}: build the layer for this size"
            )
        return self.conv(images)


def update_norms(module: nn.Module, iterations: int | None = None, tolerance: float | None = None) -> None:
    """``Lipschitz.update_norms`` of every Lipschitz network inside ``module``, for after each optimiser step."""
    for part in module.modules():
        if isinstance(part, Lipschitz):
            part.update_norms(iterations, tolerance)


def check_coeff(coeff: float) -> float:
    """Return c if it lies in (0, 1).

    Raises:
        InputError: otherwise.
    """
    if not 0 < coeff < 1:
        raise InputError(f"coeff is {coeff}, expected a number in (0, 1): the block is invertible only below 1")
    return coeff
