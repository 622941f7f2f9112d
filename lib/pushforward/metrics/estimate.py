"""A measured number with its error bar, and the two helpers that every metric shares."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.errors import InputError, NonFinite
from pushforward.shapes import PerPoint, Points, check_points


class Estimate(NamedTuple):
    """A mean over ``n`` independent terms and its standard error."""

    value: float
    se: float
    n: int


def mean_and_se(values: Tensor) -> Estimate:
    """Mean of values [n] and the standard error sd / √n (sd with n − 1), summed in float64.

    Raises:
        InputError: values is not one-dimensional or holds fewer than two numbers.
        NonFinite: a value is NaN or infinite.
    """
    if values.ndim != 1 or len(values) < 2:
        raise InputError(f"values have shape {tuple(values.shape)}, expected (n,) with n > 1: one number has no spread")
    bad = ~torch.isfinite(values)
    if bad.any():
        raise NonFinite(f"{int(bad.sum())} of {len(values)} values are NaN or infinite: their mean says nothing")
    values = values.detach().double()
    return Estimate(float(values.mean()), float(values.std() / math.sqrt(len(values))), len(values))


@torch.no_grad()
def in_batches(function: Callable[[Points], Tensor], x: Points, batch: int) -> Tensor:
    """``function`` of x [n, d], ``batch`` rows at a time and without gradients, joined to [n, ...].

    Raises:
        InputError: batch is below one.
    """
    if batch < 1:
        raise InputError(f"batch is {batch}, expected at least 1 row")
    return torch.cat([function(part) for part in x.split(batch)])


def check_log_prob(log_prob: PerPoint, allow_zero_density: bool = False) -> PerPoint:
    """Return log densities [n] if all are finite; −inf passes too where a density of zero is allowed.

    Raises:
        NonFinite: otherwise; the message counts the rows of each kind and names the first.
    """
    nan, plus, minus = log_prob.isnan(), log_prob == math.inf, log_prob == -math.inf
    bad = nan | plus if allow_zero_density else nan | plus | minus
    if bad.any():
        raise NonFinite(
            f"log_prob is NaN in {int(nan.sum())}, +inf in {int(plus.sum())} and -inf in {int(minus.sum())} of "
            f"{len(log_prob)} rows, the first is row {int(bad.nonzero()[0])}: look at that point; a map that "
            "overflows there wants more ODE steps or a smaller step size, a law that ends before it has no NLL"
        )
    return log_prob


def check_pair(x: Points, y: Points, equal_length: bool = False) -> tuple[Points, Points]:
    """Return two samples x [n, d], y [m, d] in float64 if they live in one space, on one device.

    Raises:
        InputError: a sample is not finite points, or d, the device, or (where asked) the length differ.
    """
    x = check_points(x, name="x")
    y = check_points(y, x.shape[1], name="y")
    if x.device != y.device:
        raise InputError(f"x is on {x.device} and y on {y.device}, expected one device: move y with y.to(x.device)")
    if equal_length and len(x) != len(y):
        raise InputError(f"x has {len(x)} points and y has {len(y)}, expected as many: cut the longer one")
    return x.detach().double(), y.detach().double()
