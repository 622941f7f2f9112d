"""A8: how far a wrong velocity, or a wrong source, moves the law at t = 1, exactly and by the bounds; on the line."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from pushforward.catalogue.theorems.parts import (
    DERIVED,
    PAPER,
    RECALLED,
    Grid,
    Maker,
    Part,
    marginal,
    second_moment,
)
from pushforward.distributions import GaussianMixture
from pushforward.interpolation import Oracle, Schedule, Target, bounds, lipschitz, stability
from pushforward.interpolation.flow_map import quantile_map, transport
from pushforward.shapes import Points

RTOL = 1e-8
NODES = torch.linspace(-stability.REACH, stability.REACH, stability.NODES, dtype=torch.float64)[:, None]
SPACING = 0.1  # of the grid over x, in units of the narrowest p_t
WAVES: dict[str, tuple[Callable[[Points], Points], float]] = {  # u, and its Lipschitz constant
    "u = 1": (torch.ones_like, 0.0),
    "u = sin 2x": (lambda x: torch.sin(2 * x), 2.0),
}
GAUSSIAN = Target("N(0, 4)", GaussianMixture([1.0], [[0.0]], scales=2.0), kappa=0.25, beta=0.25)
FINE = 20_001  # times at which the Gaussian's closed forms are integrated


@dataclass(frozen=True)
class Deviation:
    """W2 between the laws at t = 1 of v and of v + η u, and its two bounds."""

    eta: float
    w2: float
    refined: float
    crude: float


@dataclass(frozen=True)
class WrongSource:
    """W2 at t = 1 of a flow started at a_0 Z, and its two bounds."""

    w2: float
    sharper: float
    plain: float


@lru_cache(maxsize=64)
def deviations(schedule: Schedule, target: Target, grid: Grid, wave: str = "u = 1") -> list[Deviation]:
    """One for each η of ``grid.etas``. The flows start from the same p_0, each the image of N(0, 1) by its quantiles.

    C in the crude bound is the largest value over time of the mixture bound A4(d) plus η Lip(u), so no estimate.
    """
    oracle, (u, slope) = target.make(schedule), WAVES[wave]
    times, x, found = grid.evenly(grid.errors), line(oracle, grid.evenly(11)), []
    top = steepest(schedule, target)
    start = quantile_map(marginal(target.law, schedule, 0.0), NODES)
    exact = transport(oracle, start, 0.0, 1.0, RTOL)
    for eta in grid.etas:
        perturbed = stability.Perturbed(oracle, eta, u)
        errors = stability.errors_on_line(oracle, perturbed, times, x)
        distance = between_ends(exact, transport(perturbed, start, 0.0, 1.0, RTOL))
        refined = stability.refined(times, errors.squared_error, errors.one_sided)
        found.append(Deviation(eta, distance, refined, stability.crude(times, errors.squared_error, top + eta * slope)))
    return found


def stability_bounds(schedule: Schedule, target: Target, grid: Grid) -> list[Part]:
    """A8. W2 ≤ refined ≤ crude for every perturbation, and W2 after a wrong source against its bounds where b_0 > 0.

    With b_0 = 0 the source is exact and the second statement is 0 ≤ 0.
    """
    make, parts = Maker("a8", schedule, target), []
    for wave in WAVES:
        found = deviations(schedule, target, grid, wave)
        crude = [each.crude - each.w2 for each in found]
        refined = [each.refined - each.w2 for each in found]
        parts.append(make.bound(f"W2 ≤ crude bound, {wave}", PAPER, crude))
        parts.append(make.bound(f"W2 ≤ refined bound, {wave}", DERIVED, refined))
        order = [each.crude - each.refined for each in found]
        parts.append(make.bound(f"refined ≤ crude, {wave}", DERIVED, order))
    if schedule.b0 > 0:
        wrong = wrong_source(schedule, target)
        parts.append(make.bound("source: W2 ≤ Lip(X_1) W2(sources)", DERIVED, wrong.sharper - wrong.w2))
        parts.append(make.bound("source: W2 ≤ Lip(X_1) b_0 (E|X_1|²)^½", RECALLED, wrong.plain - wrong.w2))
    return parts


def attained(schedule: Schedule, grid: Grid) -> list[Part]:
    """A8's equality: Gaussian data and a constant error. l(t) is the Gaussian's slope, which A4 finds attained."""
    eta, oracle, make = grid.etas[0], GAUSSIAN.make(schedule), Maker("a8", schedule, GAUSSIAN)
    times = grid.evenly(FINE)
    rate = bounds.semi_log_concave(schedule, times, GAUSSIAN.kappa)
    refined = stability.refined(times, torch.full_like(times, eta**2), rate)
    start = quantile_map(marginal(GAUSSIAN.law, schedule, 0.0), NODES)
    perturbed = stability.Perturbed(oracle, eta, torch.ones_like)
    ends = [transport(field, start, 0.0, 1.0, 1e-12) for field in (oracle, perturbed)]
    gap = refined - between_ends(*ends)
    return [make.equality("W2 = refined bound for a Gaussian and u = 1", DERIVED, gap)]


def wrong_source(schedule: Schedule, target: Target) -> WrongSource:
    """Start at a_0 Z instead of a_0 Z + b_0 X_1. Lip(X_1) is that of the mixture."""
    constant = lipschitz.mixture(schedule, target.sigma, target.radius)
    law, source = target.law, schedule.a0 * NODES
    out = transport(target.make(schedule), source, 0.0, 1.0, RTOL)
    between = between_ends(source, quantile_map(marginal(law, schedule, 0.0), NODES))
    plain = stability.source(schedule, constant, second_moment(law))
    return WrongSource(between_ends(out, quantile_map(law, NODES)), constant * between, plain)


def line(oracle: Oracle, times: Tensor) -> Points:
    """An even grid [n, 1] that covers p_t at all these times, with 0 on it, where a symmetric pair is steepest."""
    boxes = [oracle.box(float(t)) for t in times]
    half = max(float(torch.cat([box.low, box.high]).abs().max()) for box in boxes)
    count = math.ceil(half / (SPACING * min(box.width for box in boxes)))
    return torch.linspace(-half, half, 2 * count + 1, dtype=torch.float64)[:, None]


def steepest(schedule: Schedule, target: Target) -> float:
    """The largest value over time of the mixture bound A4(d)."""
    return bounds.peak(lambda t: bounds.mixture(schedule, t, target.sigma, target.radius)[1]).value


def between_ends(first: Points, second: Points) -> float:
    """W2 between the images of ``NODES`` under two increasing maps."""
    return stability.w2_between_monotone_maps(lambda _: first, lambda _: second)
