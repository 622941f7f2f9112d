"""What a certified root costs: iterations and time of every solver against the dimension and κ."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from pushforward.catalogue.implicit_maps import contracting_network, rotation
from pushforward.errors import InputError
from pushforward.implicit import SOLVERS, Newton, RootResult, RootSolver
from pushforward.implicit.equation import Equation
from pushforward.report.check import check_above, check_below
from pushforward.report.results import Recorder
from pushforward.seeds import stream
from pushforward.shapes import Points

TOL = 1e-6  # certified relative error, that of a flow in float32
WIDTH = 128  # of the networks, or d where that is more
TURNS, ENOUGH = 3, 0.2  # the fastest of 3 turns counts, and no further turn once they have taken so many seconds
LARGEST_DENSE = 64  # Newton's dense Jacobian ends here
MAPS = ("network", "rotation")


@dataclass(frozen=True)
class Cost:
    """One solver on some right-hand sides of one map, all at once.

    ``iterations`` is the mean over the rows, ``seconds`` is CPU time of the batch, ``error`` the distance to the root
    and ``bound`` what was certified, both the largest of all rows, relative to max(1, ‖z‖).
    """

    solver: str
    map: str
    dim: int
    kappa: float
    iterations: float
    seconds: float
    error: float
    bound: float
    unconverged: int
    fallbacks: int


def cost(solver: str, map: str, dim: int, kappa: float, rows: int) -> Cost:
    """Solve z + g(z) = b in float64 from z = b, for ``rows`` right-hand sides.

    They are b = z* + g(z*) for known roots z* of length near 1, so the error is known too.

    Raises:
        InputError: an unknown solver or map.
    """
    if solver not in SOLVERS or map not in MAPS:
        raise InputError(f"{solver!r} on {map!r}: expected one of {list(SOLVERS)} on one of {list(MAPS)}")
    g = _map(map, dim, kappa)
    draws = torch.randn(rows, dim, generator=stream(0, f"study/roots/{dim}"), dtype=torch.float64)
    root = draws / math.sqrt(dim)
    seconds, found = _fastest(SOLVERS[solver](), g, root + g(root), kappa)
    error = (found.x - root).norm(dim=1) / found.x.norm(dim=1).clamp_min(1)
    return Cost(
        solver=solver,
        map=map,
        dim=dim,
        kappa=kappa,
        iterations=float(found.iterations.double().mean()),
        seconds=seconds,
        error=float(error.max()),
        bound=float(found.relative_bound.max()),
        unconverged=int((~found.converged).sum()),
        fallbacks=int(found.fallbacks.sum()),
    )


class SolverStudy:
    """Every solver on both maps over dimensions and κ; Newton up to d = 64, where its dense Jacobian ends.

    Args:
        dims: at least 2 each.
        kappas: Lipschitz constants in (0, 1).
        rows: right-hand sides, solved together.

    Raises:
        InputError: a dimension, a κ or a number of rows out of range.
    """

    def __init__(self, dims: Sequence[int], kappas: Sequence[float], rows: int) -> None:
        if not dims or min(dims) < 2 or rows < 1:
            raise InputError(f"dims is {list(dims)} and rows {rows}, expected dimensions of at least 2, and a row")
        if not kappas or not all(0 < kappa < 1 for kappa in kappas):
            raise InputError(f"kappas is {list(kappas)}, expected numbers in (0, 1)")
        self.dims, self.kappas, self.rows = list(dims), list(kappas), rows

    @cached_property
    def costs(self) -> list[Cost]:
        """All of them, measured when first asked for."""
        return [
            cost(solver, map, dim, kappa, self.rows)
            for map in MAPS
            for kappa in self.kappas
            for dim in self.dims
            for solver in SOLVERS
            if dim <= LARGEST_DENSE or solver != "newton"
        ]

    def check(self) -> None:
        """Print that every row of every solve has its root, to the tolerance, and that no certificate lied.

        Raises:
            AssertionError: otherwise.
        """
        for solver in SOLVERS:
            costs = [c for c in self.costs if c.solver == solver]
            check_below(f"{solver}: rows without a certified root", [c.unconverged for c in costs], 1)
            check_below(f"{solver}: distance to the root", [c.error for c in costs], TOL)
            slack = [c.bound - c.error for c in costs]
            check_above(f"{solver}: certified less true error", slack, -1e-12)

    def table(self) -> list[dict[str, Any]]:
        """A row a solver, map, κ and dimension."""
        return [
            {
                "solver": c.solver,
                "map": c.map,
                "κ": c.kappa,
                "d": c.dim,
                "iterations": c.iterations,
                "ms": 1000 * c.seconds,
                "error": c.error,
                "certified": c.bound,
                "rows handed on": c.fallbacks,
                "unconverged": c.unconverged,
            }
            for c in self.costs
        ]

    def curves(self) -> dict[str, dict[str, np.ndarray]]:
        """By map and κ, then by solver: rows (d, iterations, milliseconds for all right-hand sides)."""
        panels: dict[str, dict[str, np.ndarray]] = {}
        for map in MAPS:
            for kappa in self.kappas:
                chosen = [c for c in self.costs if (c.map, c.kappa) == (map, kappa)]
                panels[f"{map}, κ = {kappa:g}"] = {
                    solver: np.array([(c.dim, c.iterations, 1000 * c.seconds) for c in chosen if c.solver == solver])
                    for solver in SOLVERS
                    if any(c.solver == solver for c in chosen)
                }
        return panels

    def record(self, record: Recorder, run: str) -> None:
        """Seconds and iterations on the network at the largest κ, by dimension; unconverged rows and errors overall."""
        kappa = max(self.kappas)
        for c in (c for c in self.costs if (c.map, c.kappa) == ("network", kappa)):
            id = f"implicit/solver-{c.solver}/d-{c.dim}"
            record.add(f"{id}/seconds", c.seconds, unit="s", run=run)
            record.add(f"{id}/iterations", c.iterations, unit="1", run=run)
        for solver in SOLVERS:
            id, costs = f"implicit/solver-{solver}/all", [c for c in self.costs if c.solver == solver]
            if costs:
                left, error = sum(c.unconverged for c in costs), max(c.error for c in costs)
                record.add(f"{id}/unconverged", left, unit="1", better="check", at_most=0, run=run)
                record.add(f"{id}/error", error, unit="1", better="check", at_most=TOL, run=run)


@lru_cache(maxsize=1)  # all solvers one after the other: the singular values of wide layers take longer than a solve
def _map(name: str, dim: int, kappa: float) -> nn.Module:
    return rotation(dim, kappa) if name == "rotation" else contracting_network(dim, (max(dim, WIDTH),) * 2, kappa)


def _fastest(solver: RootSolver, g: nn.Module, rhs: Points, kappa: float) -> tuple[float, RootResult]:
    """CPU-seconds of the fastest turn, and its result, which is that of all turns."""
    seconds: list[float] = []
    while True:
        started = time.process_time()
        equation = Equation(g, rhs, dense=isinstance(solver, Newton))  # as a block makes it
        found = solver(equation, rhs, kappa, TOL)
        seconds.append(time.process_time() - started)
        if len(seconds) == TURNS or sum(seconds) > ENOUGH:
            return min(seconds), found
