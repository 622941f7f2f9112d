"""Solvers for dx/dt = v(t, x): fixed grids with ordinary backprop, and torchdiffeq's adaptive ones.

A solver is an object: called with a velocity, a start and two times it returns the end point. A state is one tensor
of any shape, so that points, tangents and log-determinants travel together when a caller stacks them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

from pushforward.errors import InputError, NotConverged

Field = Callable[[Tensor, Tensor], Tensor]  # (t, state) -> d state / dt


@runtime_checkable
class Solver(Protocol):
    """Anything that carries a state from time ``t0`` to time ``t1`` along a field."""

    def __call__(self, field: Field, state: Tensor, t0: float, t1: float) -> Tensor: ...


def _rk4_step(field: Field, state: Tensor, t: Tensor, dt: Tensor) -> Tensor:
    half = 0.5 * dt
    k1 = field(t, state)
    k2 = field(t + half, state + half * k1)
    k3 = field(t + half, state + half * k2)
    k4 = field(t + dt, state + dt * k3)
    return state + dt / 6 * (k1 + 2 * (k2 + k3) + k4)


def _midpoint_step(field: Field, state: Tensor, t: Tensor, dt: Tensor) -> Tensor:
    half = 0.5 * dt
    return state + dt * field(t + half, state + half * field(t, state))


_STEPS = {"rk4": (_rk4_step, 4), "midpoint": (_midpoint_step, 2)}


@dataclass(frozen=True)
class FixedGrid:
    """``steps`` equal steps of the classical fourth-order Runge–Kutta rule (``rk4``) or of the ``midpoint`` rule.

    Gradients are those of the discrete solution (ordinary backprop through the steps).

    Raises:
        InputError: unknown method, or steps < 1.
    """

    steps: int = 4
    method: Literal["rk4", "midpoint"] = "rk4"

    def __post_init__(self) -> None:
        if self.method not in _STEPS:
            raise InputError(f"solver method {self.method!r} is unknown, expected one of {sorted(_STEPS)}")
        if self.steps < 1:
            raise InputError(f"steps is {self.steps}, expected at least 1")

    @property
    def evaluations(self) -> int:
        """Velocity evaluations of one solve."""
        return self.steps * _STEPS[self.method][1]

    def __call__(self, field: Field, state: Tensor, t0: float, t1: float) -> Tensor:
        step, _ = _STEPS[self.method]
        # Times in float64 on the CPU would promote the state; a 0-d tensor of the state's dtype does not.
        times = torch.linspace(t0, t1, self.steps + 1, dtype=state.dtype, device=state.device)
        for i in range(self.steps):
            state = step(field, state, times[i], times[i + 1] - times[i])
        return state


@dataclass(frozen=True)
class Adaptive:
    """torchdiffeq's ``method`` at tolerances ``rtol``, ``atol``; with ``adjoint=True`` gradients solve the adjoint ODE.

    The last step lands on t1. By itself torchdiffeq steps over it and interpolates back: that asks velocities about
    times at which they may not exist, and the interpolant, of fourth order, spoils dopri8 from 4e-12 to 6e-8.

    Adjoint gradients need the field to be an ``nn.Module`` and are not those of the discrete solution.

    Raises:
        NotConverged: the step size underflowed or more than ``max_steps`` steps were needed.
    """

    rtol: float = 1e-5
    atol: float = 1e-5
    method: str = "dopri5"
    adjoint: bool = False
    max_steps: int = 10_000

    def __call__(self, field: Field, state: Tensor, t0: float, t1: float) -> Tensor:
        times = torch.tensor([t0, t1], dtype=state.dtype, device=state.device)
        if self.adjoint and not isinstance(field, nn.Module):
            raise InputError("adjoint=True needs the field to be an nn.Module, whose parameters receive the gradient")
        solve = odeint_adjoint if self.adjoint else odeint
        try:
            return solve(
                field,
                state,
                times,
                rtol=self.rtol,
                atol=self.atol,
                method=self.method,
                options={"max_num_steps": self.max_steps, "step_t": times[1:]},
            )[-1]
        except AssertionError as error:
            raise NotConverged(
                f"{self.method} at rtol={self.rtol:g}, atol={self.atol:g} gave up between t={t0:g} and t={t1:g} "
                f"({error}): the velocity is stiff or not finite; loosen the tolerances or use more blocks"
            ) from error
