"""The layout of a flow on images: blocks on the fine grid, then on coarser ones with more channels."""

from collections.abc import Sequence
from typing import Any, Protocol

from pushforward.errors import InputError
from pushforward.flows import ActNorm, Bijection, ImplicitBlock, Squeeze
from pushforward.implicit.convnet import check_shape

LAYOUT = ("shape", "scales")  # what the description of a convolutional net says beside the network's own arguments


class ImageSettings(Protocol):
    """What a layout needs of a family's settings."""

    blocks: int
    net: dict[str, Any]  # with "shape" (channels, height, width) and "scales", 1 if absent
    actnorm: bool
    spread: float  # standard deviation that every ActNorm but the last gives to its first batch

    def block(self, **size: object) -> ImplicitBlock:
        """A new block whose networks get ``size`` beside the settings."""


def image_blocks(settings: ImageSettings, dim: int) -> list[Bijection]:
    """As many blocks on every scale, a 2 × 2 squeeze between scales, ActNorm before the first and after every block.

    On CIFAR-10 with three scales the channels are 3, 12 and 48. Nothing is factored out, no block is fully connected,
    and only the first block does not begin with an activation. Source: arXiv 2103.09527, section 5.

    Raises:
        InputError: no shape, one of another dimension than the points' ``dim``, blocks that do not divide evenly, or
            an image that cannot be squeezed so often.
    """
    shape, scales = _layout(settings, dim)
    blocks: list[Bijection] = [_norm(shape, settings.spread)] if settings.actnorm else []
    for scale in range(scales):
        if scale:
            squeeze = Squeeze(shape)
            shape = squeeze.squeezed
            blocks.append(squeeze)
        for k in range(settings.blocks // scales):
            blocks.append(settings.block(shape=shape, preactivation=scale + k > 0))
            if settings.actnorm:
                blocks.append(_norm(shape, settings.spread))
    return [*blocks[:-1], _norm(shape, 1.0)] if settings.actnorm else blocks


def _norm(shape: Sequence[int], spread: float) -> ActNorm:
    channels, height, width = shape
    return ActNorm(channels * height * width, channels, spread)


def _layout(settings: ImageSettings, dim: int) -> tuple[tuple[int, int, int], int]:
    if "shape" not in settings.net:
        raise InputError("net has no shape, expected channels, height and width of the images, such as [1, 8, 8]")
    shape, scales = check_shape(settings.net["shape"]), settings.net.get("scales", 1)
    channels, height, width = shape
    if channels * height * width != dim:
        raise InputError(
            f"net has the shape {shape}, of dimension {channels * height * width}, but the points have dimension "
            f"{dim}: give the shape of the data's images"
        )
    if scales < 1 or settings.blocks % scales:
        raise InputError(f"{settings.blocks} blocks on {scales} scales, expected as many on each: change one of them")
    return shape, scales
