"""FID proper, with the Inception network: by torchmetrics, which nothing else needs and nothing else imports."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from pushforward.errors import DataError, InputError
from pushforward.shapes import Points, check_points

CHUNK = 100  # images at a time; each becomes one of 299 × 299 pixels
WEIGHTS_HINT = (
    "the weights are fetched from the internet at the first call: check the network, or fetch the file yourself and "
    "name it in ``weights``"
)


def fid(
    real: Points,
    generated: Points,
    shape: Sequence[int],
    weights: Path | None = None,
    device: str = "cpu",
    network: int | nn.Module = 2048,
) -> float:
    """Fréchet inception distance of images real [n, d] and generated [m, d], values in [0, 1] of ``shape`` (c, h, w).

    Grey images are given thrice, as colours. Values are rounded to bytes, as images from files are. Needs the extra
    ``fid``.

    Args:
        weights: the Inception network's file, for machines without a network; None fetches it once. It is unpickled, so
            it should come from the makers of torch-fidelity.
        network: which of its layers (2048: the one of published numbers), or another network to take features from.

    Raises:
        InputError: torchmetrics is not installed, or images of another shape.
        DataError: the weights cannot be had.
    """
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance
    except (ImportError, RuntimeError) as error:  # the latter from a torchvision that was built for another torch
        raise InputError(f"fid needs torchmetrics and torchvision ({error}): pip install 'pushforward[fid]'") from error
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(f"shape is {tuple(shape)}, expected (channels, height, width) with 1 or 3 channels")
    dim = shape[0] * shape[1] * shape[2]
    sets = {True: check_points(real, dim, "real"), False: check_points(generated, dim, "generated")}
    path = None if weights is None else str(weights)
    try:
        metric = FrechetInceptionDistance(network, feature_extractor_weights_path=path).to(device)
    except ModuleNotFoundError as error:
        raise InputError(f"fid needs torch-fidelity ({error}): pip install 'pushforward[fid]'") from error
    except OSError as error:
        raise DataError(f"cannot have the weights of the Inception network ({error}); {WEIGHTS_HINT}") from error
    for is_real, images in sets.items():
        for part in images.split(CHUNK):
            metric.update(_bytes(part, shape).to(device), real=is_real)
    return float(metric.compute())


def _bytes(x: Points, shape: Sequence[int]) -> torch.Tensor:
    """Colour images of bytes [n, 3, h, w] of values in [0, 1]; those outside are cut off."""
    values = (x.clamp(0, 1) * 255).round().to(torch.uint8).unflatten(1, tuple(shape))
    return values.expand(-1, 3, -1, -1)
