"""What every law answers for: samples, an exact log-density, an entropy."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.shapes import PerPoint, Points, check_points

CHUNK = 2**21  # float64 numbers held at once: 16 MB a temporary, which also stays near the cache


class Entropy(NamedTuple):
    """Differential entropy in nats, and its error: 0 where a formula is exact, else estimated by refinement."""

    value: float
    error: float


class Distribution(ABC):
    """A law on R^d. Everything is computed in float64, whatever the dtype of the points."""

    name: str
    dim: int

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32) -> Points:
        """n draws [n, d] on the CPU; a generator in the same state gives the same points on every machine.

        Raises:
            InputError: n is not a positive integer, or dtype is not a floating one.
        """
        if not isinstance(n, int) or n < 1:
            raise InputError(f"n is {n!r}, expected a positive integer: the number of points to draw")
        if not dtype.is_floating_point:
            raise InputError(f"dtype is {dtype}, expected a floating one, such as torch.float32")
        return self._draw(n, generator).to(dtype)

    def log_prob(self, x: Points) -> PerPoint:
        """log p(x) in nats, x [n, d] -> [n], on the device and in the dtype of x; −inf outside the support.

        Raises:
            InputError: x is not a finite floating tensor of shape (n, d).
        """
        x = check_points(x, self.dim)
        return chunked(self._log_density, x.double(), self._width).to(x.dtype)

    def entropy(self) -> Entropy:
        """−E log p in nats with its error; computed once."""
        return self._entropy

    @cached_property
    def _entropy(self) -> Entropy:
        return self._find_entropy()

    @property
    def _width(self) -> int:
        """Numbers that ``_log_density`` holds per point; chunks are cut accordingly."""
        return self.dim

    @abstractmethod
    def _draw(self, n: int, generator: torch.Generator | None) -> Points:
        """n draws [n, d], float64, CPU."""

    @abstractmethod
    def _log_density(self, x: Points) -> PerPoint:
        """log p(x), x [n, d] float64 on any device -> [n]."""

    @abstractmethod
    def _find_entropy(self) -> Entropy:
        """The entropy, by a formula, quadrature or Monte Carlo."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, dim={self.dim})"


def chunked(function: Callable[[Points], PerPoint], x: Points, width: int) -> PerPoint:
    """``function`` over rows of x [n, d] -> [n], as many rows at a time as keep ``rows * width`` within ``CHUNK``."""
    return torch.cat([function(part) for part in x.split(max(1, CHUNK // width))])


def pick(weights: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """n indices [n] drawn in proportion to ``weights`` [k] > 0, by inversion (no limit on k, unlike multinomial)."""
    cumulative = weights.double().cumsum(0)
    level = torch.rand(n, generator=generator, dtype=torch.float64) * cumulative[-1]
    return torch.searchsorted(cumulative, level)  # level ≤ cumulative[-1], so the index exists
