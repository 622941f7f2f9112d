"""The regression loss of a simulation-free flow."""

from dataclasses import dataclass

import torch

from pushforward.errors import InputError
from pushforward.interpolation import InterpolationVelocity
from pushforward.objectives.coupling import COUPLINGS, couple
from pushforward.objectives.loss import Loss
from pushforward.shapes import Points


@dataclass(frozen=True)
class MatchingObjective:
    """L = E |N(t, X_t) − target(t, Z, X_1)|² with X_t = a Z + b X_1 and t uniform on [t_min, t_max].

    The minimum is not 0 but the variance of the target given X_t (claim A10); what is above it, for the ``velocity``
    prediction and uniform times, is the integral of the stability theorem. Times are stratified: one in each part of
    equal mass. ``emphasis`` p > 1 draws more of them near the data, 1 − t being the p-th power of a uniform draw:
    details as fine as the noise level are learned there, and errors there cost the most likelihood.
    ``antithetic`` shows each point with z and with −z at the same time: near the data, where the target is all but −z,
    the noise of the gradient cancels within the pair. Under optimal transport z and −z are each assigned anew.
    Source: Gaussian interpolation flows (arXiv 2311.11475), section 2.

    Raises:
        InputError: times out of order, an unknown coupling, or a power that is not positive.
    """

    velocity: InterpolationVelocity
    t_min: float = 0.0
    t_max: float = 1.0
    coupling: str = "independent"
    antithetic: bool = False
    emphasis: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.t_min < self.t_max <= 1:
            raise InputError(f"t_min={self.t_min}, t_max={self.t_max}: expected 0 <= t_min < t_max <= 1")
        if self.coupling not in COUPLINGS:
            raise InputError(f"coupling {self.coupling!r} is unknown, expected one of {sorted(COUPLINGS)}")
        if not self.emphasis > 0:
            raise InputError(f"emphasis is {self.emphasis}, expected a positive power (1: uniform times)")

    def __call__(self, x1: Points, generator: torch.Generator) -> Loss:
        z = torch.randn(x1.shape, generator=generator, dtype=x1.dtype).to(x1.device)
        t = self._times(len(x1), generator).to(x1.device)
        if self.antithetic:  # −z in the places of z would be the costliest coupling where z has the cheapest
            z = torch.cat([couple(z, x1, self.coupling), couple(-z, x1, self.coupling)])
            x1, t = torch.cat([x1, x1]), torch.cat([t, t])
        else:
            z = couple(z, x1, self.coupling)
        schedule = self.velocity.schedule
        x = schedule.a(t).to(x1.dtype)[:, None] * z + schedule.b(t).to(x1.dtype)[:, None] * x1
        gap = self.velocity.predict(t, x) - self.velocity.target(t, z, x1)
        return Loss({"matching": gap.square().sum(1).mean()})

    def _times(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """One uniform draw in each of n equal parts of [t_min, t_max], in float64; rows of x1 are in random order."""
        u = (torch.arange(n) + torch.rand(n, generator=generator, dtype=torch.float64)) / n
        return self.t_max - (self.t_max - self.t_min) * (1 - u) ** self.emphasis
