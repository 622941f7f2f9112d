"""Damped Newton steps: by the dense Jacobian for small d, by GMRES on Jacobian-vector products for large d."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.implicit.equation import Equation, dense_jacobian
from pushforward.implicit.iteration import iterate, joined
from pushforward.implicit.root import Residual, RootResult
from pushforward.implicit.solvers.fixed_point import iterate_then_fall_back
from pushforward.implicit.solvers.gmres import gmres
from pushforward.shapes import Points

Direction = Callable[[Points, Points], Points]  # z, F(z) -> the full Newton step

SHORTEST = 1 / 16  # a row that gains nothing with this part of a step takes a fixed-point step, which always gains
LARGEST_DENSE = 64
LEAVE = 0.3  # the share of rows that go on by themselves: a step costs as much for few of all rows as for all


@dataclass(frozen=True)
class Newton:
    """z ← z − λ J⁻¹ F with J = ∂F/∂z [n, d, d], λ halved while ‖F‖ does not fall; for d ≤ 64.

    J is ``jacobian(z)`` where that is given, else the residual's own method of that name, else d forward-mode products.
    """

    max_iterations: int = 40
    jacobian: Callable[[Points], Tensor] | None = None

    def __post_init__(self) -> None:
        _check_iterations(self, self.max_iterations)

    def __call__(self, residual: Residual, start: Points, kappa: float, tol: float) -> RootResult:
        if start.shape[-1] > LARGEST_DENSE:
            raise InputError(f"start has d = {start.shape[-1]}, expected at most {LARGEST_DENSE}: use NewtonKrylov")
        if not isinstance(residual, Equation) or self.jacobian:
            return self._all(residual, start, kappa, tol)
        together = iterate(residual, start, kappa, tol, self._steps(residual), self.max_iterations, LEAVE)
        left = ~together.converged & together.residual.isfinite()
        if not left.any():
            return together
        part = residual.rows(left)
        rest = self._all(part, together.x[left], kappa, tol)
        residual.recall(left, part)
        return joined(together, left, rest)

    def _all(self, residual: Residual, start: Points, kappa: float, tol: float) -> RootResult:
        return iterate_then_fall_back(residual, start, kappa, tol, self._steps(residual), self.max_iterations)

    def _steps(self, residual: Residual) -> "_Damped":
        jacobian = self.jacobian or (lambda z: dense_jacobian(residual, z))
        return _Damped(lambda z, f: -torch.linalg.solve_ex(jacobian(z), f)[0])


def mixed_precision_start(single: Equation, exact: Equation) -> Points:
    """Where Newton's method is all but done, mostly in single precision: a float64 start [n, d] to certify.

    Two full Newton steps of ``single`` from its right-hand side, then one step for the residual of ``exact`` by the
    last Jacobian of ``single``. A row that this takes to a NaN or an infinity starts from the right-hand side.
    """
    z = single.rhs
    for _ in range(2):
        f, jacobian = single(z), single.jacobian(z)
        z = z - torch.linalg.solve_ex(jacobian, f)[0]
    start = z.double()
    start = start - torch.linalg.solve_ex(jacobian.double(), exact.value(start))[0]
    return torch.where(start.isfinite().all(1, keepdim=True), start, exact.rhs)


@dataclass(frozen=True)
class NewtonKrylov:
    """Newton's method for large d: each step is found by GMRES on products J v, to ``forcing`` · ‖F‖, and damped."""

    max_iterations: int = 40
    memory: int = 20
    forcing: float = 1e-3

    def __post_init__(self) -> None:
        _check_iterations(self, self.max_iterations)
        if self.memory < 1 or not 0 < self.forcing < 1:
            raise InputError(f"{self}: expected a memory of at least 1 and a forcing between 0 and 1")

    def __call__(self, residual: Residual, start: Points, kappa: float, tol: float) -> RootResult:
        def direction(z: Points, f: Points) -> Points:
            def product(v: Points) -> Points:
                return -torch.func.jvp(residual, (z,), (v,))[1]

            return gmres(product, f, self.forcing * f.norm(dim=1), self.memory, 2 * self.memory)

        return iterate_then_fall_back(residual, start, kappa, tol, _Damped(direction), self.max_iterations)


class _Damped:
    """Full steps, halved from one evaluation to the next in the rows where they did not pay."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        self.base: tuple[Points, Points, Points, Tensor] | None = None  # z, F, full step, its part λ [n, 1]

    def __call__(self, z: Points, f: Points) -> Points:
        if self.base is None:
            self.base = z, f, self.direction(z, f), torch.ones_like(z[:, :1])
            return z + self.base[2]
        old_z, old_f, step, part = self.base
        failed = f.norm(dim=1, keepdim=True) > (1 - 1e-4 * part) * old_f.norm(dim=1, keepdim=True)
        failed = failed & (part > SHORTEST / 2)  # after the fixed-point step, begin anew
        if not failed.all():
            step = torch.where(failed, step, self.direction(z, f))
        part = torch.where(failed, part / 2, 1)
        old_z, old_f = torch.where(failed, old_z, z), torch.where(failed, old_f, f)
        self.base = old_z, old_f, step, part
        return old_z + torch.where(part < SHORTEST, old_f, part * step)


def _check_iterations(solver: object, iterations: int) -> None:
    if iterations < 1:
        raise InputError(f"{solver}: expected max_iterations of at least 1")
