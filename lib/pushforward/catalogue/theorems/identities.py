"""A1 to A3: the velocity, the score and the posterior say the same thing; the flow carries p_0 to p_t."""

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
    marginal,
)
from pushforward.interpolation import Oracle, Schedule, Target
from pushforward.interpolation.flow_map import quantile_map, transport
from pushforward.numerics import velocity_and_jacobian
from pushforward.shapes import Points

TIMES = (0.0, 0.05, 0.3, 0.5, 0.8, 0.95, 1.0)
STEP = 1e-4  # of the five-point rule in time: VE-heat is fast, and a three-point rule at 1e-5 errs by 2e-6 there
FORMS, CONTINUITY, QUANTILE, COVARIANCE, AUTOGRAD = 1e-11, 1e-6, 1e-9, 1e-9, 1e-7  # the tolerances of the note
REACH = 3.5  # standard deviations of the source that the quantile map is compared on


def velocity_forms(schedule: Schedule, target: Target, grid: Grid) -> list[Part]:
    """A1. v from the posterior mean (t < 1), from the score (b > 0), and the score from the posterior mean (t < 1).

    Errors relative to 1 + |v| (or 1 + |s|). At t = 0 the first form reads (aa'/a²)x + b'_0 E X_1 where b_0 = 0; at
    t = 1 the second reads b'_1 x − aa'(1) s: the end points of [0, 1] are ordinary times here.
    """
    oracle, make = target.make(schedule), Maker("a1", schedule, target)
    by_mean, by_score, scores, ends = [], [], [], []
    for t in TIMES:
        a2, aa_prime, b, b_prime = (float(value) for value in schedule.at(t))
        w, x = float(schedule.w(t)), draws(oracle, t, grid.points)
        v, s, m = oracle(t, x), oracle.score(t, x), oracle.posterior_mean(t, x)
        if a2 > 0:
            by_mean.append(_relative(aa_prime / a2 * x + w / a2 * m, v))
            scores.append(_relative((b * m - x) / a2, s))
        if b > 0:
            by_score.append(_relative(b_prime / b * x + w / b * s, v))
        if b == 0:
            ends.append(_relative(aa_prime / a2 * x + b_prime * _mean(target), v))
        if a2 == 0:
            ends.append(_relative(b_prime * x - aa_prime * s, v))
    return [
        make.identity("v = (a'/a) x + (b' − (a'/a) b) E[X_1|x]", RECALLED, by_mean, FORMS),
        make.identity("v = (b'/b) x + (w/b) ∇log p_t", RECALLED, by_score, FORMS),
        make.identity("∇log p_t = (b E[X_1|x] − x)/a²", RECALLED, scores, FORMS),
        make.identity("v at the end points", DERIVED, ends, FORMS),
    ]


def marginals(schedule: Schedule, target: Target, grid: Grid) -> list[Part]:
    """A2. The continuity equation at points of p_t, and on the line the flow map as a map of quantiles.

    The latter is F_ν⁻¹ ∘ F_{p_0}, with p_0 the law of a_0 Z + b_0 X_1: for b_0 = 0 (and a_0 = 1) that is F_ν⁻¹ ∘ Φ, for
    VP and VE the source is a mixture itself, whose quantiles are as well known.
    """
    oracle, make = target.make(schedule), Maker("a2", schedule, target)
    residuals = [_continuity(oracle, t, draws(oracle, t, grid.points)) for t in TIMES[1:-1]]
    parts = [make.identity("∂_t log p_t + v·∇log p_t + tr ∇v = 0", PAPER, residuals, CONTINUITY)]
    if target.law is not None and target.law.dim == 1:
        z = torch.linspace(-REACH, REACH, grid.points, dtype=torch.float64)[:, None]
        end = transport(oracle, quantile_map(marginal(target.law, schedule, 0.0), z), 0.0, 1.0, rtol=1e-11)
        error = end - quantile_map(target.law, z)
        parts.append(make.identity("X_1 maps quantiles of p_0 to quantiles of ν", DERIVED, error, QUANTILE))
    return parts


def covariance_forms(schedule: Schedule, target: Target, grid: Grid) -> list[Part]:
    """A3. ∇²log p_t and ∇v by the posterior covariance (t ≤ 0.95), and ∇v against forward-mode differentiation of v.

    Errors relative to 1 + the largest entry of the matrix.
    """
    oracle, make = target.make(schedule), Maker("a3", schedule, target)
    hessians, gradients, automatic = [], [], []
    for t in TIMES[:-1]:
        a2, aa_prime, b, _ = (float(value) for value in schedule.at(t))
        w, x = float(schedule.w(t)), draws(oracle, t, grid.points)
        eye, covariance = torch.eye(oracle.dim, dtype=torch.float64), oracle.posterior_covariance(t, x)
        gradient = oracle.velocity_and_jacobian(t, x)[1]
        hessians.append(_relative(b**2 / a2**2 * covariance - eye / a2, oracle.hessian(t, x)))
        gradients.append(_relative(aa_prime / a2 * eye + b * w / a2**2 * covariance, gradient))
        found = velocity_and_jacobian(lambda s, y: oracle(s, y), t, x)[1]  # a plain function: no formula of its own
        automatic.append(_relative(found, gradient))
    return [
        make.identity("∇²log p_t = (b²/a⁴) Cov(X_1|x) − I/a²", PAPER, hessians, COVARIANCE),
        make.identity("∇v = (a'/a) I + (b w/a⁴) Cov(X_1|x)", RECALLED, gradients, COVARIANCE),
        make.identity("∇v in closed form and by differentiation", DERIVED, automatic, AUTOGRAD),
    ]


def _relative(found: Tensor, wanted: Tensor) -> Tensor:
    """|found − wanted| / (1 + the largest entry of wanted at the point)."""
    size = wanted.abs().flatten(1).amax(1).reshape(-1, *[1] * (wanted.ndim - 1))
    return (found - wanted).abs() / (1 + size)


def _continuity(oracle: Oracle, t: float, x: Points) -> Tensor:
    near, far = (oracle.log_prob(t + h, x) - oracle.log_prob(t - h, x) for h in (STEP, 2 * STEP))
    rate = (8 * near - far) / (12 * STEP)
    v, divergence = oracle.velocity_and_divergence(t, x)
    return rate + (v * oracle.score(t, x)).sum(1) + divergence


def _mean(target: Target) -> Tensor:
    """E X_1; both laws on an interval are even."""
    law = target.law
    return torch.zeros(1, dtype=torch.float64) if law is None else law.weights @ law.means
