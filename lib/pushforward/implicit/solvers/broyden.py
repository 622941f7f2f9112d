"""Broyden's good method: an inverse Jacobian learned from the steps taken."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.implicit.root import Residual, RootResult
from pushforward.implicit.solvers.fixed_point import iterate_then_fall_back
from pushforward.shapes import PerPoint, Points


@dataclass(frozen=True)
class Broyden:
    """z ← z − B F with B₊ = B + (δz − B δF) δzᵀB / (δzᵀB δF), one B a row, held as −I + Σ u vᵀ.

    B₀ = −I is the inverse Jacobian of F = rhs − g(z) − z at g = 0, so the first step is the fixed point's. After
    ``memory`` updates B starts again. Source: arXiv 2103.09527, section 4.2, without its batch-wide stopping rule.
    """

    memory: int = 30
    max_iterations: int = 60

    def __post_init__(self) -> None:
        if self.memory < 1 or self.max_iterations < 1:
            raise InputError(f"{self}: expected a memory and iterations of at least 1")

    def __call__(self, residual: Residual, start: Points, kappa: float, tol: float) -> RootResult:
        return iterate_then_fall_back(residual, start, kappa, tol, _SecantSteps(self.memory), self.max_iterations)


class _SecantSteps:
    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.last: tuple[Points, Points] | None = None
        self.left: list[Points] = []  # u
        self.right: list[Points] = []  # v

    def __call__(self, z: Points, f: Points) -> Points:
        if self.last is not None:
            self._update(z - self.last[0], f - self.last[1])
        self.last = z, f
        return z - self._times(f)

    def _update(self, moved: Points, change: Points) -> None:
        if len(self.left) == self.memory:
            self.left, self.right = [], []
        v, image = self._transposed_times(moved), self._times(change)
        denominator = _dot(moved, image)
        # A row that stood still, or moved across its own update, has nothing to learn from.
        useful = denominator.abs() > torch.finfo(moved.dtype).eps * moved.norm(dim=1) * image.norm(dim=1)
        u = (moved - image) / torch.where(useful, denominator, 1)[:, None]
        self.left.append(torch.where(useful[:, None], u, 0))
        self.right.append(v)

    def _times(self, x: Points) -> Points:
        return sum((u * _dot(v, x)[:, None] for u, v in zip(self.left, self.right, strict=True)), -x)

    def _transposed_times(self, x: Points) -> Points:
        return sum((v * _dot(u, x)[:, None] for u, v in zip(self.left, self.right, strict=True)), -x)


def _dot(a: Tensor, b: Tensor) -> PerPoint:
    return (a * b).sum(1)
