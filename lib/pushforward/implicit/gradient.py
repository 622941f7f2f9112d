"""The root as a differentiable function of everything in its equation: the implicit function theorem.

With F(z; θ) = rhs(θ) − g(z; θ) − z = 0 and a the cotangent of z,  h = (I + J_g)⁻ᵀ a  is the cotangent of F at fixed z.
Source: arXiv 2103.09527, equation 16.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pushforward.errors import InputError
from pushforward.implicit.equation import dense_jacobian
from pushforward.implicit.root import OnFailure, Report, Residual, RootSolver, solve_or_raise
from pushforward.implicit.solvers import GMRES, Direct
from pushforward.shapes import Points

DENSE = 16  # up to this d the Jacobian itself is cheaper than an iteration on its products


def implicit_root(
    residual: Residual,
    root: Points,
    kappa: float,
    tol: float,
    *,
    linear: Residual | None = None,
    solver: RootSolver | None = None,
    dtype: torch.dtype | None = None,
    on_failure: OnFailure = "raise",
    report: Report | None = None,
) -> Points:
    """``root`` [n, d], unchanged, with the gradients of the solution of residual(z) = 0. First order only.

    They are those of one detached Newton step z = root + (I + J_g)⁻¹ F(root; θ), so F is evaluated once with a graph.
    The backward pass solves (I + J_g)ᵀ h = a, with ‖h − h*‖ ≤ ``tol`` · max(‖a‖, ‖h‖) certified for each row.

    Args:
        residual: z ↦ rhs − g(z) − z with a graph to all that gradients shall reach.
        kappa: Lipschitz bound of g.
        linear: the same function for the backward system, in the precision of ``root``; by default ``residual``.
        solver: of the backward system. By default the dense matrix for d ≤ 16, GMRES on vector-Jacobian products above.
        dtype: of the result and of what ``residual`` sees, where the root was found in a higher precision.
        report: is given the result of every backward solve.

    Raises:
        InputError: F(root) has another shape than ``root``; differentiating twice is a RuntimeError of torch.
        NotConverged: in the backward pass, as ``solve_or_raise``.
    """
    root, linear = root.detach(), linear or residual
    point = root.to(dtype or root.dtype)
    value = residual(point)
    if value.shape != point.shape:
        raise InputError(f"residual(root) has shape {tuple(value.shape)}, expected {tuple(point.shape)} like root")

    def transposed(a: Points) -> Points:
        exact = a.to(root.dtype)
        size = exact.norm(dim=1, keepdim=True)
        size = torch.where(size == 0, 1, size)
        unit = exact / size  # cotangents may be tiny, a mean loss divides by n: tolerances are for rows of length one
        products, chosen = _backward_system(linear, root, solver)
        result = solve_or_raise(chosen, lambda h: unit + products(h), unit, kappa, tol, on_failure, report)
        return (result.x * size).to(a.dtype)

    return _Root.apply(value, point, transposed)


def _backward_system(
    linear: Residual, root: Points, solver: RootSolver | None
) -> tuple[Callable[[Points], Points], RootSolver]:
    """h ↦ (∂F/∂z)ᵀ h, and who solves a + (∂F/∂z)ᵀ h = 0, which is again rhs − g(h) − h with a κ-Lipschitz g."""
    if solver is None and root.shape[1] <= DENSE:
        matrix = dense_jacobian(linear, root).mT
        return lambda h: (matrix @ h[..., None])[..., 0], Direct(matrix)
    _, products = torch.func.vjp(getattr(linear, "value", linear), root)
    return lambda h: products(h)[0], solver or GMRES()


class _Root(torch.autograd.Function):
    """F(root; θ) ↦ root, whose backward pass sends (I + J_g)⁻ᵀ a to F."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, value: Tensor, root: Tensor, transposed: Callable) -> Tensor:
        ctx.transposed = transposed
        return root.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, a: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transposed(a), None, None
