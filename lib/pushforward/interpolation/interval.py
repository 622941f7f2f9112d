"""The interpolation of a law on an interval, by quadrature over the posterior of X_1 that follows it as it narrows.

Given X_t = x, the noise u = (x − b y)/a of a data point y has the density ρ(y) exp(−u²/2) up to a factor.
Gauss-Legendre nodes cover the part of the interval where that is above e^{−K²/2} of its peak, and every answer is a
moment of u and y under those weights; the differences that vanish as a → 0 are taken in u, where they are of order 1.
Source: Gaussian interpolation flows (arXiv 2311.11475); the quadrature is this library's.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.interpolation.box import Box
from pushforward.interpolation.schedules import Coefficients, Schedule
from pushforward.shapes import PerPoint, Points, Time, check_points

NODES = 96  # 9.0 standard deviations a side: spacing 0.3 at the centre, where the rule is exact to rounding
REACH = 9.0  # K: e^{−K²/2} = 3e-18
CHUNK = 2**12  # points at once: 3 MB a temporary
CELLS = 2**14  # of the table that inverts the distribution function for samples

LogDensity = Callable[[Tensor], Tensor]


class _Posterior(NamedTuple):
    """Nodes and weights of the posterior at some points; all but ``at`` and ``log_p`` are [n, NODES]."""

    at: Coefficients  # each [m, 1]
    a: Tensor  # [m, 1]
    y: Tensor  # data
    u: Tensor  # noise, (x − b y)/a
    r: Tensor  # weights, sum 1
    log_p: Tensor  # [n]


class IntervalInterpolation:
    """X_t = a Z + b X_1 in one dimension, X_1 of log-density ``log_density`` (up to a constant) on [low, high].

    The methods are those of ``MixtureInterpolation`` for points [n, 1]; each takes one time, or one a point, t [n].
    Answers are computed in float64 and have the dtype and device of x. At a = 0 (t = 1) they are the limits inside the
    interval, b'x − aa'·(log ρ)'(x) for the velocity, with log ρ continued beyond its ends so that a solver may touch
    them; ``log_prob`` is −inf there. Close to t = 1 rounding costs 1e-16/a² in derivatives and 1e-16/a in values.

    Args:
        log_density: elementwise on float64 tensors, smooth, differentiable by torch.func, varying by less than some
            thirty nats over the interval.
        schedule: a and b.
        low, high: the interval, low < high.

    Raises:
        InputError: low is not below high, or log_density is not finite on the interval; and in every method, where x
            is not a finite floating tensor (n, 1) or t has another shape, or is a number outside [0, 1].
    """

    dim = 1

    def __init__(self, log_density: LogDensity, schedule: Schedule, low: float = -1.0, high: float = 1.0) -> None:
        if not -math.inf < low < high < math.inf:
            raise InputError(f"the interval is [{low}, {high}], expected finite ends, low < high")
        self.schedule, self.low, self.high = schedule, float(low), float(high)
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        self._nodes, self._log_weights = torch.from_numpy(nodes), torch.from_numpy(weights).log()
        half = 0.5 * (self.high - self.low)
        raw = log_density(0.5 * (self.low + self.high) + half * self._nodes)
        if not isinstance(raw, Tensor) or raw.shape != (NODES,) or not torch.isfinite(raw).all():
            raise InputError("log_density is not finite on the interval, or not elementwise: expected [n] -> [n]")
        log_mass = float(torch.logsumexp(raw + self._log_weights, 0)) + math.log(half)
        self._log_density = lambda y: log_density(y) - log_mass

    def __call__(self, t: Time, x: Points) -> Points:
        """v = E[a'Z + b'X_1 | X_t = x], [n, 1]."""
        return self._answer(t, x, lambda p: (_velocity(p),), lambda at, y: (self._end_velocity(at, y),))[0]

    def log_prob(self, t: Time, x: Points) -> PerPoint:
        """log p_t(x) in nats, [n]; −inf outside the interval at t = 1."""
        return self._answer(t, x, lambda p: (p.log_p,), lambda at, y: (self._end_log_prob(y),))[0]

    def score(self, t: Time, x: Points) -> Points:
        """∇ log p_t = −E[u | X_t = x]/a, [n, 1]."""
        return self._answer(t, x, lambda p: (-_mean(p, p.u) / p.a,), lambda at, y: (self._slope(y)[:, None],))[0]

    def posterior_mean(self, t: Time, x: Points) -> Points:
        """E[X_1 | X_t = x], [n, 1]."""
        return self._answer(t, x, lambda p: (_mean(p, p.y),), lambda at, y: (y[:, None],))[0]

    def velocity_and_jacobian(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        """v [n, 1] and ∂v/∂x = (a'/a)(1 − Var u) − (b'/a) Cov(X_1, u) [n, 1, 1], moments given X_t = x."""
        return self._answer(
            t,
            x,
            lambda p: (_velocity(p), _gradient(p)[:, :, None]),
            lambda at, y: (self._end_velocity(at, y), self._end_gradient(at, y)[:, :, None]),
        )

    def velocity_and_divergence(self, t: Time, x: Points) -> tuple[Points, PerPoint]:
        """v [n, 1] and ∂v/∂x [n]."""
        v, jacobian = self.velocity_and_jacobian(t, x)
        return v, jacobian[:, 0, 0]

    def hessian(self, t: Time, x: Points) -> Tensor:
        """∇² log p_t = (Var(u | X_t = x) − 1)/a², [n, 1, 1]."""
        return self._answer(
            t,
            x,
            lambda p: (((_covariance(p, p.u, p.u) - 1) / p.a**2)[:, :, None],),
            lambda at, y: (self._curvature(y)[:, None, None],),
        )[0]

    def posterior_covariance(self, t: Time, x: Points) -> Tensor:
        """Var(X_1 | X_t = x), [n, 1, 1]."""
        return self._answer(
            t,
            x,
            lambda p: (_covariance(p, p.y, p.y)[:, :, None],),
            lambda at, y: (torch.zeros_like(y)[:, None, None],),
        )[0]

    def sample(
        self, t: Time, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> Points:
        """n draws of a Z + b X_1, [n, 1], on the CPU; X_1 by a table of 16 384 cells in which ρ counts as constant."""
        edges = torch.linspace(self.low, self.high, CELLS + 1, dtype=torch.float64)
        mass = self._log_density(0.5 * (edges[1:] + edges[:-1])).exp().cumsum(0)
        level = torch.rand(n, generator=generator, dtype=torch.float64) * mass[-1]
        cell = torch.searchsorted(mass, level)
        below = torch.cat([mass.new_zeros(1), mass])
        data = edges[cell] + (edges[1] - edges[0]) * (level - below[cell]) / (below[cell + 1] - below[cell])
        noise = torch.randn(n, 1, generator=generator, dtype=torch.float64)
        at = self._coefficients(t, n)
        return (at.a2.sqrt() * noise + at.b * data[:, None]).to(dtype)

    def box(self, t: Time) -> Box:
        """The interval that holds all but 1e-17 of p_t, one time; its width is a, on which the ends are blurred."""
        at = self.schedule.at(t)
        a, b = float(at.a2.clamp(min=0).sqrt()), float(at.b)
        low, high = b * self.low - REACH * a, b * self.high + REACH * a
        return Box(torch.tensor([low], dtype=torch.float64), torch.tensor([high], dtype=torch.float64), a or high - low)

    def _coefficients(self, t: Time, n: int) -> Coefficients:
        at = self.schedule.at(t)
        if at.b.shape not in ((), (n,)):
            raise InputError(f"t has shape {tuple(at.b.shape)}, expected one time, or {(n,)}: one a point")
        return Coefficients(*(value.reshape(-1, 1) for value in at))

    def _answer(
        self,
        t: Time,
        x: Points,
        inside: Callable[[_Posterior], tuple[Tensor, ...]],
        end: Callable[[Coefficients, Tensor], tuple[Tensor, ...]],
    ) -> tuple[Tensor, ...]:
        """``inside`` where a > 0 and ``end`` where a = 0, a few points at a time."""
        x = check_points(x, 1)
        at = Coefficients(*(value.to(x.device).expand(len(x), 1) for value in self._coefficients(t, len(x))))
        pieces = []
        for rows in torch.arange(len(x), device=x.device).split(CHUNK):
            own, points = Coefficients(*(value[rows] for value in at)), x[rows].double()
            a = own.a2.clamp(min=0).sqrt()
            done = a == 0
            some = inside(self._posterior(own, torch.where(done, 1.0, a), points))
            last = end(own, points[:, 0]) if done.any() else some
            pairs = zip(last, some, strict=True)
            pieces.append([torch.where(done.reshape(-1, *[1] * (q.ndim - 1)), p, q) for p, q in pairs])
        return tuple(torch.cat(piece).to(x.dtype) for piece in zip(*pieces, strict=True))

    def _posterior(self, at: Coefficients, a: Tensor, x: Points) -> _Posterior:
        b = at.b.clamp(min=0)  # a solver may overshoot to t < 0
        least, most = (x - b * self.high) / a, (x - b * self.low) / a  # the noise that the interval allows
        peak = least.clamp(min=0) + most.clamp(max=0)  # the least of |u|; where it is 0 the posterior is inside
        reach = (peak**2 + REACH**2).sqrt()
        u0, u1 = torch.maximum(least, -reach), torch.minimum(most, reach)
        safe = torch.where(b > 0, b, 1.0)
        y0 = torch.where(least >= -reach, self.high, (x + a * reach) / safe)
        y1 = torch.where(most <= reach, self.low, (x - a * reach) / safe)
        nodes = 0.5 * (1 + self._nodes.to(x.device))
        u, y = u0 + (u1 - u0) * nodes, y0 + (y1 - y0) * nodes
        joint = self._log_density(y) - 0.5 * (u - peak) * (u + peak) + self._log_weights.to(x.device)
        total = torch.logsumexp(joint, 1, keepdim=True)
        width = torch.where(b > a, (u1 - u0) * a / safe, y0 - y1)  # equal; each is exact where the other cancels
        log_p = total - 0.5 * peak**2 + (0.5 * width).log() - a.log() - 0.5 * math.log(2 * math.pi)
        return _Posterior(at, a, y, u, torch.exp(joint - total), log_p[:, 0])

    def _slope(self, y: Tensor) -> Tensor:
        """(log ρ)' at y [n]."""
        return torch.func.grad(lambda z: self._log_density(z).sum())(y)

    def _curvature(self, y: Tensor) -> Tensor:
        """(log ρ)'' at y [n]."""
        return torch.func.grad(lambda z: self._slope(z).sum())(y)

    def _end_log_prob(self, y: Tensor) -> Tensor:
        outside = (y < self.low) | (y > self.high)
        return torch.where(outside, -math.inf, self._log_density(y))

    def _end_velocity(self, at: Coefficients, y: Tensor) -> Tensor:
        return at.b_prime * y[:, None] - at.aa_prime * self._slope(y)[:, None]

    def _end_gradient(self, at: Coefficients, y: Tensor) -> Tensor:
        return at.b_prime - at.aa_prime * self._curvature(y)[:, None]


def uniform(schedule: Schedule) -> IntervalInterpolation:
    """The uniform law on [−1, 1], target T-U."""
    return IntervalInterpolation(torch.zeros_like, schedule)


def bimodal(schedule: Schedule) -> IntervalInterpolation:
    """The density ∝ exp(2y²) on [−1, 1], highest at both ends, target T-E."""
    return IntervalInterpolation(lambda y: 2 * y**2, schedule)


def _mean(p: _Posterior, values: Tensor) -> Tensor:
    return (p.r * values).sum(1, keepdim=True)


def _covariance(p: _Posterior, left: Tensor, right: Tensor) -> Tensor:
    return _mean(p, (left - _mean(p, left)) * (right - _mean(p, right)))


def _velocity(p: _Posterior) -> Tensor:
    return p.at.aa_prime / p.a * _mean(p, p.u) + p.at.b_prime * _mean(p, p.y)


def _gradient(p: _Posterior) -> Tensor:
    within = p.at.aa_prime / p.a**2 * (1 - _covariance(p, p.u, p.u))
    return within - p.at.b_prime / p.a * _covariance(p, p.y, p.u)
