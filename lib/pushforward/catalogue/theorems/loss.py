"""A10: what flow matching can reach, and that all beyond it is the error of the velocity."""

import math
from collections.abc import Callable

import torch

from pushforward.catalogue.theorems.parts import DERIVED, Grid, Maker, Part, covariances, second_moment
from pushforward.interpolation import Oracle, Schedule, Target, loss_floor
from pushforward.seeds import stream
from pushforward.shapes import Points

TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
LAST = 1 - 1e-8  # where the rate of growth of the floor is read off
FLOOR, EXCESS, TAIL = 1e-9, 1e-9, 1e-4
ETA = 0.3
REACH, SPACING = 8.5, 0.1  # of the rule over (Z, X_1): both are normal within a component
STEPS = 10  # grid points per width of p_t

Field = Callable[[float, Points], Points]


def loss_identities(schedule: Schedule, target: Target, grid: Grid) -> list[Part]:
    """A10. F by Pythagoras, its growth c/(1 − t) with c = −d aa'(1)/2, and, on the line, the loss of v and of v + η u.

    Errors relative to 1 + F. c = 0 for the linear, trigonometric and VE-linear schedules: their floor is bounded. It
    is not for Föllmer, VP and VE: there the loss itself is not integrable up to t = 1.
    """
    oracle, make = target.make(schedule), Maker("a10", schedule, target)
    floors = {t: loss_floor(oracle, t) for t in TIMES}
    pythagoras = [(by_energy(oracle, target, t) - floor) / (1 + floor) for t, floor in floors.items()]
    growth = -oracle.dim * float(schedule.aa_prime(1.0)) / 2
    tail = ((1 - LAST) * loss_floor(oracle, LAST) - growth) / (1 + growth)
    parts = [
        make.identity("F(t) = E|a'Z + b'X_1|² − E|v|²", DERIVED, pythagoras, FLOOR),
        make.identity("(1 − t) F(t) → −d aa'(1)/2", DERIVED, tail, TAIL),
    ]
    if oracle.dim == 1:
        exact = [(loss(oracle, target, t, oracle) - floor) / (1 + floor) for t, floor in floors.items()]
        parts.append(make.identity("loss(v) = F", DERIVED, exact, FLOOR))
        excess = [_excess_error(oracle, target, t, floor) for t, floor in floors.items()]
        parts.append(make.identity("loss(ṽ) − F = E|ṽ − v|²", DERIVED, excess, EXCESS))
    return parts


def by_energy(oracle: Oracle, target: Target, t: float) -> float:
    """E|a'Z + b'X_1|² − E|v|², the latter by the trapezoid rule over p_t."""
    schedule = oracle.schedule
    rate2 = float(schedule.aa_prime(t)) ** 2 / float(schedule.a2(t))
    data = float(schedule.b_prime(t)) ** 2 * second_moment(target.law)
    return rate2 * oracle.dim + data - energy(oracle, t)


def energy(oracle: Oracle, t: float) -> float:
    """E|v|² under p_t, by the trapezoid rule, in dimension 1 or 2."""
    box = oracle.box(t)
    x, volume = box.grid(box.width / STEPS)
    return volume * float((oracle.log_prob(t, x).exp() * oracle(t, x).square().sum(1)).sum())


def loss(oracle: Oracle, target: Target, t: float, field: Field) -> float:
    """E|ṽ(t, X_t) − a'Z − b'X_1|² on the line, by the trapezoid rule over Z and X_1: no formula for v enters."""
    a2, aa_prime, b, b_prime = (float(value) for value in oracle.schedule.at(t))
    axis = torch.arange(-REACH, REACH + SPACING / 2, SPACING, dtype=torch.float64)
    z, noise = torch.cartesian_prod(axis, axis).T
    weight = torch.exp(-0.5 * (z**2 + noise**2)) * SPACING**2 / (2 * math.pi)
    total = 0.0
    for share, mean, scale in zip(target.law.weights, target.law.means[:, 0], covariances(target.law), strict=True):
        data = mean + scale[0, 0].sqrt() * noise
        wanted = aa_prime / math.sqrt(a2) * z + b_prime * data
        found = field(t, (math.sqrt(a2) * z + b * data)[:, None])[:, 0]
        total += float(share) * float((weight * (found - wanted) ** 2).sum())
    return total


def _excess_error(oracle: Oracle, target: Target, t: float, floor: float) -> float:
    """With u = sin 2x, whose mean square under p_t is taken by quadrature over x."""
    box = oracle.box(t)
    x, volume = box.grid(box.width / STEPS)
    wanted = ETA**2 * volume * float((oracle.log_prob(t, x).exp() * torch.sin(2 * x[:, 0]) ** 2).sum())
    perturbed = loss(oracle, target, t, lambda s, y: oracle(s, y) + ETA * torch.sin(2 * y))
    return (perturbed - floor - wanted) / (1 + floor)


def sampled_loss(oracle: Oracle, target: Target, t: float, n: int) -> tuple[float, float]:
    """The flow-matching loss of the exact velocity on n draws, and its standard error."""
    a2, aa_prime, b, b_prime = (float(value) for value in oracle.schedule.at(t))
    generator = stream(0, f"theorems: loss at {t:.6f}")
    data = target.law.sample(n, generator, torch.float64)
    z = torch.randn(n, oracle.dim, generator=generator, dtype=torch.float64)
    x, wanted = math.sqrt(a2) * z + b * data, aa_prime / math.sqrt(a2) * z + b_prime * data
    squares = (oracle(t, x) - wanted).square().sum(1)
    return float(squares.mean()), float(squares.std()) / math.sqrt(n)
