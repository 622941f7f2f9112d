"""Schedules a(t), b(t) of a Gaussian interpolation X_t = a Z + b X_1; t = 0 is noise, t = 1 is data.

Everything is told by the four functions that stay finite on [0, 1]: a², aa' = a·a', b, b'. The rate a' itself may blow
up at t = 1, so no formula of this room divides by a where a² will do.
Source: Gaussian interpolation flows (arXiv 2311.11475), section 2; the choices of VP and VE are this library's.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.shapes import Time

Curve = Callable[[Tensor], Tensor]

CUT = 0.999  # where a' is not square integrable, training stops here: the loss floor's integral diverges at 1
GRID = 201  # times at which a new schedule is examined
STEP = 1e-5  # of its central differences: their error is about 1e-10 times the third derivative
TOLERANCE = 1e-6
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # results are filed under it


class Coefficients(NamedTuple):
    """a², aa', b, b' at some times."""

    a2: Tensor
    aa_prime: Tensor
    b: Tensor
    b_prime: Tensor


@dataclass(frozen=True)
class Schedule:
    """One pair a, b on [0, 1], by a², aa', b, b'.

    Each of the four, and ``a`` and ``w``, takes a number or a tensor of times of any shape and returns a tensor of that
    shape, float64 for numbers and whole-numbered tensors, else in the dtype of t.

    Args:
        name: the key under which ``by_name`` finds it.
        a2: a², positive on [0, 1), 0 at t = 1.
        aa_prime: a·a' = (a²)'/2 ≤ 0.
        b: 1 at t = 1, positive on (0, 1], not negative at 0.
        b_prime: b' ≥ 0.
        t_max: training draws t from [0, t_max]; below 1 where a' is not square integrable.
    """

    name: str
    a2: Curve = field(repr=False)
    aa_prime: Curve = field(repr=False)
    b: Curve = field(repr=False)
    b_prime: Curve = field(repr=False)
    t_max: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.t_max <= 1:
            raise InputError(f"t_max is {self.t_max}, expected a time in (0, 1], such as {CUT}")
        for curve in ("a2", "aa_prime", "b", "b_prime"):
            object.__setattr__(self, curve, partial(_evaluate, getattr(self, curve)))

    def a(self, t: Time) -> Tensor:
        """a(t) ≥ 0."""
        return self.a2(t).sqrt()

    def w(self, t: Time) -> Tensor:
        """w = a²b' − aa'b = a(ab' − a'b) ≥ 0, the weight of the data in the velocity."""
        return self.a2(t) * self.b_prime(t) - self.aa_prime(t) * self.b(t)

    @property
    def a0(self) -> float:
        """a(0) > 0, the scale of the noise."""
        return float(self.a(0.0))

    @property
    def b0(self) -> float:
        """b(0) ≥ 0; 0 where the source is the noise alone."""
        return float(self.b(0.0))

    def at(self, t: Time) -> Coefficients:
        """a², aa', b, b' in float64, in the shape of t.

        Raises:
            InputError: t is a number outside [0, 1]. Tensors are let through: an adaptive solver may overshoot.
        """
        if not isinstance(t, Tensor):
            if not 0 <= t <= 1:
                raise InputError(f"t is {t}, expected a time in [0, 1]: 0 is noise, 1 is data")
            t = torch.tensor(t, dtype=torch.float64)
        t = t.double()
        return Coefficients(self.a2(t), self.aa_prime(t), self.b(t), self.b_prime(t))


def _evaluate(curve: Curve, t: Time) -> Tensor:
    """The curve at numbers as well as tensors."""
    t = t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64)
    return curve(t if t.is_floating_point() else t.double())


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise InputError(f"{name} is {value}, expected a positive number")


def _named(name: str, value: float, default: float) -> str:
    """``ve-2-5`` for 2.5: a name without a point, which ids of results do not hold."""
    return name if value == default else f"{name}-{value:g}".replace(".", "-")


def linear() -> Schedule:
    """a = 1 − t, b = t."""
    return Schedule("linear", lambda t: (1 - t) ** 2, lambda t: t - 1, lambda t: t, torch.ones_like)


def foellmer() -> Schedule:
    """a = √(1 − t²), b = t."""
    return Schedule("foellmer", lambda t: (1 - t) * (1 + t), lambda t: -t, lambda t: t, torch.ones_like, CUT)


def trigonometric() -> Schedule:
    """a = cos(πt/2), b = sin(πt/2)."""
    c = math.pi / 2

    def a(t: Tensor) -> Tensor:
        return torch.sin(c * (1 - t))  # the cosine of c·t, and 0 at t = 1, where cos(π/2) is 6e-17

    return Schedule(
        "trigonometric",
        lambda t: a(t) ** 2,
        lambda t: -c * a(t) * torch.sin(c * t),
        lambda t: torch.sin(c * t),
        lambda t: c * a(t),
    )


def vp(T: float = 3.0) -> Schedule:  # noqa: N803 - the letter of the literature
    """Variance preserving, an Ornstein-Uhlenbeck process run for time T > 0: b = exp(−T(1 − t)), a² = 1 − b²."""
    _check_positive("T", T)

    def b(t: Tensor) -> Tensor:
        return torch.exp(-T * (1 - t))

    return Schedule(
        _named("vp", T, 3.0),
        lambda t: -torch.expm1(-2 * T * (1 - t)),
        lambda t: -T * b(t) ** 2,
        b,
        lambda t: T * b(t),
        CUT,
    )


def ve(sigma: float = 5.0) -> Schedule:
    """Variance exploding, the heat equation: a² = σ²(1 − t), b = 1, σ > 0."""
    _check_positive("sigma", sigma)
    return Schedule(
        _named("ve", sigma, 5.0),
        lambda t: sigma**2 * (1 - t),
        lambda t: torch.full_like(t, -0.5 * sigma**2),
        torch.ones_like,
        torch.zeros_like,
        CUT,
    )


def ve_linear(sigma: float = 5.0) -> Schedule:
    """Variance exploding at a constant rate: a = σ(1 − t), b = 1, σ > 0."""
    _check_positive("sigma", sigma)
    return Schedule(
        _named("ve-linear", sigma, 5.0),
        lambda t: (sigma * (1 - t)) ** 2,
        lambda t: sigma**2 * (t - 1),
        torch.ones_like,
        torch.zeros_like,
    )


SCHEDULES: dict[str, Schedule] = {
    schedule.name: schedule for schedule in (linear(), foellmer(), trigonometric(), vp(), ve(), ve_linear())
}

VARIANTS: dict[str, Schedule] = {}  # known by name too, but no schedules of the theorems: see ``noise_rates``


def by_name(name: str) -> Schedule:
    """The schedule of that name, of ``SCHEDULES`` or ``VARIANTS``.

    Raises:
        InputError: an unknown name; the message lists the known ones.
    """
    known = VARIANTS | SCHEDULES
    if name not in known:
        raise InputError(f"no schedule is called {name!r}, expected one of: {', '.join([*SCHEDULES, *VARIANTS])}")
    return known[name]


def register(schedule: Schedule, among: dict[str, Schedule] | None = None) -> Schedule:
    """Make ``by_name`` know a new schedule, once its four functions have been examined on a grid; returns it.

    It is put ``among`` the ``SCHEDULES``, or the ``VARIANTS``.

    Raises:
        InputError: the name is taken or not lower case with hyphens, a function returns another shape or a number that
            is not finite, an end point or a sign is wrong, or aa' and b' are not the derivatives of a²/2 and b.
    """
    if schedule.name in SCHEDULES or schedule.name in VARIANTS:
        raise InputError(f"a schedule called {schedule.name!r} exists, expected a new name: rename yours")
    if not NAME.fullmatch(schedule.name):
        raise InputError(f"the schedule's name is {schedule.name!r}, expected lower case with hyphens: try 'my-own'")
    _check(schedule)
    (SCHEDULES if among is None else among)[schedule.name] = schedule
    return schedule


def _check(schedule: Schedule) -> None:
    t = torch.linspace(0, 1, GRID, dtype=torch.float64)
    values = schedule.at(t)
    for name, value in zip(values._fields, values, strict=True):
        if value.shape != t.shape or not torch.isfinite(value).all():
            raise InputError(
                f"{name} of {schedule.name!r} has shape {tuple(value.shape)} at {GRID} times, or is not finite there: "
                "expected one finite number a time, both ends of [0, 1] included"
            )
    a2, aa_prime, b, b_prime = values
    _check_end(schedule, "a2", float(a2[-1]), 0.0)
    _check_end(schedule, "b", float(b[-1]), 1.0)
    _check_sign(schedule, "a2", "positive before t = 1", t, a2[:-1] <= 0)
    _check_sign(schedule, "b", "positive after t = 0, and not negative there", t, (b < 0) | ((b == 0) & (t > 0)))
    _check_sign(schedule, "aa_prime", "not positive", t, aa_prime > TOLERANCE)
    _check_sign(schedule, "b_prime", "not negative", t, b_prime < -TOLERANCE)
    inner = t[1:-1]
    _check_rate(schedule, "aa_prime", "half the derivative of a2", inner, aa_prime[1:-1], _rate(schedule.a2, inner) / 2)
    _check_rate(schedule, "b_prime", "the derivative of b", inner, b_prime[1:-1], _rate(schedule.b, inner))


def _check_end(schedule: Schedule, name: str, found: float, wanted: float) -> None:
    if abs(found - wanted) > 1e-12:
        raise InputError(f"{name} of {schedule.name!r} is {found:g} at t = 1, expected {wanted:g}: rescale it")


def _check_sign(schedule: Schedule, name: str, wanted: str, t: Tensor, bad: Tensor) -> None:
    if bad.any():
        where = int(bad.nonzero()[0])
        value = float(getattr(schedule, name)(t[where]))
        raise InputError(f"{name} of {schedule.name!r} is {value:g} at t = {float(t[where]):g}, expected {wanted}")


def _check_rate(schedule: Schedule, name: str, wanted: str, t: Tensor, found: Tensor, rate: Tensor) -> None:
    gap = (found - rate).abs()
    if (gap > TOLERANCE * (1 + rate.abs().max())).any():
        worst = int(gap.argmax())
        raise InputError(
            f"{name} of {schedule.name!r} is {float(found[worst]):g} at t = {float(t[worst]):g}, "
            f"expected {wanted}, about {float(rate[worst]):g}: differentiate again"
        )


def _rate(curve: Curve, t: Tensor) -> Tensor:
    return (curve(t + STEP) - curve(t - STEP)) / (2 * STEP)
