"""The evidence bound of a diffusion, as a weighted regression."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.interpolation import PREDICTIONS, InterpolationVelocity, Schedule
from pushforward.objectives.loss import Loss
from pushforward.shapes import Points

CELLS = 512  # of the table from which times are drawn: it shapes the variance, never the mean
HALVINGS = 60


@dataclass(frozen=True)
class EvidenceObjective:
    """An upper bound, in nats, on the mean of −log p of the data at the least noise, y = a Z + b X_1 at t_max.

    p is the law of the reverse diffusion with the score s = −ẑ/a. Going backwards in t, with β dt = −2 d log b, and
    with y drawn anew at every t from data and noise (ScoreSDE, arXiv 2106.02808; note that T is t_min here):

        E[−log p(y(t_max))] ≤ E[−log N(y(t_min); 0, I)] + ∫ E[½ β |s|² + β div s + ½ β d] dt.

    As y = a z + b x, Stein's identity E[div s] = E[s·z]/a turns ½|s|² + div s into (|ẑ − z|² − d)/(2a²). With
    a² + b² = 1 that is

        bound = E[−log N(y(t_min); 0, I)] + ½ ∫ (β/a²) (E|ẑ − z|² − b² d) dt.

    β/a² dt is |dλ| with λ = log(a²/b²): the noise regression with times uniform in λ. So they are drawn; −b² d
    integrates to −½ d log(a²(t_min)/a²(t_max)). For data N(0, I) and ẑ = a y, that is s = −y, E|ẑ − z|² = b² d at every
    t: the integral is 0 and the bound is the entropy. In general the exact score leaves KL(p_{t_min} ‖ N(0, I)) of
    slack. A bound on −log p(x) of the data themselves has −d log b(t_max) more (a Gaussian decoder).

    Any prediction will do: the error of ẑ is that of the prediction times the ratio of their gains in the velocity.

    Args:
        velocity: under a schedule with a² + b² = 1.
        t_min, t_max: the range, 0 ≤ t_min < t_max < 1, with b(t_min) > 0.
        antithetic: show each point with z and with −z.

    Raises:
        InputError: times out of order, or a schedule that does not preserve the variance.
    """

    velocity: InterpolationVelocity
    t_min: float
    t_max: float
    antithetic: bool = False

    def __post_init__(self) -> None:
        check_range(self.velocity.schedule, self.t_min, self.t_max)

    def __call__(self, x1: Points, generator: torch.Generator) -> Loss:
        z = torch.randn(x1.shape, generator=generator, dtype=x1.dtype).to(x1.device)
        t, weight = (part.to(x1.device) for part in self._times(len(x1), generator))
        fixed = self._fixed(x1)
        if self.antithetic:
            z, x1, t, weight = torch.cat([z, -z]), torch.cat([x1, x1]), torch.cat([t, t]), torch.cat([weight, weight])
        schedule = self.velocity.schedule
        x = schedule.a(t).to(x1.dtype)[:, None] * z + schedule.b(t).to(x1.dtype)[:, None] * x1
        gap = self.velocity.predict(t, x) - self.velocity.target(t, z, x1)
        square = (self._ratio(t) ** 2 * weight).to(x1.dtype) * gap.square().sum(1)
        return Loss({"matching": 0.5 * square.mean(), "fixed": fixed})

    def _fixed(self, x1: Points) -> Tensor:
        """What no network changes: E[−log N(y(t_min); 0, I)] given the data, less ½ d log(a²(t_min)/a²(t_max))."""
        schedule, dim = self.velocity.schedule, x1.shape[1]
        first, last = schedule.at(self.t_min), schedule.at(self.t_max)
        prior = dim * (math.log(2 * math.pi) + first.a2) + first.b**2 * x1.double().square().sum(1).mean().cpu()
        return (0.5 * (prior - dim * (first.a2 / last.a2).log())).to(x1)

    def _ratio(self, t: Tensor) -> Tensor:
        """|ẑ − z| for an error 1 of the prediction, at times t [n]."""
        schedule, edge = self.velocity.schedule, self.velocity.EDGE
        t = t.clamp(edge, 1 - edge)
        own, noise = (PREDICTIONS[name].conversion(schedule, t).gain for name in (self.velocity.prediction, "noise"))
        return own / noise

    def _times(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One time in each of n parts of [t_min, t_max], equal in λ, and |dλ| over their density [n], float64.

        Within a cell of the table they are uniform in t, and the weight makes up for it exactly.
        """
        u = (torch.arange(n) + torch.rand(n, generator=generator, dtype=torch.float64)) / n
        table = self._table
        cell = (u * CELLS).long().clamp(max=CELLS - 1)
        width = table[cell + 1] - table[cell]
        t = table[cell] + (u * CELLS - cell) * width
        return t, -self._slope(t) * width * CELLS

    def _slope(self, t: Tensor) -> Tensor:
        """dλ/dt < 0."""
        schedule = self.velocity.schedule
        return -2 * schedule.w(t) / (schedule.a2(t) * schedule.b(t))

    @cached_property
    def _table(self) -> Tensor:
        """Times at which λ takes values in equal steps, from t_min to t_max [CELLS + 1]; λ falls, so bisection."""
        schedule = self.velocity.schedule

        def level(t: Tensor) -> Tensor:
            return (schedule.a2(t) / schedule.b(t) ** 2).log()

        ends = torch.tensor([self.t_min, self.t_max], dtype=torch.float64)
        first, last = level(ends).tolist()
        wanted = torch.linspace(first, last, CELLS + 1, dtype=torch.float64)
        low, high = (torch.full_like(wanted, float(end)) for end in ends)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            above = level(middle) > wanted
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        table = (low + high) / 2
        table[0], table[-1] = ends
        return table


def check_range(schedule: Schedule, t_min: float, t_max: float) -> None:
    """Refuse what has no evidence bound.

    Raises:
        InputError: times out of order, a schedule that does not preserve the variance, or one with b(t_min) = 0.
    """
    if not 0 <= t_min < t_max < 1:
        raise InputError(f"t_min={t_min}, t_max={t_max}: expected 0 <= t_min < t_max < 1")
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    if not torch.allclose(schedule.a2(t) + schedule.b(t) ** 2, torch.ones_like(t), rtol=0, atol=1e-9):
        raise InputError(
            f"schedule {schedule.name!r} has a² + b² ≠ 1, expected one that preserves the variance: try "
            "'vp-quadratic-5', 'vp' or 'foellmer'"
        )
    if not float(schedule.b(t_min)) > 0:
        raise InputError(f"b is 0 at t_min={t_min} under schedule {schedule.name!r}, expected a later start")
