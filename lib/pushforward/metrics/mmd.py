"""Maximum mean discrepancy with a Gaussian kernel, and the permutation test that goes with it.

k(x, y) = exp(−|x − y|² / (2γ²)). Everything is computed in float64: the statistic is a small difference of means.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.metrics.estimate import check_pair
from pushforward.shapes import Points, check_points

MEDIAN_POINTS = 10_000  # 5·10⁷ distances: 0.4 GB in float32 with the copy that the median takes


class MMDTest(NamedTuple):
    """MMD² of n against m points beside its permutation threshold τ."""

    value: float
    threshold: float
    bandwidth: float
    n: int
    m: int
    unbiased: bool

    @property
    def rejects(self) -> bool:
        """Whether the samples can be told apart: value above threshold."""
        return self.value > self.threshold


def median_distance(x: Points) -> float:
    """Median (the lower one) Euclidean distance between two different rows of x [n, d].

    Above 10 000 rows, 10 000 evenly spaced ones are used.

    Raises:
        InputError: x is not a finite floating tensor (n, d), or has one row only.
    """
    x = check_points(x)
    if len(x) < 2:
        raise InputError("x has 1 point, expected at least 2: there is no distance to take")
    if len(x) > MEDIAN_POINTS:
        x = x[torch.linspace(0, len(x) - 1, MEDIAN_POINTS).long()]
    return float(torch.pdist(x.detach()).median())


# The kernel widths of xu2023, from the test set. MMD-c is a custom width, this one for 2-D laws.
BANDWIDTHS: dict[str, Callable[[Points], float]] = {
    "mmd-1": lambda test: 1.0,
    "mmd-m": median_distance,
    "mmd-c": lambda test: 0.1 * median_distance(test),
}


def mmd(x: Points, y: Points, bandwidth: float, unbiased: bool = True, chunk: int = 128) -> float:
    """MMD² between x [n, d] and y [m, d] with kernel width γ = ``bandwidth``.

    Unbiased (U-statistic): mean k over pairs i ≠ j of x, plus the same of y, minus 2 mean k(x, y); may be negative.
    Biased (V-statistic): the means include the diagonal, as published values do; under equality its mean is
    (1/n + 1/m)(1 − E k). Kernel rows are made ``chunk`` at a time.

    Raises:
        InputError: the samples are not finite points of one dimension and device, fewer than two points a sample,
            or a bandwidth that is not positive.
    """
    pooled = _pool(x, y, bandwidth)
    label = torch.zeros(len(pooled), 1, dtype=torch.float64, device=pooled.device)
    label[: len(x)] = 1
    return float(_statistics(pooled, label, unbiased, chunk))


def permutation_threshold(
    x: Points,
    y: Points,
    bandwidth: float,
    alpha: float = 0.05,
    permutations: int = 199,
    generator: torch.Generator | None = None,
    unbiased: bool = True,
    chunk: int = 128,
) -> float:
    """τ: MMD² of the same law exceeds it with probability at most ``alpha``; samples x [n, d], y [m, d].

    Pool both samples, deal them out again at random, recompute; τ is the ⌈(1 − alpha)(permutations + 1)⌉-th smallest
    value. Counting the observed labelling as one more permutation makes the level exact, and equal to alpha where
    alpha · (permutations + 1) is whole. Source: the level alpha = 0.05 is that of xu2023.

    Raises:
        InputError: as ``mmd``, alpha outside (0, 1), or too few permutations for alpha.
    """
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}, expected a level between 0 and 1, such as 0.05")
    rank = math.ceil((1 - alpha) * (permutations + 1) - 1e-9)
    if rank > permutations:
        raise InputError(
            f"{permutations} permutations cannot reach level {alpha}, expected at least {math.ceil(1 / alpha) - 1}"
        )
    pooled = _pool(x, y, bandwidth)
    labels = torch.zeros(len(pooled), permutations, dtype=torch.float64)
    for column in range(permutations):
        labels[torch.randperm(len(pooled), generator=generator)[: len(x)], column] = 1
    return float(_statistics(pooled, labels.to(pooled.device), unbiased, chunk).kthvalue(rank).values)


def mmd_test(
    test: Points,
    generated: Points,
    bandwidth_name: str,
    alpha: float = 0.05,
    permutations: int = 199,
    generator: torch.Generator | None = None,
    unbiased: bool = True,
) -> MMDTest:
    """MMD² of generated [m, d] against test points [n, d], with its threshold τ.

    ``bandwidth_name``: "mmd-1" (γ = 1), "mmd-m" (γ = median distance of the test points) or "mmd-c" (a tenth of it).

    Raises:
        InputError: as ``mmd`` and ``permutation_threshold``, or an unknown name.
    """
    if bandwidth_name not in BANDWIDTHS:
        raise InputError(f"bandwidth_name is {bandwidth_name!r}, expected one of {', '.join(BANDWIDTHS)}")
    width = BANDWIDTHS[bandwidth_name](test)
    value = mmd(test, generated, width, unbiased)
    threshold = permutation_threshold(test, generated, width, alpha, permutations, generator, unbiased)
    return MMDTest(value, threshold, width, len(test), len(generated), unbiased)


def _pool(x: Points, y: Points, bandwidth: float) -> Points:
    """Both samples on top of each other, centred (less cancellation) and scaled so that k = exp(−|u − v|²)."""
    x, y = check_pair(x, y)
    if min(len(x), len(y)) < 2:
        raise InputError(f"x has {len(x)} points and y has {len(y)}, expected at least 2 each")
    if not 0 < bandwidth < math.inf:
        raise InputError(f"bandwidth is {bandwidth}, expected a positive number: are all points the same?")
    pooled = torch.cat([x, y])
    return (pooled - pooled.mean(0)) / (math.sqrt(2) * bandwidth)


def _statistics(pooled: Points, labels: Tensor, unbiased: bool, chunk: int) -> Tensor:
    """MMD² [p] for each labelling, labels [n + m, p]: one for a row of the first sample, zero for the second.

    Every sum of k is a quadratic form in the labels: the kernel matrix is walked once for all of them.
    """
    n = float(labels[:, 0].sum())
    m = len(pooled) - n
    ones = torch.ones_like(labels[:, :1])
    product = _kernel_product(pooled, torch.cat([labels, ones], 1), chunk)
    rows = product[:, -1:]  # Σ_j k(i, j)
    within_x = (labels * product[:, :-1]).sum(0)
    from_x = (labels * rows).sum(0)
    across = from_x - within_x
    within_y = rows.sum() - from_x - across
    if unbiased:
        return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * across / (n * m)
    return (within_x + n) / n**2 + (within_y + m) / m**2 - 2 * across / (n * m)


def _kernel_product(points: Points, columns: Tensor, chunk: int) -> Tensor:
    """K @ columns without ever holding K, the kernel matrix with its diagonal set to zero; its upper half is enough."""
    square = points.square().sum(1)
    product = torch.zeros_like(columns)
    for start in range(0, len(points), chunk):
        stop = min(start + chunk, len(points))
        kernel = torch.addmm(-square[start:], points[start:stop], points[start:].T, alpha=2)
        kernel.sub_(square[start:stop, None]).exp_()
        kernel.diagonal().zero_()
        product[start:stop] += kernel @ columns[start:]
        product[stop:] += kernel[:, stop - start :].T @ columns[start:stop]
    return product
