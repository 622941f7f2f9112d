"""The patch recipe, shared by every image data set: grey 8×8 patches at random places, dequantised, 63 numbers each."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pushforward.datasets.preprocessing import ZeroMeanPatch
from pushforward.shapes import Points

SIDE = 8
RECIPE = ZeroMeanPatch(pixels=SIDE * SIDE, divisor=256.0)


@dataclass(frozen=True)
class PatchCounts:
    """How many patches each image gives to each part."""

    train: int
    val: int
    test: int


def read_grey(file: Path | BinaryIO) -> Tensor:
    """An image as integer grey values 0..255, uint8 [height, width]: ITU-R 601 luma, rounded."""
    with Image.open(file) as image:
        return torch.from_numpy(np.array(image.convert("L")))


def draw_patches(image: Tensor, n: int, generator: torch.Generator) -> Points:
    """n patches at uniformly random places of a grey image, plus U(0, 1) noise: float64 [n, 64] in [0, 256)."""
    height, width = image.shape
    rows = torch.randint(height - SIDE + 1, (n,), generator=generator)
    columns = torch.randint(width - SIDE + 1, (n,), generator=generator)
    values = image.unfold(0, SIDE, 1).unfold(1, SIDE, 1)[rows, columns].reshape(n, SIDE * SIDE)
    return values + torch.rand(values.shape, generator=generator, dtype=torch.float64)


def patch_points(images: Iterable[Tensor], n_each: int, generator: torch.Generator) -> Points:
    """``n_each`` patches of every image as points x, float32 [images · n_each, 63], shuffled.

    Shuffled, so that any first rows are a sample of all images. x is float32 only at the end: a difference of
    neighbours is often smaller than the noise, 1/256.
    """
    points = torch.cat([RECIPE.forward(draw_patches(image, n_each, generator)).float() for image in images])
    return points[torch.randperm(len(points), generator=generator)]


def mirrored(x: Points, generator: torch.Generator) -> Points:
    """Patches x [n, 63] and their mirror images, left to right, top to bottom and both: [4n, 63], shuffled.

    To augment training points: this hardly changes the law of photographs. (A quarter turn does, by upright edges.)
    """
    patches = torch.cat([x, -x.sum(1, keepdim=True)], 1).view(-1, SIDE, SIDE)  # the last pixel makes the mean zero
    turns = [patches.flip(axes) for axes in ((), (1,), (2,), (1, 2))]
    points = torch.cat([turned.reshape(-1, SIDE * SIDE)[:, :-1] for turned in turns])
    return points[torch.randperm(len(points), generator=generator).to(x.device)]
