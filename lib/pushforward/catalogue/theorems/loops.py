"""A7: there and back, and round through another data set. A9: the density that a flow assigns."""

import torch

from pushforward.catalogue.theorems.parts import KNOWN, PAPER, Grid, Maker, Part, draws, largest
from pushforward.interpolation import TARGETS, Oracle, Schedule, Target
from pushforward.interpolation.flow_map import transport, transport_with_divergence
from pushforward.numerics import FixedGrid
from pushforward.shapes import Points

FACTOR = 20.0  # a loop's error stays below this many times the solver's tolerance
DENSITY = 1e-8  # of a log-density at DENSITY_RTOL
DENSITY_RTOL = 1e-10
PARTNERS = {1: ("T-H", "T-A1"), 2: ("T-B", "T-A")}  # the second data set of a cycle, and the one for the partner itself


def loops(schedule: Schedule, target: Target, grid: Grid) -> list[Part]:
    """A7. Auto-encoding both ways, and the cycle data → noise → other data → noise → data.

    Two data sets share their source only where b_0 = 0. For VP and VE the laws a_0 Z + b_0 X_1 of the two differ, and
    the cycle closes as a map of R^d, without the middle being distributed like the other data.
    Errors are root mean squares over points, relative to the points' own.
    """
    oracle, make = target.make(schedule), Maker("a7", schedule, target)
    other = partner(target).make(schedule)
    x, z = draws(oracle, 1.0, grid.points), draws(oracle, 0.0, grid.points)
    parts = []
    for rtol in grid.rtols:
        tolerance = FACTOR * rtol
        found = {
            "X_1 ∘ X_1⁻¹ = id on data": loop_error([(oracle, 1.0, 0.0), (oracle, 0.0, 1.0)], x, rtol),
            "X_1⁻¹ ∘ X_1 = id on noise": loop_error([(oracle, 0.0, 1.0), (oracle, 1.0, 0.0)], z, rtol),
            "T' ∘ T = id": loop_error(cycle(oracle, other), x, rtol),
        }
        parts += [make.identity(f"{name}, rtol {rtol:g}", PAPER, error, tolerance) for name, error in found.items()]
    return parts


def partner(target: Target) -> Target:
    """The data set of the same dimension that ``target`` is translated into."""
    first, second = PARTNERS[target.law.dim]
    return TARGETS[second if target.name == first else first]


def cycle(oracle: Oracle, other: Oracle) -> list[tuple[Oracle, float, float]]:
    """Data to noise, noise to the other data, and back the same way."""
    return [(oracle, 1.0, 0.0), (other, 0.0, 1.0), (other, 1.0, 0.0), (oracle, 0.0, 1.0)]


def loop_error(legs: list[tuple[Oracle, float, float]], x: Points, rtol: float) -> float:
    """rms |loop(x) − x| over rms |x|, each leg solved by dopri5."""
    end = x
    for oracle, t0, t1 in legs:
        end = transport(oracle, end, t0, t1, rtol, method="dopri5")
    return rms(end - x) / max(1.0, rms(x))


def fixed_steps(oracle: Oracle, x: Points, t0: float, t1: float, steps: int, method: str) -> Points:
    """Points carried from t0 to t1 by ``steps`` equal steps of euler, midpoint or rk4."""
    if method != "euler":
        return FixedGrid(steps, method)(oracle, x, t0, t1)
    h = (t1 - t0) / steps
    for i in range(steps):
        x = x + h * oracle(t0 + i * h, x)
    return x


def step_errors(oracle: Oracle, x: Points, exact: Points, steps: int, method: str) -> tuple[float, float]:
    """Of noise x [n, d]: the rms error of the way to ``exact``, and of the round trip on the same grid of times."""
    end = fixed_steps(oracle, x, 0.0, 1.0, steps, method)
    back = fixed_steps(oracle, end, 1.0, 0.0, steps, method)
    return rms(end - exact), rms(back - x)


def likelihood(schedule: Schedule, target: Target, grid: Grid) -> list[Part]:
    """A9. log p_0 at the end of a backward solve minus the integral of the divergence, against the exact value."""
    make = Maker("a9", schedule, target)
    error = density_error(target.make(schedule), grid.points, DENSITY_RTOL)
    return [make.identity("log p_1(x) = log p_0(X_0) − ∫ tr ∇v dt, rtol 1e-10", KNOWN, error, DENSITY)]


def density_error(oracle: Oracle, n: int, rtol: float, method: str = "dopri8") -> float:
    """The largest error of the flow's log-density over n data points, nats."""
    x = draws(oracle, 1.0, n)
    start, integral = transport_with_divergence(oracle, x, 1.0, 0.0, rtol, method=method)
    return largest(oracle.log_prob(0.0, start) + integral - oracle.log_prob(1.0, x))


def rms(x: torch.Tensor) -> float:
    """Root mean square length of points [n, d]."""
    return float(x.square().sum(1).mean().sqrt())
