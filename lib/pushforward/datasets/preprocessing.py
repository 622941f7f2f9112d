"""How raw numbers become the points that a flow sees, and the way back."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch

from pushforward.errors import InputError
from pushforward.shapes import Points, check_points


class Preprocessing(Protocol):
    """An invertible map from raw points to x, with one constant log-determinant for every sample."""

    @property
    def dim(self) -> int:
        """Dimension d of x."""

    @property
    def log_det(self) -> float:
        """log |det dx/draw| in nats per sample: log p(raw) = log p(x) + log_det."""

    def forward(self, raw: Points) -> Points:
        """Raw to x [n, d]."""

    def inverse(self, x: Points) -> Points:
        """x [n, d] to raw."""


@dataclass(frozen=True)
class Scale:
    """x = raw / divisor, raw [n, dim]; divisor 1 leaves the points as they are."""

    dim: int
    divisor: float = 1.0

    @property
    def log_det(self) -> float:
        """−dim log divisor."""
        return -self.dim * math.log(self.divisor)

    def forward(self, raw: Points) -> Points:
        """raw [n, dim] -> x [n, dim]; InputError if raw has another shape or is not finite."""
        return check_points(raw, self.dim, "raw") / self.divisor

    def inverse(self, x: Points) -> Points:
        """x [n, dim] -> raw [n, dim]; InputError if x has another shape or is not finite."""
        return check_points(x, self.dim) * self.divisor


@dataclass(frozen=True)
class Standardise:
    """x = (raw − mean) / scale, column by column; both are tuples of dim numbers."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.scale) or not all(0 < s < math.inf for s in self.scale):
            raise InputError(
                f"{len(self.mean)} means and the scales {self.scale}, expected as many scales, finite and positive: "
                "leave out columns that never change"
            )

    @property
    def dim(self) -> int:
        """Number of columns."""
        return len(self.mean)

    @property
    def log_det(self) -> float:
        """−Σ log scale. Published likelihoods of tabular data are those of x: they leave this constant out."""
        return -sum(map(math.log, self.scale))

    def forward(self, raw: Points) -> Points:
        """raw [n, dim] -> x [n, dim]; InputError if raw has another shape or is not finite."""
        raw = check_points(raw, self.dim, "raw")
        return (raw - raw.new_tensor(self.mean)) / raw.new_tensor(self.scale)

    def inverse(self, x: Points) -> Points:
        """x [n, dim] -> raw [n, dim]; InputError if x has another shape or is not finite."""
        x = check_points(x, self.dim)
        return x * x.new_tensor(self.scale) + x.new_tensor(self.mean)


@dataclass(frozen=True)
class ZeroMeanPatch:
    """x = raw / divisor, less the mean of the patch, without the last pixel (which is minus the sum of the others).

    raw [n, pixels], row by row of the patch. The mean is lost, so ``inverse`` returns the patch of zero mean in raw
    units: inverse(forward(raw)) = raw − mean(raw), and this is raw itself if its mean was zero.
    """

    pixels: int = 64
    divisor: float = 256.0

    @property
    def dim(self) -> int:
        """pixels − 1."""
        return self.pixels - 1

    @property
    def log_det(self) -> float:
        """−dim log divisor − ½ log pixels: volumes in the hyperplane of zero-mean patches to volumes of x.

        The way back from x has Jacobian J = [I; −1ᵀ], whose volume factor is √det(JᵀJ) = √det(I + 11ᵀ) = √pixels.
        Published likelihoods of image patches are those of x: they leave this constant out.
        """
        return -self.dim * math.log(self.divisor) - 0.5 * math.log(self.pixels)

    def forward(self, raw: Points) -> Points:
        """raw [n, pixels] -> x [n, pixels − 1]; InputError if raw has another shape or is not finite."""
        scaled = check_points(raw, self.pixels, "raw") / self.divisor
        return (scaled - scaled.mean(1, keepdim=True))[:, :-1]

    def inverse(self, x: Points) -> Points:
        """x [n, pixels − 1] -> zero-mean patches [n, pixels] in raw units; InputError as in ``forward``."""
        x = check_points(x, self.dim)
        return torch.cat([x, -x.sum(1, keepdim=True)], 1) * self.divisor
