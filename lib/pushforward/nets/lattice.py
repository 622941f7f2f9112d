"""A planar velocity on lattices of several resolutions, interpolated by cubic B-splines."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.errors import InputError
from pushforward.shapes import Points, Time


class Lattice(nn.Module):
    """v(x) = Σ_levels Σ_ab c_ab β(x₁/s − a) β(x₂/s − b): a twice differentiable field on [−radius, radius]².

    Every control point is local and every level has its own scale s, so that fine strokes are learned as fast as
    coarse shapes, where an MLP meets its bias towards smooth functions. The Jacobian falls out of the same sixteen
    weights a level. Three rings of zeros around the control points let the field fade out at the border of the square,
    so that it is twice differentiable everywhere; outside the square a block is the identity.

    Control points are kept in units of their level's spacing s: one learning rate then moves every level by the same
    part of its cell, and folds, which begin at gradients near −1, are equally far at all levels. They start at zero,
    so that a new block is the identity.

    Args:
        dim: must be 2.
        sizes: control points a side, one entry a level.
        radius: half the side of the square that the lattice covers, in the units of the points it is given.

    Raises:
        InputError: dim is not 2, no level, or fewer than 8 control points a side.
    """

    def __init__(self, dim: int = 2, sizes: Sequence[int] = (128, 64, 32, 16), radius: float = 5.0) -> None:
        super().__init__()
        if dim != 2:
            raise InputError(f"dim is {dim}, but a lattice velocity is planar: use 'mlp' or 'gated'")
        if not sizes or min(sizes) < 8:
            raise InputError(f"sizes is {list(sizes)}, expected at least one level of at least 8 control points")
        if not radius > 0:
            raise InputError(f"radius is {radius}, expected a positive number")
        self.dim, self.sizes, self.radius = dim, tuple(sizes), radius
        self.control = nn.ParameterList(nn.Parameter(torch.zeros(size, size, 2)) for size in sizes)

    def settings(self) -> dict:
        """The arguments that rebuild this network."""
        return {"dim": 2, "sizes": list(self.sizes), "radius": self.radius}

    @torch.no_grad()
    def restrict_(self, start: float, end: float) -> None:
        """Become (end − start) v: the path from ``start`` to ``end``, run in unit time; the field is autonomous."""
        for control in self.control:
            control *= end - start

    def velocity_and_jacobian(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        """v [n, 2] and its Jacobian [n, 2, 2]; the field is autonomous, t is not used."""
        pieces = []
        # Sixteen products a point gain nothing from bfloat16, and the hand-written gradient would meet two dtypes.
        with torch.autocast(x.device.type, enabled=False):
            for control, size in zip(self.control, self.sizes, strict=True):
                spacing = 2 * self.radius / (size + 3)
                pieces.append(_Spline.apply(x, nn.functional.pad(spacing * control, (0, 0, 3, 3, 3, 3)), self.radius))
        return sum(v for v, _ in pieces), sum(jacobian for _, jacobian in pieces)

    def forward(self, t: Time, x: Points) -> Points:
        """v(x) [n, 2]."""
        return self.velocity_and_jacobian(t, x)[0]

    def velocity_and_tangent(self, t: Time, x: Points, direction: Points) -> tuple[Points, Points]:
        """v [n, 2] and its derivative along ``direction`` [n, 2]; forward mode cannot pass through ``_Spline``."""
        v, jacobian = self.velocity_and_jacobian(t, x)
        return v, (jacobian @ direction[:, :, None])[:, :, 0]

    def velocity_and_divergence(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        """v [n, 2] and its exact divergence [n]."""
        v, jacobian = self.velocity_and_jacobian(t, x)
        return v, jacobian[:, 0, 0] + jacobian[:, 1, 1]


def _weights(f: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cubic B-spline weights of the four nearest control points and their first two derivatives, f in [0, 1)."""
    g = 1 - f
    value = torch.stack([g**3, 3 * f**3 - 6 * f**2 + 4, 3 * g**3 - 6 * g**2 + 4, f**3], -1) / 6
    slope = torch.stack([-(g**2), 3 * f**2 - 4 * f, 4 * g - 3 * g**2, f**2], -1) / 2
    bend = torch.stack([g, 3 * f - 2, 3 * g - 2, f], -1)
    return value, slope, bend


def _outer(first: Tensor, second: Tensor) -> Tensor:
    """Products of the weights along the two axes, first of axis 0 and second of axis 1: [n, 16]."""
    return (first[:, 0, :, None] * second[:, 1, None, :]).flatten(1)


class _Spline(torch.autograd.Function):
    """Value and Jacobian of one level with a hand-written gradient.

    Plain autograd through the sixteen weights is several times slower and keeps every intermediate.
    """

    @staticmethod
    def forward(ctx, x: Tensor, control: Tensor, radius: float) -> tuple[Tensor, Tensor]:  # noqa: ANN001
        size = len(control)
        spacing = 2 * radius / (size - 3)
        position = (x + radius) / spacing
        inside = ((position >= 0) & (position < size - 3)).all(1)
        corner = position.floor().clamp(0, size - 4)
        value, slope, bend = (w * inside[:, None, None] for w in _weights((position - corner).clamp(0, 1)))
        slope, bend = slope / spacing, bend / spacing**2
        near = torch.arange(4, device=x.device)
        corner = corner.long().clamp(0, size - 4)  # NaN became any integer; its weights carry the NaN on
        index = ((corner[:, 0, None] + near)[:, :, None] * size + (corner[:, 1, None] + near)[:, None]).flatten(1)
        local = control.flatten(0, 1).index_select(0, index.flatten()).unflatten(0, (-1, 16))  # [n, 16, 2]
        basis = torch.stack([_outer(value, value), _outer(slope, value), _outer(value, slope)], 1)  # [n, 3, 16]
        result = torch.bmm(basis, local)  # [n, 3, 2]: value, ∂₁, ∂₂
        ctx.save_for_backward(index, basis, local, value, slope, bend)
        ctx.size = size
        return result[:, 0], result[:, 1:].mT

    @staticmethod
    def backward(ctx, grad_v: Tensor, grad_jacobian: Tensor) -> tuple[Tensor, Tensor, None]:  # noqa: ANN001
        index, basis, local, value, slope, bend = ctx.saved_tensors
        grad_result = torch.cat([grad_v[:, None], grad_jacobian.mT], 1)  # [n, 3, 2]
        grad_control = local.new_zeros(ctx.size**2, 2)
        grad_control.index_add_(0, index.flatten(), torch.bmm(basis.mT, grad_result).flatten(0, 1))
        jacobian = torch.bmm(basis[:, 1:], local)  # [n, in, out]
        second = torch.bmm(torch.stack([_outer(bend, value), _outer(slope, slope), _outer(value, bend)], 1), local)
        hessian = torch.stack([second[:, :2], second[:, 1:]], 1)  # [n, in, in, out]
        grad_x = torch.einsum("nio,no->ni", jacobian, grad_v) + torch.einsum("nijo,noj->ni", hessian, grad_jacobian)
        return grad_x, grad_control.unflatten(0, (ctx.size, ctx.size)), None
