"""The loop that every root solver shares: masks, best iterates, and a check that κ holds along the way."""

import math
from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.implicit.root import Residual, RootResult, certified, check_settings, scale
from pushforward.shapes import PerPoint, Points

Proposal = Callable[[Points, Points], Points]  # z [n, d], F(z) [n, d] -> the next z [n, d]

GROWTH = 1e3  # a row whose residual has grown this much has diverged


def iterate(
    residual: Residual,
    start: Points,
    kappa: float,
    tol: float,
    propose: Proposal,
    max_iterations: int | None = None,
    leave: float = 0.0,
) -> RootResult:
    """Follow ``propose`` row by row until the certificate holds, and return the best iterate of every row.

    Rows that are done, have diverged, or met a NaN are frozen and never move again. A proposal that is not finite is
    replaced by the fixed-point step. ``max_iterations=None`` allows as many steps as the fixed point can need. It stops
    early once at most the share ``leave`` of the rows is left: every step costs as much for few rows as for all.

    Raises:
        InputError: unusable settings, or two iterates that refute κ.
    """
    check_settings(start, kappa, tol)
    z, f = start, residual(start)
    best_z, best, first = z, f.norm(dim=1), f.norm(dim=1)
    iterations = torch.zeros(len(z), dtype=torch.long, device=z.device)
    alive = best.isfinite()
    if max_iterations is None:
        max_iterations = _enough(best[alive], kappa, tol)
    for _ in range(max_iterations):
        active = alive & ~certified(best_z, best, kappa, tol)
        if active.sum() <= leave * len(active):
            break
        proposal = propose(z, f)
        proposal = torch.where(proposal.isfinite().all(1, keepdim=True), proposal, z + f)
        new_z = torch.where(active[:, None], proposal, z)
        new_f = residual(new_z)
        norm = new_f.norm(dim=1)
        _check_contraction(new_z - z, new_f - f, scale(z), kappa, active & norm.isfinite())
        iterations += active
        better = active & (norm < best)
        best_z, best = torch.where(better[:, None], new_z, best_z), torch.where(better, norm, best)
        alive = alive & (norm <= GROWTH * first)  # NaN is not
        z, f = torch.where(alive[:, None], new_z, best_z), torch.where(alive[:, None], new_f, 0)
    converged = certified(best_z, best, kappa, tol)
    return RootResult(best_z, best, best / (1 - kappa), iterations, converged, torch.zeros_like(converged))


def joined(first: RootResult, left: Tensor, rest: RootResult) -> RootResult:
    """``first``, its rows ``left`` [n] bool gone on to ``rest``."""
    parts = {f.name: getattr(first, f.name).clone() for f in fields(RootResult)}
    for name, values in parts.items():
        values[left] = getattr(rest, name)
    parts["iterations"][left] += first.iterations[left]
    return RootResult(**parts)


def _rate(kappa: float) -> float:
    # κ may be an estimate from below (power iteration). Up to halfway to 1 the certificate is off by 2 at most.
    return (1 + kappa) / 2


def _enough(residual: PerPoint, kappa: float, tol: float) -> int:
    """Steps after which the fixed point, which shrinks ‖F‖ by its rate each time, has certified every row."""
    largest = residual.max().item() if len(residual) else 0.0
    target = tol * (1 - kappa)
    return 2 if largest <= target else 2 + math.ceil(math.log(target / largest) / math.log(_rate(kappa)))


def _check_contraction(moved: Points, change: Points, size: PerPoint, kappa: float, rows: Tensor) -> None:
    """z ↦ z + F(z) shrinks every distance by κ: two iterates that it does not bring closer prove κ wrong."""
    eps = torch.finfo(moved.dtype).eps
    distance, after = moved.norm(dim=1), (moved + change).norm(dim=1)
    told = rows & (distance > math.sqrt(eps) * size)  # nearer than that, rounding speaks
    wrong = told & (after > _rate(kappa) * distance + 64 * eps * size)
    if wrong.any():
        ratio = torch.where(wrong, after / distance, 0).max().item()
        raise InputError(
            f"kappa is {kappa:.4g}, but the map stretches a distance between two iterates by {ratio:.4g} in "
            f"{int(wrong.sum())} of {len(moved)} rows, expected a contraction: kappa must bound the Lipschitz "
            "constant; normalise the layers again, or pass the true bound"
        )
