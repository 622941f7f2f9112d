"""Inverting a discretised block to rounding: cheap corrections for almost every point, Newton's method for the rest."""

from collections.abc import Callable

import torch
from torch import Tensor

from pushforward.errors import NotConverged
from pushforward.shapes import PerPoint, Points

CORRECTIONS = 8
NEWTON_STEPS = 40
HALVINGS = 12
GOOD, CERTIFIED = 4, 100  # roundings, eps (1 + |z|): where corrections stop, and what every returned point keeps


def invert(
    forward: Callable[[Points], Points],
    backward: Callable[[Points], Points],
    with_jacobian: Callable[[Points], tuple[Points, Tensor]],
    z: Points,
) -> Points:
    """The x [n, d] with forward(x) = z within 100 roundings, given a ``backward`` that is only nearly the inverse.

    Defect correction, s ← s + z − forward(backward(s)), contracts where forward ∘ backward is near the identity.
    Points where the grid is too coarse for that go on with damped Newton steps on ``with_jacobian`` (value [n, d],
    Jacobian [n, d, d]), which converge as long as the Jacobian stays regular.

    Raises:
        NotConverged: some points are left; the message counts them.
    """
    start, x = z, backward(z)
    for correction in range(CORRECTIONS):
        defect = z - forward(x)
        error = _roundings(defect, z)
        if error.max() <= GOOD or (error.max() <= CERTIFIED and correction >= CORRECTIONS // 2):
            return x
        start = start + defect
        x = backward(start)
    left = ~(_roundings(z - forward(x), z) <= CERTIFIED)  # NaN counts as left
    if left.any():
        x = x.clone()
        x[left] = _newton(forward, with_jacobian, backward(z[left]), z[left])
    return x


def _newton(
    forward: Callable[[Points], Points],
    with_jacobian: Callable[[Points], tuple[Points, Tensor]],
    x: Points,
    z: Points,
) -> Points:
    for _ in range(NEWTON_STEPS):
        value, jacobian = with_jacobian(x)
        defect = z - value
        if (_roundings(defect, z) <= CERTIFIED).all():
            return x
        direction = torch.linalg.solve_ex(jacobian, defect)[0]  # a singular Jacobian gives NaN, counted below
        length = torch.ones(len(x), 1, dtype=x.dtype, device=x.device)
        for _ in range(HALVINGS):
            worse = (z - forward(x + length * direction)).norm(dim=1) >= defect.norm(dim=1)
            length = torch.where(worse[:, None], 0.5 * length, length)
        x = x + length * direction
    error = _roundings(z - forward(x), z)
    if (error <= CERTIFIED).all():
        return x
    raise NotConverged(
        f"{int((~(error <= CERTIFIED)).sum())} points do not return (worst defect "
        f"{(z - forward(x)).norm(dim=1).max().item():.1e}) after {CORRECTIONS} corrections and {NEWTON_STEPS} Newton "
        "steps: the discretised block is not a bijection there; use more solver steps"
    )


def _roundings(defect: Points, z: Points) -> PerPoint:
    return defect.norm(dim=1) / (torch.finfo(z.dtype).eps * (1 + z.norm(dim=1)))
