"""Where a marginal p_t lives, and regular grids over it, for quadrature and pictures."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.shapes import Points

LARGEST = 2**22  # points of a grid


class Box(NamedTuple):
    """The box [low, high], each [d] in float64, that holds all but about 1e-17 of a law, and its narrowest width."""

    low: Tensor
    high: Tensor
    width: float

    def grid(self, spacing: float) -> tuple[Points, float]:
        """Points [n, d] of a regular grid, at most ``spacing`` apart, both ends included, and the volume of a cell.

        Raises:
            InputError: it would have more than 4 million points.
        """
        counts = [math.ceil(side / spacing) + 1 for side in (self.high - self.low).tolist()]
        if math.prod(counts) > LARGEST:
            raise InputError(
                f"a grid of spacing {spacing:g} has {math.prod(counts)} points, expected at most {LARGEST}: "
                "coarsen it, or choose a time further from 1 where the law is wider"
            )
        ends = zip(self.low.tolist(), self.high.tolist(), counts, strict=True)
        axes = [torch.linspace(low, high, count, dtype=torch.float64) for low, high, count in ends]
        volume = math.prod(float(axis[1] - axis[0]) for axis in axes)
        return torch.cartesian_prod(*axes).reshape(-1, len(axes)), volume
