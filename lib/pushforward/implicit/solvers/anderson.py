"""Anderson acceleration: the fixed point, extrapolated from its last few steps."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.implicit.root import Residual, RootResult
from pushforward.implicit.solvers.fixed_point import iterate_then_fall_back
from pushforward.shapes import Points


@dataclass(frozen=True)
class Anderson:
    """z ← z + F − Σ_k γ_k (δz_k + δF_k) with γ = argmin ‖F − Σ_k γ_k δF_k‖² over the last ``memory`` differences.

    ``ridge`` is relative to δF of length one: differences near convergence are tiny and nearly parallel, and the
    least-squares problem is singular without it. Source: Anderson (1965), type II.
    """

    memory: int = 5
    ridge: float = 1e-4
    max_iterations: int = 60

    def __post_init__(self) -> None:
        if self.memory < 1 or self.max_iterations < 1 or not self.ridge > 0:
            raise InputError(f"{self}: expected a memory and iterations of at least 1, and a positive ridge")

    def __call__(self, residual: Residual, start: Points, kappa: float, tol: float) -> RootResult:
        step = _Extrapolation(min(self.memory, start.shape[1]), self.ridge)  # d differences span the space
        return iterate_then_fall_back(residual, start, kappa, tol, step, self.max_iterations)


class _Extrapolation:
    def __init__(self, memory: int, ridge: float) -> None:
        self.memory, self.ridge = memory, ridge
        self.last: tuple[Points, Points] | None = None
        self.moves: list[Points] = []  # δz + δF and δF, both divided by ‖δF‖
        self.changes: list[Points] = []

    def __call__(self, z: Points, f: Points) -> Points:
        if self.last is not None:
            move, change = z - self.last[0], f - self.last[1]
            length = change.norm(dim=1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny)  # a frozen row has none
            self.moves = [*self.moves, (move + change) / length][-self.memory :]
            self.changes = [*self.changes, change / length][-self.memory :]
        self.last = z, f
        if not self.moves:
            return z + f
        return z + f - torch.einsum("nk,knd->nd", self._weights(f), torch.stack(self.moves))

    def _weights(self, f: Points) -> Tensor:
        changes = torch.stack(self.changes, 1)  # [n, k, d]
        gram = changes @ changes.mT + self.ridge * torch.eye(changes.shape[1], dtype=f.dtype, device=f.device)
        return torch.linalg.solve_ex(gram, torch.einsum("nkd,nd->nk", changes, f))[0]
