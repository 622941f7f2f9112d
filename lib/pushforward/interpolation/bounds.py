"""Bounds on the velocity gradient of an interpolation flow at time t, one function for each assumption on the data.

All of them bound the eigenvalues of the symmetric matrix ∇v(t, x), uniformly in x, for X_t = a Z + b X_1 with Z
standard normal; its Lipschitz constant in x is max(|lower|, |upper|). They take times t in [0, 1] (a number or a tensor
of any shape, 0 is noise) and return float64 tensors of that shape. ``w`` is a²b' − aa'b.

Source: Gaussian interpolation flows (arXiv 2311.11475); where a docstring says *derived*, the constant is ours.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.optimize import brentq, minimize_scalar
from torch import Tensor

from pushforward.errors import InputError
from pushforward.interpolation.schedules import Schedule
from pushforward.shapes import Time

PEAK_GRID = 1001  # times that bracket the peak of a bound before it is refined


@dataclass(frozen=True)
class Peak:
    """The largest value of a bound over time, and the time at which it is taken."""

    value: float
    time: float


def bounded_support(schedule: Schedule, t: Time, half_diameter: float) -> tuple[Tensor, Tensor]:
    """a'/a ≤ ∇v ≤ a'/a + D² b w/a⁴ for data in a set of diameter √2 D, at times before 1.

    Both ends diverge as t → 1. As Cov(X_1 | X_t) ≤ diam²/4 = D²/2, the upper one also holds with D² halved (derived):
    pass D/√2 for that. Source: case of bounded support.

    Raises:
        InputError: D negative, or a time outside [0, 1).
    """
    scale = check_constant("half_diameter", half_diameter, 0.0)
    t = _times_before_data(t)
    a2 = schedule.a2(t)
    lower = schedule.aa_prime(t) / a2
    return lower, lower + scale**2 * schedule.b(t) * schedule.w(t) / a2**2


def semi_log_convex(schedule: Schedule, t: Time, beta: float) -> Tensor:
    """∇v ≥ (β aa' + b b')/(β a² + b²) for data with −∇² log p ≤ β I, β > 0; equality for N(m, I/β).

    Raises:
        InputError: β not positive, or a time outside [0, 1].
    """
    return _gaussian_rate(schedule, _times(t), check_constant("beta", beta, 0.0, open_end=True))


def semi_log_concave(schedule: Schedule, t: Time, kappa: float) -> Tensor:
    """∇v ≤ (κ aa' + b b')/(κ a² + b²) for data with −∇² log p ≥ κ I; equality for N(m, I/κ).

    Where κ ≤ 0 it holds only after ``first_valid_time(schedule, kappa)``, and diverges there.

    Raises:
        InputError: κ not finite, a time outside [0, 1], or one at which κ a² + b² ≤ 0.
    """
    kappa, t = check_constant("kappa", kappa), _times(t)
    spread = kappa * schedule.a2(t) + schedule.b(t) ** 2
    if (spread <= 0).any():
        worst = float(t[spread <= 0].flatten().max())
        raise InputError(
            f"t is {worst:.12g}, where κ a² + b² ≤ 0 for κ={kappa:g} and the bound says nothing: "
            f"expected t > first_valid_time = {first_valid_time(schedule, kappa):.12g}"
        )
    return _gaussian_rate(schedule, t, kappa)


def bounded_semi_log_concave(schedule: Schedule, t: Time, kappa: float, half_diameter: float) -> Tensor:
    """Upper bound on ∇v at every time, for data of diameter √2 D with −∇² log p ≥ κ I, κ of any sign.

    a'/a + (b w/a⁴) min(D², 1/(κ + b²/a²)): ``bounded_support`` before ``crossing_time``, ``semi_log_concave`` after
    it, and the latter alone where κ D² ≥ 1 (derived).

    Raises:
        InputError: D not positive, κ not finite, or a time outside [0, 1].
    """
    kappa, scale = check_constant("kappa", kappa), check_constant("half_diameter", half_diameter, 0.0, open_end=True)
    t = _times(t)
    early = scale**2 * (kappa * schedule.a2(t) + schedule.b(t) ** 2) < schedule.a2(t)
    upper = torch.empty_like(t)
    upper[early] = bounded_support(schedule, t[early], scale)[1]
    upper[~early] = semi_log_concave(schedule, t[~early], kappa)
    return upper


def mixture(schedule: Schedule, t: Time, sigma: float, radius: float) -> tuple[Tensor, Tensor]:
    """Bounds for data N(0, σ² I) * ρ, with ρ supported in a ball of radius R (wherever its centre is).

    (aa' + σ² b b')/c ≤ ∇v ≤ that + b w R²/c² with c = a² + σ² b². For two equal means ±μ both are taken at x = 0,
    the upper one along μ, at every time.

    Raises:
        InputError: σ not positive, R negative, or a time outside [0, 1].
    """
    sigma, radius = check_constant("sigma", sigma, 0.0, open_end=True), check_constant("radius", radius, 0.0)
    t = _times(t)
    b = schedule.b(t)
    variance = schedule.a2(t) + sigma**2 * b**2
    lower = (schedule.aa_prime(t) + sigma**2 * b * schedule.b_prime(t)) / variance
    return lower, lower + b * schedule.w(t) * radius**2 / variance**2


def log_lipschitz(schedule: Schedule, t: Time, constant: float) -> tuple[Tensor, Tensor]:
    """(aa' + b b')/r² ∓ (b w/r⁴)(L² + L r/a) with r² = a² + b², for data whose density relative to N(0, I) has an
    L-Lipschitz logarithm, at times before 1.

    Derived: the paper states a bound of this kind with another constant.

    Raises:
        InputError: L negative, or a time outside [0, 1).
    """
    constant, t = check_constant("constant", constant, 0.0), _times_before_data(t)
    a2, b = schedule.a2(t), schedule.b(t)
    r2 = a2 + b**2
    middle = (schedule.aa_prime(t) + b * schedule.b_prime(t)) / r2
    width = b * schedule.w(t) / r2**2 * (constant**2 + constant * (r2 / a2).sqrt())
    return middle - width, middle + width


def first_valid_time(schedule: Schedule, kappa: float) -> float:
    """t_0: ``semi_log_concave`` with this κ holds at all times t > t_0, where b/a > √(−κ).

    0 where it holds from the start; for κ = 0 and b_0 = 0 time 0 itself is left out.

    Raises:
        InputError: κ not finite.
    """
    kappa = check_constant("kappa", kappa)
    return 0.0 if kappa >= 0 else _time_of_ratio(schedule, -kappa)


def crossing_time(schedule: Schedule, kappa: float, half_diameter: float) -> float:
    """t_1: ``bounded_support`` is the smaller upper bound before it, ``semi_log_concave`` after; b/a = √(1/D² − κ).

    0 where b_0/a_0 is already above (derived).

    Raises:
        InputError: D not positive, κ not finite, or κ D² ≥ 1: then ``semi_log_concave`` is smaller at all times.
    """
    kappa, scale = check_constant("kappa", kappa), check_constant("half_diameter", half_diameter, 0.0, open_end=True)
    if kappa * scale**2 >= 1:
        raise InputError(
            f"kappa D² is {kappa * scale**2:g}, expected below 1: the bounds never cross, use semi_log_concave alone"
        )
    return _time_of_ratio(schedule, 1 / scale**2 - kappa)


def peak(bound: Callable[[Tensor], Tensor], first: float = 0.0, last: float = 1.0) -> Peak:
    """The largest value of ``bound`` (times [k] -> [k]) between the times ``first`` and ``last``, both included.

    A grid of 1001 times finds the hill, a golden section its top: exact for bounds with hills wider than a step.

    Raises:
        InputError: the times do not satisfy 0 ≤ first < last ≤ 1.
    """
    if not 0 <= first < last <= 1:
        raise InputError(f"first and last are {first:g} and {last:g}, expected 0 <= first < last <= 1")
    times = torch.linspace(first, last, PEAK_GRID, dtype=torch.float64)
    values = bound(times)
    top = int(values.argmax())
    best = Peak(float(values[top]), float(times[top]))
    low, high = float(times[max(top - 1, 0)]), float(times[min(top + 1, PEAK_GRID - 1)])
    found = minimize_scalar(
        lambda t: -float(bound(torch.tensor([t], dtype=torch.float64))),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return Peak(-float(found.fun), float(found.x)) if -found.fun > best.value else best


def check_constant(name: str, value: float, least: float = -math.inf, open_end: bool = False) -> float:
    """The constant of a bound as a float, finite and at least ``least`` (above it with ``open_end``).

    Raises:
        InputError: otherwise.
    """
    value = float(value)
    if not math.isfinite(value) or value < least or (open_end and value == least):
        wanted = "a finite number" if least == -math.inf else f"a finite number {'>' if open_end else '>='} {least:g}"
        raise InputError(f"{name} is {value:g}, expected {wanted}: see the assumption in the docstring")
    return value


def _gaussian_rate(schedule: Schedule, t: Tensor, precision: float) -> Tensor:
    """(log √(κ a² + b²))' : the exact velocity gradient of data N(m, I/κ)."""
    a2, b = schedule.a2(t), schedule.b(t)
    return (precision * schedule.aa_prime(t) + b * schedule.b_prime(t)) / (precision * a2 + b**2)


def _times(t: Time) -> Tensor:
    """Times as a float64 tensor on the device of ``t``."""
    times = torch.as_tensor(t, dtype=torch.float64)
    bad = ~((times >= 0) & (times <= 1))
    if bad.any():
        raise InputError(f"t is {float(times[bad].flatten()[0]):g}, expected times in [0, 1]: 0 is noise, 1 is data")
    return times


def _times_before_data(t: Time) -> Tensor:
    times = _times(t)
    if (times == 1).any():
        raise InputError("t is 1, expected times below 1: the bound divides by a(t), which is 0 there")
    return times


def _time_of_ratio(schedule: Schedule, square: float) -> float:
    """The time at which b²/a² = square; 0 where it starts above. b/a increases, so there is only one."""

    def excess(t: float) -> float:
        return float(schedule.b(_times(t)) ** 2 - square * schedule.a2(_times(t)))

    return 0.0 if excess(0.0) >= 0 else float(brentq(excess, 0.0, 1.0, xtol=1e-15, rtol=1e-14))
