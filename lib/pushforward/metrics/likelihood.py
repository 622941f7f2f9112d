"""Negative log-likelihood and its excess over the entropy, with error bars and the guard that no density can pass."""

import math
from typing import Protocol

from pushforward.distributions.base import Entropy
from pushforward.errors import NotInvertible
from pushforward.metrics.estimate import Estimate, check_log_prob, in_batches, mean_and_se
from pushforward.shapes import PerPoint, Points, check_points

# Rounding of float32 log densities, so that a flow equal to the truth (standard error near zero) is not accused.
ROUNDING_NATS = 1e-5


class Density(Protocol):
    """Anything with a log density: a flow or a known distribution."""

    def log_prob(self, x: Points) -> PerPoint:
        """log p(x) in nats, x [n, d] -> [n]."""


def log_probs(density: Density, x: Points, batch: int = 4096) -> PerPoint:
    """log p [n] in nats of the rows of x [n, d], without gradients, in the dtype of x, ``batch`` rows at a time.

    Raises:
        InputError: x is not a finite floating tensor (n, d).
        NonFinite: a log density is NaN or infinite; the message counts the rows.
    """
    return check_log_prob(in_batches(density.log_prob, check_points(x), batch))


def nll(flow: Density, x: Points, batch: int = 4096) -> Estimate:
    """Mean of −log p(x) over the rows of x [n, d], in nats per sample, with its standard error.

    Raises:
        InputError: x is not a finite floating tensor (n, d), or has one row only.
        NonFinite: a log density is NaN or infinite (−inf is an infinite NLL); the message counts the rows.
    """
    return mean_and_se(-log_probs(flow, x, batch))


def nll_excess(estimate: Estimate, entropy: Entropy) -> Estimate:
    """NLL minus entropy: KL(truth ‖ flow) in nats; the error joins sampling and quadrature, √(se² + error²).

    ``kl_to_truth`` says the same far more sharply where the true log density is at hand.
    """
    return Estimate(estimate.value - entropy.value, math.hypot(estimate.se, entropy.error), estimate.n)


def kl_to_truth(distribution: Density, flow: Density, x: Points, batch: int = 4096) -> Estimate:
    """KL(truth ‖ flow) = E[log p(x) − log q(x)] in nats, from draws x [n, d] of the true law p.

    The differences are paired, point by point: the spread of log p itself, which dominates that of the NLL,
    cancels, and no entropy is needed.

    Raises:
        InputError: x is not a finite floating tensor (n, d), or has one row only.
        NonFinite: a log density is NaN or infinite; for ``distribution`` −inf says that x is not a draw of it.
    """
    return paired_kl(log_probs(distribution, x, batch), log_probs(flow, x, batch))


def paired_kl(truth: PerPoint, learned: PerPoint) -> Estimate:
    """``kl_to_truth`` from log densities [n] of the same draws of the true law.

    Raises:
        InputError: there is one only.
    """
    return mean_and_se(truth.double() - learned.double())


def check_excess(excess: Estimate) -> Estimate:
    """Return an excess (of ``nll_excess`` or ``kl_to_truth``) that is not below zero by more than 3 standard errors.

    Raises:
        NotInvertible: otherwise (or NaN), because no density can score better than the truth.
    """
    if excess.value >= -3 * excess.se - ROUNDING_NATS:
        return excess
    raise NotInvertible(
        f"the NLL lies {-excess.value:.4g} nats below the entropy (standard error {excess.se:.2g}, n = {excess.n}), "
        "expected at most 3 standard errors: no density can score better than the truth, so the map folds or its "
        "log-determinant is off; take more ODE steps a block or a smaller step size"
    )
