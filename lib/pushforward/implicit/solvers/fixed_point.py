"""The fixed point, slow and certain, and the way in which faster solvers hand rows on to it."""

import dataclasses
from dataclasses import dataclass

from pushforward.implicit.iteration import Proposal, iterate
from pushforward.implicit.root import Residual, RootResult
from pushforward.shapes import Points


@dataclass(frozen=True)
class FixedPoint:
    """z ← z + F(z) = rhs − g(z): shrinks ‖F‖ by κ each time, from everywhere.

    ``max_iterations=None`` allows as many steps as κ and the tolerance can need, so that only rounding stops it short.
    """

    max_iterations: int | None = None

    def __call__(self, residual: Residual, start: Points, kappa: float, tol: float) -> RootResult:
        return iterate(residual, start, kappa, tol, lambda z, f: z + f, self.max_iterations)


def iterate_then_fall_back(
    residual: Residual, start: Points, kappa: float, tol: float, propose: Proposal, max_iterations: int
) -> RootResult:
    """``propose`` for ``max_iterations``; rows without a certificate go on from their best iterate by fixed point."""
    first = iterate(residual, start, kappa, tol, propose, max_iterations)
    left = ~first.converged & first.residual.isfinite()
    if not left.any():
        return first
    second = FixedPoint()(residual, first.x, kappa, tol)  # rows that are done are frozen from its start
    return dataclasses.replace(second, iterations=first.iterations + second.iterations, fallbacks=left)
