"""How far a wrong velocity, or a wrong source, moves the law that a flow ends in: W2 bounds and the exact W2 on a line.

Times are [k], increasing from noise (0) to data (1). ``squared_error`` [k] is E|v − ṽ|² under the law p_t of the
*exact* interpolation; the growth of errors is that of the *perturbed* field ṽ. Integrals over time use Simpson's rule.
Source: Gaussian interpolation flows (arXiv 2311.11475), stability; the refined bound is derived here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import cumulative_simpson, simpson
from torch import Tensor

from pushforward.errors import InputError
from pushforward.interpolation.bounds import check_constant
from pushforward.interpolation.lipschitz import exp_or_infinity
from pushforward.interpolation.schedules import Schedule
from pushforward.numerics import velocity_and_jacobian
from pushforward.numerics.jacobian import Velocity
from pushforward.shapes import Points, Time

Map = Callable[[Points], Points]

REACH, NODES = 8.0, 1601  # of the normal grid: a spacing of 0.01, and 1e-15 of the mass beyond


@dataclass(frozen=True)
class Perturbed:
    """ṽ(t, x) = v(t, x) + η u(x), a velocity whose error is known; u takes points [n, d] to vectors [n, d]."""

    oracle: Velocity
    eta: float
    u: Map

    def __call__(self, t: Time, x: Points) -> Points:
        return self.oracle(t, x) + self.eta * self.u(x)

    def velocity_and_jacobian(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        v, exact = velocity_and_jacobian(self.oracle, t, x)
        u, slope = velocity_and_jacobian(lambda _, y: self.u(y), t, x)
        return v + self.eta * u, exact + self.eta * slope


@dataclass(frozen=True)
class Errors:
    """What the bounds ask of a perturbed velocity, at times [k]: E_{p_t}|v − ṽ|² [k], and sup_x λ_max(sym ∇ṽ) [k]."""

    times: Tensor
    squared_error: Tensor
    one_sided: Tensor


def log_growth(constant: float) -> float:
    """log((e^{2C} − 1)/(2C)), finite for every finite C, 0 at C = 0."""
    double = 2 * check_constant("constant", constant)
    if double == 0:
        return 0.0
    return max(double, 0.0) + math.log(-math.expm1(-abs(double)) / abs(double))


def log_crude(times: Tensor, squared_error: Tensor, constant: float) -> float:
    """log W2 ≤ ½ log((e^{2C} − 1)/(2C)) + ½ log ∫ E|v − ṽ|² dt, with ṽ(t, ·) C-Lipschitz at every t.

    One-sided is enough: C ≥ λ_max(sym ∇ṽ) everywhere, of any sign (derived). A constant estimated on samples is too
    small, and then this is no bound.

    Raises:
        InputError: times [k], k > 2, do not increase from 0 to 1, an error is negative, or a number is not finite.
    """
    times, error = _checked(times, squared_error=squared_error)
    _check_errors(error)
    return 0.5 * (log_growth(constant) + _log(float(simpson(error, x=times))))


def crude(times: Tensor, squared_error: Tensor, constant: float) -> float:
    """``log_crude`` as a distance; infinite where that overflows (C above 700 or so).

    Raises: as ``log_crude``.
    """
    return exp_or_infinity(log_crude(times, squared_error, constant))


def log_refined(times: Tensor, squared_error: Tensor, one_sided: Tensor) -> float:
    """log W2 ≤ log ∫ exp(∫_t^1 l(s) ds) (E|v − ṽ|²)^½ dt, with l(t) = sup_x λ_max(sym ∇ṽ(t, x)) (derived).

    Equality for Gaussian data and a constant perturbation.

    Raises:
        InputError: times [k], k > 2, do not increase from 0 to 1, an error is negative, or a number is not finite.
    """
    times, error, rate = _checked(times, squared_error=squared_error, one_sided=one_sided)
    _check_errors(error)
    growth = cumulative_simpson(rate, x=times, initial=0.0)
    remaining = growth[-1] - growth
    top = remaining.max()  # taken out, so that no exponential overflows
    return float(top) + _log(float(simpson(np.exp(remaining - top) * np.sqrt(error), x=times)))


def refined(times: Tensor, squared_error: Tensor, one_sided: Tensor) -> float:
    """``log_refined`` as a distance; infinite where that overflows.

    Raises: as ``log_refined``.
    """
    return exp_or_infinity(log_refined(times, squared_error, one_sided))


def source(schedule: Schedule, lipschitz: float, second_moment: float) -> float:
    """W2(out, data) ≤ Lip(X_1) b_0 √(E|X_1|²), for a flow started at a_0 Z instead of a_0 Z + b_0 X_1.

    Sharper (derived): Lip(X_1) times the W2 between the two sources themselves.

    Raises:
        InputError: the Lipschitz constant or the second moment is negative or not finite.
    """
    moment = check_constant("second_moment", second_moment, 0.0)
    return check_constant("lipschitz", lipschitz, 0.0) * schedule.b0 * math.sqrt(moment)


def w2_between_monotone_maps(first: Map, second: Map) -> float:
    """W2 between the laws of first(Z) and second(Z), Z ~ N(0, 1), for two increasing maps [n, 1] -> [n, 1]: exact.

    The increasing coupling is optimal on the line, W2² = ∫ (first(z) − second(z))² φ(z) dz; trapezoidal rule on 1601
    nodes of [−8, 8], float64.

    Raises:
        InputError: a map does not increase on the nodes, or returns another shape.
    """
    z = torch.linspace(-REACH, REACH, NODES, dtype=torch.float64)[:, None]
    ends = []
    for name, mapping in (("first", first), ("second", second)):
        end = mapping(z)
        if end.shape != z.shape:
            raise InputError(f"{name}(z) has shape {tuple(end.shape)}, expected {tuple(z.shape)}: one number a node")
        if not (end.diff(dim=0) > 0).all():
            where = float(z[:-1][~(end.diff(dim=0) > 0)][0])
            raise InputError(f"{name} does not increase at z = {where:g}: the formula needs increasing maps")
        ends.append(end)
    density = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return math.sqrt(float(torch.trapezoid((ends[0] - ends[1]) ** 2 * density, z, dim=0)))


def errors_on_line(exact: Velocity, perturbed: Velocity, times: Tensor, x: Points) -> Errors:
    """``Errors`` in one dimension, on an even grid x [n, 1] that covers every p_t: mean by the trapezoidal rule with
    ``exact.log_prob``, supremum over the grid (so put the point of steepest slope on it).

    Raises:
        InputError: p_t does not integrate to one over the grid within 1e-6.
    """
    squares, slopes = [], []
    for t in times.double():
        density = torch.exp(exact.log_prob(t, x))
        mass = float(torch.trapezoid(density, x[:, 0]))
        if abs(mass - 1) > 1e-6:
            raise InputError(f"p_t integrates to {mass:.8g} over x at t = {float(t):g}, expected 1: widen or refine it")
        v, gradient = velocity_and_jacobian(perturbed, t, x)
        squares.append(torch.trapezoid((exact(t, x) - v)[:, 0] ** 2 * density, x[:, 0]))
        slopes.append(gradient.max())
    return Errors(times.double(), torch.stack(squares), torch.stack(slopes))


def errors_on_samples(
    exact: Velocity, perturbed: Velocity, times: Tensor, n: int, generator: torch.Generator
) -> Errors:
    """``Errors`` in any dimension, from n draws of each p_t (``exact.sample``), in float64.

    The supremum over draws is a *lower* estimate, so what follows from it is an estimate of a bound; say so.
    """
    squares, slopes = [], []
    for t in times.double():
        x = exact.sample(t, n, generator, torch.float64)
        v, gradient = velocity_and_jacobian(perturbed, t, x)
        squares.append((exact(t, x) - v).square().sum(1).mean())
        slopes.append(torch.linalg.eigvalsh((gradient + gradient.mT) / 2)[:, -1].max())
    return Errors(times.double(), torch.stack(squares), torch.stack(slopes))


def _checked(times: Tensor, **curves: Tensor) -> list[np.ndarray]:
    """Times and curves [k] as float64 arrays."""
    arrays = {name: np.asarray(torch.as_tensor(curve).detach().cpu().double()) for name, curve in curves.items()}
    grid = np.asarray(torch.as_tensor(times).detach().cpu().double())
    if grid.ndim != 1 or len(grid) < 3 or grid[0] != 0 or grid[-1] != 1 or not (np.diff(grid) > 0).all():
        raise InputError(f"times has shape {grid.shape}, expected [k], k > 2, that increase from 0 to 1: use linspace")
    for name, array in arrays.items():
        if array.shape != grid.shape:
            raise InputError(f"{name} has shape {array.shape}, expected {grid.shape}: one number a time")
        if not np.isfinite(array).all():
            raise InputError(f"{name} holds NaN or infinite numbers, the first at t = {grid[~np.isfinite(array)][0]:g}")
    return [grid, *arrays.values()]


def _check_errors(error: np.ndarray) -> None:
    if (error < 0).any():
        raise InputError(f"squared_error has the entry {error.min():g}, expected squares >= 0: not a signed error")


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
