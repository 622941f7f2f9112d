"""Roots with a certificate: what a solver of rhs − g(z) − z = 0 answers for, row by row.

With κ = Lip(g) < 1 the map z ↦ z + g(z) is strongly monotone, so that every point keeps
‖z − z*‖ ≤ ‖F(z)‖ / (1 − κ).   Source: papers on implicit flows (arXiv 2103.09527), Theorem 1; bound derived here.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from pushforward.errors import InputError, NotConverged
from pushforward.shapes import PerPoint, Points

Residual = Callable[[Points], Points]  # z [n, d] -> F(z) = rhs − g(z) − z [n, d], each row on its own
OnFailure = Literal["raise", "warn"]


@dataclass(frozen=True)
class RootResult:
    """What a solver found, a row per point; ``bound`` certifies the distance of ``x`` to the one root."""

    x: Points
    residual: PerPoint  # ‖F‖, in the 2-norm
    bound: PerPoint  # ‖F‖ / (1 − κ) ≥ ‖x − root‖
    iterations: Tensor  # [n] int: steps until the row was done
    converged: Tensor  # [n] bool: bound ≤ tol · max(1, ‖x‖)
    fallbacks: Tensor  # [n] bool: the row was handed on to the fixed point

    @property
    def relative_bound(self) -> PerPoint:
        """``bound`` / max(1, ‖x‖) [n]: what is compared with the tolerance."""
        return self.bound / scale(self.x)


Report = Callable[[RootResult], None]


@runtime_checkable
class RootSolver(Protocol):
    """Finds the root of every row of ``residual`` from ``start`` [n, d], where g is ``kappa``-Lipschitz.

    A row is done when its certified bound is at most ``tol`` · max(1, ‖z‖). A solver reports rows that are not; it
    raises only for input that cannot be used, a ``kappa`` that the iterates refute included.
    """

    def __call__(self, residual: Residual, start: Points, kappa: float, tol: float) -> RootResult: ...


def scale(x: Points) -> PerPoint:
    """max(1, ‖x‖) [n]: tolerances are relative for large points and absolute for small ones."""
    return x.norm(dim=1).clamp_min(1)


def certified(x: Points, residual: PerPoint, kappa: float, tol: float) -> Tensor:
    """Rows [n] whose certified error is within ``tol`` · max(1, ‖x‖); a NaN is not."""
    return residual <= tol * (1 - kappa) * scale(x)


def check_settings(start: Points, kappa: float, tol: float) -> None:
    """Refuse what no solver can use.

    Raises:
        InputError: ``start`` is no floating (n, d), κ is outside [0, 1), or ``tol`` is not positive.
    """
    if start.ndim != 2 or not start.is_floating_point():
        raise InputError(f"start has shape {tuple(start.shape)} and dtype {start.dtype}, expected a floating (n, d)")
    if not 0 <= kappa < 1:
        raise InputError(
            f"kappa is {kappa:g}, expected 0 <= kappa < 1: a map with a larger Lipschitz bound need not have one root; "
            "lower the coefficient of its layers"
        )
    if not tol > 0:
        raise InputError(f"tol is {tol:g}, expected a positive number such as 1e-6")


def solve_or_raise(
    solver: RootSolver,
    residual: Residual,
    start: Points,
    kappa: float,
    tol: float,
    on_failure: OnFailure = "raise",
    report: Report | None = None,
) -> RootResult:
    """``solver`` on ``residual``; rows that miss the tolerance are an error, or a warning, and never silent.

    ``report`` is given the result first, failed or not.

    Raises:
        InputError: ``on_failure`` is unknown, or the solver refuses its input.
        NotConverged: rows are left and ``on_failure`` is "raise"; the message names the worst of them.
    """
    if on_failure not in ("raise", "warn"):
        raise InputError(f"on_failure is {on_failure!r}, expected 'raise' or 'warn'")
    result = solver(residual, start, kappa, tol)
    if report is not None:
        report(result)
    if not result.converged.all():
        message = _failure(result, kappa, tol)
        if on_failure == "raise":
            raise NotConverged(message)
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return result


def _failure(result: RootResult, kappa: float, tol: float) -> str:
    left = int((~result.converged).sum())
    broken = ~result.residual.isfinite()
    head = f"{left} of {len(result.x)} rows have no certified root: "
    if broken.any():
        return head + (
            f"{int(broken.sum())} meet a NaN or an infinity, the first is row {int(broken.nonzero()[0])}; "
            "expected finite points and a finite map: repair the input, or train the network again"
        )
    worst = int(torch.where(result.converged, -1, result.relative_bound).argmax())
    rounding = torch.finfo(result.x.dtype).eps / (1 - kappa)
    mend = "allow more iterations, or use another solver"
    if tol < 8 * rounding:
        mend = f"rounding alone is {rounding:.1e} in {result.x.dtype}: ask for less, solve in float64, or lower kappa"
    return head + (
        f"the worst is row {worst} with a bound of {result.relative_bound[worst].item():.1e} after "
        f"{int(result.iterations[worst])} iterations at kappa {kappa:.4g}, expected at most tol {tol:.1e}; {mend}"
    )
