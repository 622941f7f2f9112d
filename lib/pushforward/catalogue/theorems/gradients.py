"""A4: eigenvalues of ∇v(t, x) over a grid of points that covers p_t, against every bound that the target has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import sqrt

import torch
from torch import Tensor

from pushforward.catalogue.theorems.parts import (
    DERIVED,
    PAPER,
    RECALLED,
    Grid,
    Maker,
    Part,
    draws,
    is_gaussian,
    is_symmetric_pair,
)
from pushforward.interpolation import Oracle, Schedule, Target, bounds
from pushforward.shapes import Points

DRAWS = 100
Curve = Callable[[Tensor], Tensor]  # times [k] -> bound [k]


@dataclass(frozen=True)
class Inequality:
    """lower(t) ≤ ∇v ≤ upper(t) (None where it bounds one side only) at the times where ``valid`` says True."""

    name: str
    source: str
    lower: Curve | None = None
    upper: Curve | None = None
    valid: Callable[[Tensor], Tensor] = torch.isfinite


def inequalities(schedule: Schedule, target: Target) -> list[Inequality]:
    """Every bound of A4 whose assumption the target satisfies."""

    def side(bound: Callable, index: int, constants: Sequence[float]) -> Curve:
        return lambda t: bound(schedule, t, *constants)[index]

    def two(name: str, source: str, bound: Callable, *constants: float, before_data: bool = False) -> Inequality:
        valid = (lambda t: t < 1) if before_data else torch.isfinite
        return Inequality(name, source, side(bound, 0, constants), side(bound, 1, constants), valid)

    found, d = [], target.diameter
    if d is not None:
        found.append(two("(a) bounded support", RECALLED, bounds.bounded_support, d, before_data=True))
        halved = d / sqrt(2)
        found.append(two("(a) with D² halved", DERIVED, bounds.bounded_support, halved, before_data=True))
    if target.beta is not None:
        lower = partial(_flipped, bounds.semi_log_convex, schedule, target.beta)
        found.append(Inequality("(b) semi-log-convex", PAPER, lower=lower))
    if target.kappa is not None:
        found.append(_concave(schedule, target.kappa))
    if target.radius is not None:
        found.append(two("(d) mixture", RECALLED, bounds.mixture, target.sigma, target.radius))
    if target.log_lipschitz is not None:
        constant = target.log_lipschitz
        found.append(two("(e) log-Lipschitz", DERIVED, bounds.log_lipschitz, constant, before_data=True))
    if d is not None and target.kappa is not None:
        both = partial(bounds.bounded_semi_log_concave, kappa=target.kappa, half_diameter=d)
        found.append(Inequality("case (ii): (a), then (c)", DERIVED, upper=lambda t: both(schedule, t)))
    return found


def _concave(schedule: Schedule, kappa: float) -> Inequality:
    upper = partial(_flipped, bounds.semi_log_concave, schedule, kappa)
    return Inequality(
        "(c) semi-log-concave",
        RECALLED,
        upper=upper,
        valid=lambda t: kappa * schedule.a2(t) + schedule.b(t) ** 2 > 0,
    )


def _flipped(bound: Callable, schedule: Schedule, constant: float, t: Tensor) -> Tensor:
    return bound(schedule, t, constant)


def gradient_bounds(schedule: Schedule, target: Target, grid: Grid) -> list[Part]:
    """A4. Each bound at its own valid times; and the cases in which it is attained."""
    make, times = Maker("a4", schedule, target), grid.evenly()
    low, high = spectrum_over_time(schedule, target, grid)
    parts = []
    for bound in inequalities(schedule, target):
        keep = bound.valid(times)
        gaps = [low[keep] - bound.lower(times[keep])] if bound.lower else []
        gaps += [bound.upper(times[keep]) - high[keep]] if bound.upper else []
        parts.append(make.bound(bound.name, bound.source, gaps))
    return parts + _attained(schedule, target, grid, make)


@lru_cache(maxsize=128)
def spectrum_over_time(schedule: Schedule, target: Target, grid: Grid) -> tuple[Tensor, Tensor]:
    """The least and the largest eigenvalue of ∇v(t, x) over x, at even times [times] each."""
    oracle = target.make(schedule)
    ends = [extremes(oracle, float(t), cover(oracle, target, float(t), grid.side)) for t in grid.evenly()]
    return torch.stack([low.min() for low, _ in ends]), torch.stack([high.max() for _, high in ends])


def cover(oracle: Oracle, target: Target, t: float, side: int) -> Points:
    """Points [n, d] all over p_t: a grid, the points half-way between any two means, and draws."""
    box = oracle.box(t)
    count = side if oracle.dim == 2 else 10 * side
    axes = [torch.linspace(*ends, count, dtype=torch.float64) for ends in zip(box.low, box.high, strict=True)]
    points = [torch.cartesian_prod(*axes).reshape(-1, oracle.dim), draws(oracle, t, DRAWS)]
    if target.law is not None:
        means = float(oracle.schedule.b(t)) * target.law.means
        points.append(((means[:, None] + means) / 2).flatten(0, 1))
    return torch.cat(points)


def extremes(oracle: Oracle, t: float, x: Points) -> tuple[Tensor, Tensor]:
    """The least and the largest eigenvalue of the symmetric part of ∇v(t, x), [n] each."""
    gradient = oracle.velocity_and_jacobian(t, x)[1]
    values = torch.linalg.eigvalsh((gradient + gradient.mT) / 2)
    return values[:, 0], values[:, -1]


def _attained(schedule: Schedule, target: Target, grid: Grid, make: Maker) -> list[Part]:
    """Equalities: at x = 0 between two equal means, anywhere for a Gaussian, and where the two branches cross."""
    parts, times, oracle = [], grid.evenly(), target.make(schedule)
    if is_symmetric_pair(target) or is_gaussian(target):
        x = torch.zeros(1, oracle.dim, dtype=torch.float64)
        low, high = (torch.cat(end) for end in zip(*[extremes(oracle, float(t), x) for t in times], strict=True))
    if is_symmetric_pair(target):
        lower, upper = bounds.mixture(schedule, times, target.sigma, target.radius)
        gaps = [upper - high] + ([low - lower] if oracle.dim > 1 else [])
        parts.append(make.equality("(d) at x = 0 between two equal means", RECALLED, gaps))
    if is_gaussian(target):
        lower = bounds.semi_log_convex(schedule, times, target.beta)
        upper = bounds.semi_log_concave(schedule, times, target.kappa)
        parts.append(make.equality("(b) and (c) for a Gaussian", RECALLED, [low - lower, upper - high]))
    if target.diameter is not None and target.kappa is not None:
        t1 = bounds.crossing_time(schedule, target.kappa, target.diameter)
        early = bounds.bounded_support(schedule, t1, target.diameter)[1]
        late = bounds.semi_log_concave(schedule, t1, target.kappa)
        parts.append(make.equality("(a) and (c) meet at t_1", DERIVED, early - late))
    return parts
