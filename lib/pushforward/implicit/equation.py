"""The equation of a block at given right-hand sides, in the precision in which it is solved."""

from collections.abc import Callable
from copy import copy

import torch
from torch import Tensor, nn

from pushforward.shapes import Points


class Equation:
    """F(z) = rhs − g(z) − z, without a graph to the parameters, in the dtype of ``rhs`` [n, d] whatever that of g.

    In float32 the rounding of F, about 1e-7 ‖z‖, times 1/(1 − κ) = 33 at κ = 0.97 hides any certificate below 4e-6.
    So a float32 network is solved with its weights read as float64.

    Args:
        dense: every evaluation of F finds the Jacobian too, which g's own ``value_and_jacobian`` gives in the same
            pass, and the last one is remembered: Newton's method, and the backward system at the root, ask for it next.
    """

    def __init__(self, g: Callable[[Points], Points], rhs: Points, dense: bool = False) -> None:
        self.rhs = rhs.detach()
        self.g = _frozen(g, rhs.dtype)
        self.own_jacobian = hasattr(g, "value_and_jacobian")
        self.dense = dense and self.own_jacobian
        self.last: tuple[Points, Tensor] | None = None  # z, J_g(z)

    def __call__(self, z: Points) -> Points:
        return self.rhs - self._value_and_slope(z)[0] - z if self.dense else self.value(z)

    def value(self, z: Points) -> Points:
        """F(z) alone, whether ``dense`` or not."""
        return self.rhs - self.g(z) - z

    def jacobian(self, z: Points) -> Tensor:
        """J[n, i, j] = ∂F_i/∂z_j [n, d, d]: by g's own ``value_and_jacobian``, or forward mode."""
        if self.last is not None and torch.equal(z, self.last[0]):
            slope = self.last[1]
        else:
            slope = self._value_and_slope(z)[1] if self.own_jacobian else forward_mode_jacobian(self.g, z)
        return -torch.eye(z.shape[1], dtype=z.dtype, device=z.device) - slope

    def rows(self, chosen: Tensor) -> "Equation":
        """The same for the rows ``chosen`` [n] bool alone."""
        part = copy(self)
        part.rhs, part.last = self.rhs[chosen], None
        return part

    def recall(self, chosen: Tensor, part: "Equation") -> None:
        """Remember for the rows ``chosen`` what ``part``, made by ``rows``, found last."""
        if self.last is not None and part.last is not None:
            pairs = zip(self.last, part.last, strict=True)
            self.last = tuple(mine.index_put((chosen,), theirs) for mine, theirs in pairs)

    def _value_and_slope(self, z: Points) -> tuple[Points, Tensor]:
        value, slope = self.g.value_and_jacobian(z)
        self.last = z, slope
        return value, slope


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


def _frozen(g: Callable[[Points], Points], dtype: torch.dtype) -> Callable[[Points], Points]:
    """g in ``dtype``, no parameters to reach: by its own ``frozen``, or any module; a plain function as it is."""
    if getattr(g, "frozen", None) is not None:
        return g.frozen(dtype)
    return _Frozen(g, dtype) if isinstance(g, nn.Module) else g


class _Frozen:
    """Any module with its tensors detached and read in another dtype."""

    def __init__(self, g: nn.Module, dtype: torch.dtype) -> None:
        self.module = _Method(g)
        named = [*self.module.named_parameters(), *self.module.named_buffers()]
        self.tensors = {name: t.detach().to(dtype if t.is_floating_point() else t.dtype) for name, t in named}

    def __call__(self, z: Points) -> Points:
        return torch.func.functional_call(self.module, self.tensors, (z, "__call__"))

    def value_and_jacobian(self, z: Points) -> tuple[Points, Tensor]:
        """As g's own, where it has one."""
        return torch.func.functional_call(self.module, self.tensors, (z, "value_and_jacobian"))


class _Method(nn.Module):
    """Lets ``functional_call`` reach any method of g, not ``forward`` alone."""

    def __init__(self, g: nn.Module) -> None:
        super().__init__()
        self.g = g

    def forward(self, z: Points, method: str) -> Tensor | tuple[Tensor, ...]:
        return getattr(self.g, method)(z)
