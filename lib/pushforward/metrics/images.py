"""Likelihoods of images: in bits a dimension, and where the log-determinant is itself an estimate."""

import math
from typing import NamedTuple

import torch

from pushforward.errors import InputError
from pushforward.flows import Flow
from pushforward.flows.implicit import drawing_from
from pushforward.metrics.estimate import Estimate, check_log_prob, in_batches, mean_and_se
from pushforward.shapes import Points, check_points


class DrawnEstimate(NamedTuple):
    """A mean over ``n`` points and ``draws`` of an estimator; ``se`` holds both, ``draw_se`` the estimator's part."""

    value: float
    se: float
    n: int
    draws: int
    draw_se: float


def bits_per_dim(nll: Estimate | DrawnEstimate, dim: int, log_det: float) -> Estimate:
    """(NLL − ``log_det``)/(d ln 2): bits a dimension of the grey values, from an NLL in nats of points x in R^d.

    ``log_det`` is ln |det dx/draw| of the preprocessing, −d ln 256 for x = (value + u)/256: the NLL of the raw values
    is that of x plus d ln 256. With u uniform this bounds the code length of the discrete values from above (Theis et
    al., arXiv 1511.01844, section 3.1).

    Raises:
        InputError: ``dim`` is no positive whole number.
    """
    if not isinstance(dim, int) or dim < 1:
        raise InputError(f"dim is {dim!r}, expected a positive whole number, the pixels of an image times its channels")
    unit = dim * math.log(2)
    return Estimate((nll.value - log_det) / unit, nll.se / unit, nll.n)


def nll_over_draws(flow: Flow, x: Points, draws: int, generator: torch.Generator, batch: int = 256) -> DrawnEstimate:
    """Mean of −log p(x) over the rows of x [n, d] and over ``draws`` evaluations, nats per sample.

    For flows whose log-determinants are unbiased estimates. The standard error joins that of the points, which sees
    each point's own probes, with that of the draws, which alone sees the length that all rows of a batch share.

    Raises:
        InputError: fewer than two draws, which have no spread; x is not finite floating (n, d), or has one row only.
        NonFinite: a log density is NaN or infinite.
    """
    if draws < 2:
        raise InputError(f"draws is {draws}, expected at least 2: one draw does not say how much it is off")
    x = check_points(x)
    with drawing_from(flow.bijection, generator):
        values = torch.stack([-check_log_prob(in_batches(flow.log_prob, x, batch)).double() for _ in range(draws)])
    points, means = mean_and_se(values.mean(0)), mean_and_se(values.mean(1))
    return DrawnEstimate(points.value, math.hypot(points.se, means.se), points.n, draws, means.se)
