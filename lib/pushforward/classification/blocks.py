"""The blocks of a stage: two Lipschitz networks in an implicit block, or in two residual ones, or the usual two."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from pushforward.flows import ImplicitBlock
from pushforward.implicit import Lipschitz
from pushforward.implicit.lipschitz import check_coeff
from pushforward.implicit.parts import build_part
from pushforward.implicit.spectral import Convolution, normalise
from pushforward.shapes import Points

KERNEL = 3


class ReLUConvs(Lipschitz):
    """g(x) = φ(W_2 φ(W_1 x + b_1) + b_2) with φ = ReLU and 3 × 3 convolutions of norm at most c, so κ ≤ c².

    An image [c, h, w] is a point in R^(c·h·w). ReLU has no second derivatives, which is why a flow cannot use it; a
    classifier asks for no log-determinant. Source: implicit flows (arXiv 2103.09527), the classification network.

    Args:
        shape: channels, height and width of an image.
        width: channels between the convolutions.
        coeff: c in (0, 1).

    Raises:
        InputError: c outside (0, 1).
    """

    def __init__(self, shape: Sequence[int], width: int, coeff: float = 0.9) -> None:
        super().__init__()
        self.shape, self.dim, self.coeff = tuple(shape), math.prod(shape), check_coeff(coeff)
        channels, *size = self.shape
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, KERNEL, padding=KERNEL // 2) for a, b in ((channels, width), (width, channels))
        )
        for layer in self.layers:
            normalise(layer, coeff, Convolution(tuple(size), KERNEL), torch.randn(layer.in_channels, *size))
        self._certified: float | None = None
        self.register_load_state_dict_post_hook(_forget)

    def train(self, mode: bool = True) -> "ReLUConvs":
        """Entering evaluation makes the norms exact, and κ is certified once, when it is first asked for."""
        self._certified = None
        return super().train(mode)

    @property
    def kappa(self) -> float:
        """As ``Lipschitz.kappa``; in evaluation it is kept until weights are loaded or the mode is set again."""
        if self.training:
            return super().kappa
        if self._certified is None:
            self._certified = super().kappa  # singular values at every forward pass would cost more than the pass
        return self._certified

    def forward(self, x: Points) -> Points:
        """g(x) [n, c·h·w]."""
        return self._of([layer.weight for layer in self.layers], [layer.bias for layer in self.layers])(x)

    @torch.no_grad()
    def frozen(self, dtype: torch.dtype) -> Callable[[Points], Points]:
        """g as it is now, in another precision, normalised once for the many evaluations of a solver."""
        return self._of(
            [layer.weight.to(dtype) for layer in self.layers], [layer.bias.to(dtype) for layer in self.layers]
        )

    def _of(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Callable[[Points], Points]:
        def g(x: Points) -> Points:
            a = x.unflatten(1, self.shape)
            for weight, bias in zip(weights, biases, strict=True):
                a = torch.relu(conv2d(a, weight, bias, padding=KERNEL // 2))
            return a.flatten(1)

        return g


class PlainResidual(nn.Module):
    """x + φ(norm(W_2 φ(norm(W_1 x)))) on images, with batch normalisation and no bound: the usual residual block."""

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(*normed_conv(shape[0], width, KERNEL), *normed_conv(width, shape[0], KERNEL))

    def forward(self, images: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, c, h, w]."""
        return images + self.branch(images)


class OnImages(nn.Module):
    """A bijection of flat points as a map of images."""

    def __init__(self, bijection: ImplicitBlock) -> None:
        super().__init__()
        self.bijection = bijection

    def forward(self, images: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, c, h, w]."""
        return self.bijection(images.flatten(1)).unflatten(1, images.shape[1:])


def normed_conv(channels: int, out: int, kernel: int, stride: int = 1) -> tuple[nn.Module, ...]:
    """A convolution, batch normalisation, and ReLU; the shift of the normalisation makes a bias idle."""
    conv = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(out), nn.ReLU()


def stage_blocks(method: str, shape: Sequence[int], width: int, coeff: float, solver: dict | None) -> list[nn.Module]:
    """The blocks of one stage on images of ``shape``; the three methods have the same convolutions."""
    if method == "vanilla":
        return [PlainResidual(shape, width), PlainResidual(shape, width)]
    first, second = ReLUConvs(shape, width, coeff), ReLUConvs(shape, width, coeff)
    if method == "resflow":
        return [OnImages(ImplicitBlock(first)), OnImages(ImplicitBlock(second))]
    return [OnImages(ImplicitBlock(first, second, solver=None if solver is None else build_part(solver)))]


def _forget(net: ReLUConvs, _: object) -> None:
    net._certified = None
