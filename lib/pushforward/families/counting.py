"""How often a training evaluates a velocity, counted at the solver: adaptive steps are not known beforehand."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pushforward.flows import ODEBijection
from pushforward.numerics import Solver
from pushforward.numerics.ode import Field


class Counted(nn.Module):
    """An ODE bijection under training, and ``evaluations``: the calls of its velocity so far, each over a minibatch.

    Backward solves of an adjoint count too, solves in evaluation mode do not. The count is a buffer and travels with
    the state of the training, so a killed run goes on counting. ``ode`` keeps the counting solver: it is for training,
    and the flow gets another ``ODEBijection`` of the same velocity.
    """

    def __init__(self, ode: ODEBijection) -> None:
        super().__init__()
        self.ode = ode
        self.register_buffer("evaluations", torch.zeros((), dtype=torch.int64))
        ode.solver = _Counting(ode.solver, self._count)

    def _count(self) -> None:
        if self.ode.training:
            self.evaluations += 1


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
