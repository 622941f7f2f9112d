"""An affine residual whose matrix is at hand."""

import torch
from torch import Tensor

from pushforward.implicit.root import Residual, RootResult, certified, check_settings
from pushforward.implicit.solvers.newton import Newton
from pushforward.shapes import Points


class Direct:
    """x = start − M⁻¹ F(start) for F with the matrix M = ∂F/∂x [n, d, d]; what rounding leaves is Newton's to mend."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def __call__(self, residual: Residual, start: Points, kappa: float, tol: float) -> RootResult:
        check_settings(start, kappa, tol)
        x = start - torch.linalg.solve_ex(self.matrix, residual(start))[0]
        norm = residual(x).norm(dim=1)
        done = certified(x, norm, kappa, tol)
        if not done.all():
            return Newton(jacobian=lambda z: self.matrix)(residual, start, kappa, tol)
        return RootResult(x, norm, norm / (1 - kappa), torch.ones_like(done, dtype=torch.long), done, ~done)
