"""Train, validation and test points, with where they come from."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

from pushforward.datasets.preprocessing import Preprocessing, Scale
from pushforward.errors import InputError
from pushforward.seeds import stream
from pushforward.shapes import Points, check_points


class Sampler(Protocol):
    """Anything to draw points from."""

    def sample(self, n: int, generator: torch.Generator) -> Points:
        """n draws [n, d]."""


@dataclass(frozen=True, eq=False)
class Split:
    """Points x [n, d] to train on, to choose by, and to report; finite, of one dimension and one dtype.

    Raises:
        InputError: a part is empty, not finite, or of another shape or dtype than the first.
    """

    train: Points
    val: Points
    test: Points
    name: str
    source: str  # where the points are from, for a reader
    licence: str
    preprocessing: Preprocessing  # from raw points to x; a density of x times exp(log_det) is one of raw
    stand_in_for: str | None = None  # the data set that was asked for, where these points take its place

    def __post_init__(self) -> None:
        for part in ("train", "val", "test"):
            x = check_points(getattr(self, part), self.preprocessing.dim, part)
            if x.dtype != self.train.dtype:
                raise InputError(f"{part} has dtype {x.dtype}, expected {self.train.dtype} as in train: convert it")

    @property
    def dim(self) -> int:
        """Dimension d of the points."""
        return self.train.shape[1]

    @property
    def label(self) -> str:
        """The name to show beside a number: it says when the points are a stand-in."""
        return f"{self.name} (stand-in for {self.stand_in_for})" if self.stand_in_for else self.name

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the three arrays (dtype, shape, bytes), so of the files, the recipe, the sizes and the seed."""
        digest = hashlib.sha256()
        for x in (self.train, self.val, self.test):
            array = np.ascontiguousarray(x.detach().cpu().numpy())
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(array)
        return digest.hexdigest()

    @classmethod
    def from_points(cls, x: Points | np.ndarray, seed: int = 0, name: str = "points") -> "Split":
        """Split a user's points [n, d] at random: 80 % train, 10 % val, 10 % test (at least one of each).

        Raises:
            InputError: x is not a finite floating tensor or array of shape (n, d) with n ≥ 3.
        """
        if isinstance(x, np.ndarray) and x.dtype.kind in "fiub":
            x = torch.as_tensor(np.ascontiguousarray(x))
        x = check_points(x)
        if len(x) < 3:
            raise InputError(f"x has {len(x)} points, expected at least 3: one each to train, validate and test")
        held = max(1, len(x) // 10)
        order = torch.randperm(len(x), generator=stream(seed, "data/split")).to(x.device)
        train, val, test = (x[rows] for rows in order.split([len(x) - 2 * held, held, held]))
        return cls(train, val, test, name, "points given by the caller", "the caller's", Scale(x.shape[1]))

    @classmethod
    def from_distribution(
        cls, distribution: Sampler, n_train: int, n_val: int, n_test: int, seed: int = 0, name: str | None = None
    ) -> "Split":
        """Draw three independent parts from a law, each from a stream of its own, so their sizes do not mix.

        Raises:
            InputError: the law gives points that are not finite, not floating or not of shape (n, d).
        """
        counts = {"train": n_train, "val": n_val, "test": n_test}
        parts = {part: distribution.sample(n, stream(seed, f"data/{part}")) for part, n in counts.items()}
        dim = check_points(parts["train"], name="train").shape[1]
        name = name or getattr(distribution, "name", type(distribution).__name__)
        return cls(**parts, name=name, source=f"drawn from {name}", licence="none needed", preprocessing=Scale(dim))
