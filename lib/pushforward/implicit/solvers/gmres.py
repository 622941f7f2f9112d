"""GMRES for a batch of linear systems M h = a, each row on its own, M known by its products alone."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from pushforward.errors import InputError
from pushforward.implicit.root import Residual, RootResult, scale
from pushforward.implicit.solvers.fixed_point import iterate_then_fall_back
from pushforward.shapes import PerPoint, Points


@dataclass(frozen=True)
class GMRES:
    """For a residual that is affine, F(h) = a − M h with M = I + K and ‖K‖ ≤ κ: the system of an implicit gradient.

    A second cycle starts from the residual as evaluated, so that the certificate never rests on a recurrence.
    """

    memory: int = 30
    max_products: int = 200  # in a cycle
    cycles: int = 4

    def __post_init__(self) -> None:
        if min(self.memory, self.max_products, self.cycles) < 1:
            raise InputError(f"{self}: expected every setting to be at least 1")

    def __call__(self, residual: Residual, start: Points, kappa: float, tol: float) -> RootResult:
        constant = residual(torch.zeros_like(start))

        def cycle(h: Points, f: Points) -> Points:
            target = 0.5 * tol * (1 - kappa) * scale(h)
            return h + gmres(lambda v: constant - residual(v), f, target, self.memory, self.max_products)

        return iterate_then_fall_back(residual, start, kappa, tol, cycle, self.cycles)


def gmres(product: Callable[[Points], Points], a: Points, target: PerPoint, memory: int, max_products: int) -> Points:
    """h [n, d] with ‖a − M h‖ ≤ ``target`` [n], or the best that ``max_products`` products M v give.

    In the form that keeps directions p and their images q = M p with q orthonormal (GCR): the same iterates as
    Arnoldi's, the residual at hand, and where M is positive definite, as I + K is, no breakdown even when only the
    last ``memory`` directions are kept.   Source: Eisenstat, Elman and Schultz (1983), Theorem 3.3.
    """
    h, r = torch.zeros_like(a), a
    kept: list[tuple[Points, Points]] = []
    for _ in range(max_products):
        active = r.norm(dim=1) > target
        if not active.any():
            break
        p, q = r, product(r)
        for p_old, q_old in kept:
            overlap = (q * q_old).sum(1, keepdim=True)
            p, q = p - overlap * p_old, q - overlap * q_old
        length = q.norm(dim=1, keepdim=True)
        usable = active[:, None] & (length > 0)
        p, q = (torch.where(usable, v / length, 0) for v in (p, q))
        step = (q * r).sum(1, keepdim=True)
        h, r = h + step * p, r - step * q
        kept = [*kept, (p, q)][-memory:]
    return h
