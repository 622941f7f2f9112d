"""How often a training evaluates a velocity, counted at the solver: adaptive steps are not known beforehand."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from pushforward.flows import Chain, ODEBijection
from pushforward.numerics import FiniteDifference, Solver
from pushforward.numerics.ode import Field


class Counted(nn.Module):
    """ODE bijections under training, one or a chain, and the ``evaluations`` of their velocities together so far.

    Backward solves of an adjoint count too, solves in evaluation mode do not. The count is a buffer and travels with
    the state of the training, so a killed run goes on counting. ``ode`` keeps the counting solvers: it is for training,
    and the flow gets another ``ODEBijection`` of each velocity.
    """

    def __init__(self, ode: ODEBijection | Chain) -> None:
        super().__init__()
        self.ode = ode
        self.register_buffer("evaluations", torch.zeros((), dtype=torch.int64))
        for part in ode.blocks if isinstance(ode, Chain) else [ode]:
            part.solver = _Counting(part.solver, partial(self._count, passes(part)))

    def _count(self, passes: int) -> None:
        if self.ode.training:
            self.evaluations += passes


def passes(ode: ODEBijection) -> int:
    """Passes of the velocity whenever the solver evaluates the field in training: a finite difference makes two."""
    return 2 if ode.log_det == "trace" and isinstance(ode.divergence, FiniteDifference) else 1


class _Counting:
    """A solver that calls ``count`` whenever it evaluates the field."""

    def __init__(self, solver: Solver, count: Callable[[], None]) -> None:
        self.solver, self.count = solver, count

    def __call__(self, field: Field, state: Tensor, t0: float, t1: float) -> Tensor:
        return self.solver(_Field(field, self.count), state, t0, t1)


class _Field(nn.Module):
    """The field; a module, so that an adjoint solver finds its parameters."""

    def __init__(self, field: Field, count: Callable[[], None]) -> None:
        super().__init__()
        self.field, self.count = field, count

    def forward(self, t: Tensor, state: Tensor) -> Tensor:
        self.count()
        return self.field(t, state)
