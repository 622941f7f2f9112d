"""Images with the class of each, for classification."""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.shapes import Points, check_points

PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images as rows of pixel values in [0, 1] (no noise), channel by channel, row by row; labels are 0 … classes − 1.

    train, val, test: [n, c·h·w], of one dtype. train_labels, val_labels, test_labels: int64 [n]. The rows are the
    images of the ``Split`` of the same name, profile and seed, in the same order.

    Raises:
        InputError: a part is empty, not finite or of another shape; or its labels do not fit it.
    """

    train: Points
    train_labels: Tensor
    val: Points
    val_labels: Tensor
    test: Points
    test_labels: Tensor
    shape: tuple[int, int, int]  # channels, height, width
    classes: int
    name: str
    source: str  # where the images are from, for a reader
    licence: str
    stand_in_for: None = None  # no other data ever takes the place of labelled images

    def __post_init__(self) -> None:
        for part in PARTS:
            x, labels = self.part(part)
            check_points(x, self.dim, part)
            if labels.shape != (len(x),) or labels.dtype != torch.int64:
                raise InputError(
                    f"{part}_labels has shape {tuple(labels.shape)} and dtype {labels.dtype}, "
                    f"expected ({len(x)},) and torch.int64: one label per point"
                )
            if labels.min() < 0 or labels.max() >= self.classes:
                found = f"{int(labels.min())} to {int(labels.max())}"
                raise InputError(f"{part}_labels run from {found}, expected 0 to {self.classes - 1}")

    def part(self, name: str) -> tuple[Points, Tensor]:
        """Points [n, d] and labels [n] of train, val or test."""
        return getattr(self, name), getattr(self, f"{name}_labels")

    @property
    def dim(self) -> int:
        """d = c·h·w."""
        return math.prod(self.shape)

    @property
    def label(self) -> str:
        """The name to show beside a number."""
        return self.name

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of points and labels of the three parts (dtype, shape, bytes)."""
        digest = hashlib.sha256()
        for tensor in (tensor for part in PARTS for tensor in self.part(part)):
            array = np.ascontiguousarray(tensor.detach().cpu().numpy())
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(array)
        return digest.hexdigest()
