"""The equation of a block at given right-hand sides, in the precision in which it is solved."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pushforward.shapes import Points


class Equation:
    """F(z) = rhs − g(z) − z, without a graph to the parameters, in the dtype of ``rhs`` [n, d] whatever that of g.

    In float32 the rounding of F, about 1e-7 ‖z‖, times 1/(1 − κ) = 33 at κ = 0.97 hides any certificate below 4e-6.
    So a float32 network is solved with its weights read as float64.
    """

    def __init__(self, g: Callable[[Points], Points], rhs: Points) -> None:
        self.rhs = rhs.detach()
        self.evaluate = _frozen(g, rhs.dtype) if isinstance(g, nn.Module) else lambda z, method: getattr(g, method)(z)
        self.own_jacobian = hasattr(g, "value_and_jacobian")

    def __call__(self, z: Points) -> Points:
        return self.rhs - self.evaluate(z, "__call__") - z

    def jacobian(self, z: Points) -> Tensor:
        """J[n, i, j] = ∂F_i/∂z_j [n, d, d]: by g's own ``value_and_jacobian``, or forward mode."""
        identity = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        if self.own_jacobian:
            return -identity - self.evaluate(z, "value_and_jacobian")[1]
        return forward_mode_jacobian(self, z)


def dense_jacobian(residual: Callable[[Points], Points], z: Points) -> Tensor:
    """The residual's own ``jacobian(z)`` [n, d, d] where it has one, forward mode elsewhere."""
    own = getattr(residual, "jacobian", None)
    return own(z) if own is not None else forward_mode_jacobian(residual, z)


def forward_mode_jacobian(function: Callable[[Points], Points], z: Points) -> Tensor:
    """J[n, i, j] = ∂f_i/∂z_j [n, d, d] of a map that treats every row on its own, all d tangents at once."""

    def column(direction: Tensor) -> Points:
        return torch.func.jvp(function, (z,), (direction.expand_as(z),))[1]

    basis = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    return torch.func.vmap(column)(basis).permute(1, 2, 0)


class _Method(nn.Module):
    """Lets ``functional_call`` reach any method of g, not ``forward`` alone."""

    def __init__(self, g: nn.Module) -> None:
        super().__init__()
        self.g = g

    def forward(self, z: Points, method: str) -> Tensor | tuple[Tensor, ...]:
        return getattr(self.g, method)(z)


def _frozen(g: nn.Module, dtype: torch.dtype) -> Callable[[Points, str], Tensor | tuple[Tensor, ...]]:
    module = _Method(g)
    named = [*module.named_parameters(), *module.named_buffers()]
    tensors = {name: t.detach().to(dtype if t.is_floating_point() else t.dtype) for name, t in named}
    return lambda z, method: torch.func.functional_call(module, tensors, (z, method))
