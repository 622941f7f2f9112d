"""Images of bytes become points and labelled points: what MNIST and the CIFAR sets share."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.datasets import manifest
from pushforward.datasets.labelled import Labelled
from pushforward.datasets.preprocessing import Scale
from pushforward.datasets.split import Split
from pushforward.errors import DataError
from pushforward.seeds import stream
from pushforward.shapes import Points

LEVELS = 256
ROWS_AT_A_TIME = 1000  # in float64, of which an image of CIFAR takes 25 kB


@dataclass(frozen=True)
class Pixels:
    """Images as bytes, uint8 [n, c·h·w], and their classes, int64 [n]."""

    values: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if len(self.values) != len(self.labels):
            raise DataError(
                f"{len(self.values)} images with {len(self.labels)} labels, expected as many: remove these files and "
                "run `make data`"
            )

    def __getitem__(self, rows: Tensor) -> "Pixels":
        return Pixels(self.values[rows], self.labels[rows])


@dataclass(frozen=True)
class Kind:
    """What the images of a data set are."""

    name: str
    shape: tuple[int, int, int]  # channels, height, width
    classes: int

    @property
    def recipe(self) -> Scale:
        """From bytes with noise, [0, 256), to [0, 1)."""
        return Scale(math.prod(self.shape), divisor=LEVELS)

    def split(self, parts: dict[str, Pixels], seed: int, label: str) -> Split:
        """x = (value + U(0, 1)) / 256 in [0, 1]^d, float32, without logit and without flips; noise from ``seed``."""
        table = manifest.entry(self.name)
        points = {part: self._dequantised(part, images.values, seed) for part, images in parts.items()}
        return Split(**points, name=label, source=table["source"], licence=table["licence"], preprocessing=self.recipe)

    def labelled(self, parts: dict[str, Pixels], label: str) -> Labelled:
        """x = value / 255 in [0, 1]^d, float32, and labels."""
        table = manifest.entry(self.name)
        points = [
            each
            for part in ("train", "val", "test")
            for each in (parts[part].values / (LEVELS - 1), parts[part].labels)
        ]
        return Labelled(*points, self.shape, self.classes, label, table["source"], table["licence"])

    def _dequantised(self, part: str, values: Tensor, seed: int) -> Points:
        generator = stream(seed, f"{self.name}/{part} noise")
        points = torch.empty(values.shape, dtype=torch.float32)
        for rows, piece in zip(points.split(ROWS_AT_A_TIME), values.split(ROWS_AT_A_TIME), strict=True):
            noise = torch.rand(piece.shape, generator=generator, dtype=torch.float64)
            rows.copy_(self.recipe.forward(piece + noise))
        return points


def share_out(name: str, pool: Pixels, sizes: dict[str, int], seed: int) -> dict[str, Pixels]:
    """Parts of a pool of images, of the sizes asked for, drawn without repetition by ``seed``.

    Raises:
        DataError: the pool has too few images.
    """
    if len(pool.values) < sum(sizes.values()):
        raise DataError(
            f"{name} has {len(pool.values)} images to share out, expected at least {sum(sizes.values())}: remove these "
            "files and run `make data`"
        )
    order = torch.randperm(len(pool.values), generator=stream(seed, f"{name}/split"))
    rows = order[: sum(sizes.values())].split(list(sizes.values()))
    return {part: pool[each] for part, each in zip(sizes, rows, strict=True)}
