"""The laws on which the theorems are measured, each with the constants that the bounds ask for."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from pushforward.distributions import GaussianMixture
from pushforward.errors import InputError
from pushforward.interpolation.interval import IntervalInterpolation, bimodal, uniform
from pushforward.interpolation.mixture import MixtureInterpolation
from pushforward.interpolation.schedules import Schedule

Oracle = MixtureInterpolation | IntervalInterpolation


@dataclass(frozen=True)
class Target:
    """A law ν with the constants of Assumption 2 that it has; None where one does not apply or is not known.

    Args:
        name: the key in ``TARGETS``.
        law: ν as a mixture, None for the two laws on an interval.
        kappa: −∇² log p ≥ κ I.
        beta: −∇² log p ≤ β I.
        sigma: ν = N(0, σ²I) ∗ ρ, with ρ in a ball of radius R = ``radius``.
        diameter: D = diam(supp ν)/√2.
        log_lipschitz: L, dν/dN(0, I) is L-log-Lipschitz.
        interval: makes the interpolation of a law on an interval, where there is no mixture.

    Raises:
        InputError: both or neither of law and interval.
    """

    name: str
    law: GaussianMixture | None = None
    kappa: float | None = None
    beta: float | None = None
    sigma: float | None = None
    radius: float | None = None
    diameter: float | None = None
    log_lipschitz: float | None = None
    interval: Callable[[Schedule], IntervalInterpolation] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.law is None) == (self.interval is None):
            raise InputError(f"target {self.name!r}: law and interval, expected exactly one of the two")

    def make(self, schedule: Schedule) -> Oracle:
        """The interpolation of this law under ``schedule``: velocity, score, Jacobian and the rest."""
        if self.interval is not None:
            return self.interval(schedule)
        return MixtureInterpolation(self.law, schedule)


def _two_means(name: str, mean: list[float], sigma: float, **constants: float) -> Target:
    """Half N(mean, σ²I), half N(−mean, σ²I), for which κ = (σ² − |mean|²)/σ⁴."""
    law = GaussianMixture([0.5, 0.5], [mean, [-m for m in mean]], scales=sigma, name=name)
    radius = math.hypot(*mean)
    kappa = (sigma**2 - radius**2) / sigma**4
    return Target(name, law, kappa=kappa, beta=1 / sigma**2, sigma=sigma, radius=radius, **constants)


def _three_means() -> Target:
    law = GaussianMixture([0.5, 0.3, 0.2], [[1.5, 0.0], [-0.5, 1.0], [-1.0, -1.2]], scales=0.4, name="T-B")
    centre = (5.05 / 49, -14.4 / 49)  # of the circle through the three means, an acute triangle
    return Target("T-B", law, beta=6.25, sigma=0.4, radius=math.dist((1.5, 0.0), centre))


def _two_shapes() -> Target:
    covariances = [[[0.5, 0.2], [0.2, 0.3]], [[0.2, -0.1], [-0.1, 0.4]]]
    law = GaussianMixture([0.6, 0.4], [[1.0, 0.5], [-1.5, -0.75]], covariances=covariances, name="T-C")
    return Target("T-C", law, beta=1 / (0.3 - math.sqrt(0.02)))  # the least eigenvalue is the second matrix's


def _gaussian() -> Target:
    law = GaussianMixture([1.0], [[0.5, -0.25]], scales=[[2.0, 0.5]], name="T-G")
    return Target("T-G", law, kappa=0.25, beta=4.0)


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        _two_means("T-A", [1.0, 0.0], 0.5),
        _two_means("T-A1", [1.0], 0.5),
        _three_means(),
        _two_shapes(),
        _two_means("T-D", [0.6, 0.0], 1.0, log_lipschitz=0.6),
        Target("T-E", kappa=-4.0, diameter=math.sqrt(2), interval=bimodal),
        _gaussian(),
        _two_means("T-H", [1.5], 1.0, log_lipschitz=1.5),
        Target("T-U", kappa=0.0, diameter=math.sqrt(2), interval=uniform),
    )
}
