"""A5: singular values of the flow map's Jacobian against its Lipschitz constants. A6: one map for all schedules."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from scipy.integrate import quad
from torch import Tensor

from pushforward.catalogue.theorems.gradients import Inequality, inequalities
from pushforward.catalogue.theorems.parts import (
    DERIVED,
    RECALLED,
    Grid,
    Maker,
    Part,
    draws,
    is_gaussian,
    is_symmetric_pair,
)
from pushforward.interpolation import Schedule, Target, bounds, by_name, lipschitz
from pushforward.interpolation.flow_map import transport, transport_with_jacobian
from pushforward.shapes import Points

RTOL = 1e-11
TIGHT = 1e-12  # a solver's tolerance is that of the mean over the grid: the point at which a bound is attained has more
LOOSE = 1e-9  # nothing is attained on an interval, and rounding forbids less near t = 1
SAME_MAP = 1e-9
REACH = 3.0
QUAD = {"epsabs": 1e-11, "epsrel": 1e-11, "limit": 400}


@dataclass(frozen=True)
class Constant:
    """A Lipschitz constant of the flow map or of its inverse, and the A4 bound of which it is exp of the integral."""

    name: str
    source: str
    value: float
    rate: Callable[[Tensor], Tensor]  # times [k] -> upper bound on ∇v, or minus the lower one, [k]
    kink: float | None = None  # a time at which the rate is not smooth


def forward_constants(schedule: Schedule, target: Target) -> list[Constant]:
    """Every bound on Lip(X_1) that the target has under this schedule.

    (a) alone diverges; (c) with κ a_0² + b_0² ≤ 0 says nothing before t_0, so that κ needs the support's help.
    """
    by_bound, found = {each.name: each for each in inequalities(schedule, target)}, []
    kappa, d = target.kappa, target.diameter
    if kappa is not None and kappa * schedule.a0**2 + schedule.b0**2 > 0:
        value = lipschitz.semi_log_concave(schedule, kappa)
        found.append(_forward("(c) semi-log-concave", value, by_bound))
    if kappa is not None and d is not None:
        value = lipschitz.bounded_semi_log_concave(schedule, kappa, d)
        kink = bounds.crossing_time(schedule, kappa, d)
        found.append(_forward("case (ii): (a), then (c)", value, by_bound, kink))
    if target.radius is not None:
        value = lipschitz.mixture(schedule, target.sigma, target.radius)
        found.append(_forward("(d) mixture", value, by_bound))
    if target.log_lipschitz is not None:
        value = lipschitz.log_lipschitz(schedule, target.log_lipschitz)
        found.append(_forward("(e) log-Lipschitz", value, by_bound))
    return found


def reverse_constants(schedule: Schedule, target: Target) -> list[Constant]:
    """Every bound on Lip(X_1⁻¹) that the target has. A bounded support alone gives none."""
    by_bound, found = {each.name: each for each in inequalities(schedule, target)}, []
    if target.beta is not None:
        value = lipschitz.reverse_semi_log_convex(schedule, target.beta)
        found.append(_reverse("(b) semi-log-convex", value, by_bound))
    if target.radius is not None:
        found.append(_reverse("(d) mixture", lipschitz.reverse_mixture(schedule, target.sigma), by_bound))
    if target.log_lipschitz is not None:
        value = lipschitz.reverse_log_lipschitz(schedule, target.log_lipschitz)
        found.append(_reverse("(e) log-Lipschitz", value, by_bound))
    return found


def _forward(name: str, value: float, by_bound: dict[str, Inequality], kink: float | None = None) -> Constant:
    bound = by_bound[name]
    return Constant(f"Lip(X_1): {name}", bound.source, value, bound.upper, kink)


def _reverse(name: str, value: float, by_bound: dict[str, Inequality]) -> Constant:
    bound = by_bound[name]
    source = DERIVED if bound.source == DERIVED else RECALLED  # also where the bound itself is seen in the paper
    return Constant(f"Lip of the inverse: {name}", source, value, lambda t: -bound.lower(t))


def lipschitz_constants(schedule: Schedule, target: Target, grid: Grid) -> list[Part]:
    """A5. Singular values of DX_1 on a grid over the source, by the variational equation, against every constant; each
    constant against the integral of its rate; and the cases in which it is attained.
    """
    make = Maker("a5", schedule, target)
    values = singular_values(schedule, target, grid)
    forward, reverse = forward_constants(schedule, target), reverse_constants(schedule, target)
    parts = [make.bound(each.name, each.source, each.value - values.max()) for each in forward]
    parts += [make.bound(each.name, each.source, each.value - 1 / values.min()) for each in reverse]
    integrals = [_integral(each) - math.log(each.value) for each in forward + reverse]
    parts.append(make.equality("log of a constant = ∫ of its rate", DERIVED, integrals))
    attained = [each for each in forward + reverse if _is_attained(each, target)]
    for each in attained:  # singular values at 0, the first point
        found = values[0].max() if each in forward else 1 / values[0].min()
        parts.append(make.equality(f"{each.name}, attained at x = 0", each.source, each.value - found))
    return parts


@lru_cache(maxsize=128)
def singular_values(schedule: Schedule, target: Target, grid: Grid) -> Tensor:
    """Of DX_1 at 0 and on a grid over three standard deviations of the noise, [1 + starts^d, d]."""
    oracle = target.make(schedule)
    axis = schedule.a0 * torch.linspace(-REACH, REACH, grid.starts, dtype=torch.float64)
    around = torch.cartesian_prod(*[axis] * oracle.dim).reshape(-1, oracle.dim)
    starts = torch.cat([torch.zeros(1, oracle.dim, dtype=torch.float64), around])
    rtol = TIGHT if target.law is not None else LOOSE
    return torch.linalg.svdvals(transport_with_jacobian(oracle, starts, 0.0, 1.0, rtol)[1])


def _is_attained(constant: Constant, target: Target) -> bool:
    """At x = 0: by (d) between two equal means (the inverse's across them, so in the plane), by all for a Gaussian."""
    if is_gaussian(target):
        return True
    across = target.law is not None and target.law.dim > 1
    pair = is_symmetric_pair(target) and "mixture" in constant.name
    return pair and (across or constant.name.startswith("Lip(X_1)"))


def _integral(constant: Constant) -> float:
    stops = [0.0, 1.0] if not constant.kink else [0.0, constant.kink, 1.0]
    return sum(
        quad(lambda t: float(constant.rate(torch.tensor([t], dtype=torch.float64))), *ends, **QUAD)[0]
        for ends in zip(stops, stops[1:], strict=False)
    )


def one_map(schedule: Schedule, target: Target, grid: Grid) -> list[Part]:
    """A6. X_1 of this schedule against that of another with the same b/a, Y = X/a being a function of s = b/a alone.

    The other is the linear schedule (for the linear one, the trigonometric), entered at the time at which its b/a is
    b_0/a_0. With b_0 = 0 that is time 0, and the two maps are the same; VP and VE begin where the other has been
    under way for some time.
    """
    oracle, make = target.make(schedule), Maker("a6", schedule, target)
    x = draws(oracle, 0.0, grid.points)
    error = transport(oracle, x, 0.0, 1.0, RTOL) - by_another_schedule(schedule, target, x)
    return [make.identity("X_1 depends on the schedule through b_0/a_0 alone", DERIVED, error, SAME_MAP)]


def by_another_schedule(schedule: Schedule, target: Target, x: Points) -> Points:
    """X_1(x) of ``schedule``, computed with the linear one (or the trigonometric one)."""
    ratio = schedule.b0 / schedule.a0
    other = by_name("trigonometric" if schedule.name == "linear" else "linear")
    start = 2 / math.pi * math.atan(ratio) if schedule.name == "linear" else ratio / (1 + ratio)
    return transport(target.make(other), float(other.a(start)) / schedule.a0 * x, start, 1.0, RTOL)
