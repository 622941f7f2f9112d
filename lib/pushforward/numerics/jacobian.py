"""The Jacobian of a velocity at every point: the field's own formula where it has one, forward mode elsewhere."""

from collections.abc import Callable

import torch
from torch import Tensor

from pushforward.shapes import Points, Time

Velocity = Callable[[Time, Points], Points]


def velocity_and_tangent(velocity: Velocity, t: Time, x: Points, direction: Points) -> tuple[Points, Points]:
    """v(t, x) [n, d] and its derivative along ``direction`` [n, d], J direction [n, d].

    A velocity that has a method ``velocity_and_tangent(t, x, direction)`` answers itself; any other costs one
    forward-mode product.
    """
    own = getattr(velocity, "velocity_and_tangent", None)
    if own is not None:
        return own(t, x, direction)
    return torch.func.jvp(lambda y: velocity(t, y), (x.contiguous(),), (direction,))  # it refuses expanded points


def velocity_and_jacobian(velocity: Velocity, t: Time, x: Points) -> tuple[Points, Tensor]:
    """v(t, x) [n, d] and J[n, i, j] = ∂v_i/∂x_j [n, d, d].

    A velocity that has a method ``velocity_and_jacobian(t, x)`` answers itself (one pass for all tangents); any other
    costs d forward-mode products.
    """
    own = getattr(velocity, "velocity_and_jacobian", None)
    if own is not None:
        return own(t, x)
    basis = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    columns = []
    for direction in basis:
        v, column = velocity_and_tangent(velocity, t, x, direction.expand_as(x))
        columns.append(column)
    return v, torch.stack(columns, -1)
