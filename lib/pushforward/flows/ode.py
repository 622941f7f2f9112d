"""The bijection that follows an ODE from data to latent: a continuous normalizing flow, or one JKO block."""

import copy
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from pushforward.errors import InputError, NonFinite, NotInvertible
from pushforward.flows.bijection import Bijection
from pushforward.flows.determinant import determinant, log_with_barrier
from pushforward.flows.inversion import invert
from pushforward.numerics import Divergence, Exact, FixedGrid, Solver, velocity_and_jacobian
from pushforward.numerics.divergence import VelocityAndDivergence
from pushforward.shapes import Paths, PerPoint, Points, Time

LogDet = Literal["trace", "discrete"]


class ODEBijection(Bijection):
    """x(t_data) -> x(t_latent) along dx/dt = v(t, x).

    Two log-determinants:

    ``trace``
        ∫ div v dt along the path: that of the exact ODE flow, as good as the solver is. A coarse grid can be
        exploited in training (the sum of traces grows while the map does not), so compare solvers. ``divergence`` may
        be an estimate in training mode; evaluation mode is exact.
    ``discrete``
        log |det| of the solver's own steps, with all d tangents carried through them: an exact change of variables for
        the discretised map, however coarse, as long as every step is injective. The price is d tangents, so it is
        for small d, with a ``FixedGrid``. In evaluation mode a step determinant that is not positive is an error; in
        training mode the logarithm continues linearly below 0.05, a barrier that pushes folds back.

    The inverse of a fixed grid is refined until it inverts the discretised map to rounding.
    """

    def __init__(
        self,
        velocity: nn.Module,
        solver: Solver | None = None,
        log_det: LogDet = "trace",
        divergence: Divergence | None = None,
        t_data: float = 0.0,
        t_latent: float = 1.0,
    ) -> None:
        super().__init__()
        self.velocity = velocity
        self.dim = velocity.dim
        self.solver = solver or FixedGrid()
        self.log_det, self.divergence = log_det, divergence or Exact()
        self.t_data, self.t_latent = t_data, t_latent
        self.generator: torch.Generator | None = None  # of the divergence's probes; None is torch's global one
        _check_pair(self.solver, log_det)

    def forward(self, x: Points) -> Points:
        return self.solver(self.velocity, x, self.t_data, self.t_latent)

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        if self.log_det == "trace":
            return self._with_trace(x)
        z, determinants = self.step_determinants(x)
        if self.training:
            return z, log_with_barrier(determinants).sum(0)
        folded = ~(determinants > 0).all(0)
        if folded.any():
            if determinants.isnan().any():
                raise NonFinite(f"{int(folded.sum())} of {len(x)} points meet a velocity that is NaN: train it again")
            raise NotInvertible(
                f"{int(folded.sum())} of {len(x)} points meet a step determinant that is not positive (least "
                f"{determinants.min().item():.2e}): the discretised block folds; use more steps or a smaller h"
            )
        return z, determinants.log().sum(0)

    def _with_trace(self, x: Points) -> tuple[Points, PerPoint]:
        # An estimate would put noise, and a finite difference bias, into every reported density.
        divergence = self.divergence if self.training else Exact()
        velocity_and_divergence = divergence(self.velocity, x, self.generator)
        start = torch.cat([x, x.new_zeros(len(x), 1)], 1)
        end = self.solver(_Augmented(self.velocity, velocity_and_divergence), start, self.t_data, self.t_latent)
        return end[:, :-1], end[:, -1]

    def step_determinants(self, x: Points) -> tuple[Points, Tensor]:
        """z [n, d] and the determinant of every step of the fixed grid [steps, n]."""
        z, jacobians = self._step_jacobians(x)
        return z, torch.stack([determinant(jacobian) for jacobian in jacobians])

    def _step_jacobians(self, x: Points) -> tuple[Points, list[Tensor]]:
        """z [n, d] and the Jacobian of every step [n, d, d], the first step's first."""

        def field(t: Time, state: Tensor) -> Tensor:  # state [n, d, 1 + d]: the point and its tangents
            v, jacobian = velocity_and_jacobian(self.velocity, t, state[..., 0])
            return torch.cat([v[..., None], jacobian @ state[..., 1:]], -1)

        one = replace(self.solver, steps=1)
        identity = torch.eye(self.dim, dtype=x.dtype, device=x.device).expand(len(x), -1, -1)
        times = torch.linspace(self.t_data, self.t_latent, self.solver.steps + 1, dtype=torch.float64).tolist()
        jacobians = []
        for t, later in zip(times[:-1], times[1:], strict=True):
            state = one(field, torch.cat([x[..., None], identity], -1), t, later)
            x = state[..., 0]
            jacobians.append(state[..., 1:])
        return x, jacobians

    def _with_jacobian(self, x: Points) -> tuple[Points, Tensor]:
        z, (total, *others) = self._step_jacobians(x)
        for jacobian in others:
            total = jacobian @ total
        return z, total

    def inverse(self, z: Points) -> Points:
        """Solve back; on a fixed grid, refined until the discretised forward map returns z to rounding.

        Raises:
            NotConverged: some points do not return to z within 100 roundings; see ``inversion``.
        """

        def backward(y: Points) -> Points:
            return self.solver(self.velocity, y, self.t_latent, self.t_data)

        if not isinstance(self.solver, FixedGrid):
            return backward(z)
        return invert(self.forward, backward, self._with_jacobian, z)

    def path(self, x: Points, stops: int) -> Paths:
        times = torch.linspace(self.t_data, self.t_latent, stops, dtype=torch.float64).tolist()
        points = [x]
        for t, later in zip(times[:-1], times[1:], strict=True):
            points.append(self.solver(self.velocity, points[-1], t, later))
        return torch.stack(points)


class _Augmented(nn.Module):
    """The point and its running ∫ div v; a module, so that an adjoint solver finds the velocity's parameters."""

    def __init__(self, velocity: nn.Module, velocity_and_divergence: VelocityAndDivergence) -> None:
        super().__init__()
        self.velocity = velocity
        self.velocity_and_divergence = velocity_and_divergence

    def forward(self, t: Time, state: Tensor) -> Tensor:
        v, divergence = self.velocity_and_divergence(t, state[:, :-1])
        return torch.cat([v, divergence[:, None]], 1)


def _check_pair(solver: Solver, log_det: LogDet) -> None:
    if log_det not in ("trace", "discrete"):
        raise InputError(f"log_det is {log_det!r}, expected 'trace' or 'discrete'")
    if log_det == "discrete" and not isinstance(solver, FixedGrid):
        raise InputError(f"log_det='discrete' differentiates a FixedGrid's steps, found {solver}")


def with_solver(module: nn.Module, solver: Solver, log_det: LogDet = "trace") -> nn.Module:
    """A copy in which every ODE bijection uses ``solver`` and the exact divergence: the same ODEs, solved otherwise.

    Raises:
        InputError: ``log_det`` is unknown, or 'discrete' without a ``FixedGrid``.
    """
    _check_pair(solver, log_det)
    other = copy.deepcopy(module)
    for part in other.modules():
        if isinstance(part, ODEBijection):
            part.solver, part.log_det, part.divergence = solver, log_det, Exact()
    return other
