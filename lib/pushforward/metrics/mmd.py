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
    return float(_sums(pooled, _observed(pooled, len(x)), chunk).statistic(unbiased))


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
    rank = _rank(alpha, permutations)
    pooled = _pool(x, y, bandwidth)
    labels = _dealt(pooled, len(x), permutations, generator)
    return _threshold(_sums(pooled, labels, chunk).statistic(unbiased), rank)


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
    both = mmd_tests(test, generated, bandwidth_name, alpha, permutations, generator)
    return both[0] if unbiased else both[1]


def mmd_tests(
    test: Points,
    generated: Points,
    bandwidth_name: str,
    alpha: float = 0.05,
    permutations: int = 199,
    generator: torch.Generator | None = None,
) -> tuple[MMDTest, MMDTest]:
    """``mmd_test`` of the unbiased and of the biased estimator, over the same permutations and in one walk.

    Raises:
        InputError: as ``mmd_test``.
    """
    if bandwidth_name not in BANDWIDTHS:
        raise InputError(f"bandwidth_name is {bandwidth_name!r}, expected one of {', '.join(BANDWIDTHS)}")
    width = BANDWIDTHS[bandwidth_name](test)
    rank = _rank(alpha, permutations)
    pooled = _pool(test, generated, width)
    labels = torch.cat([_observed(pooled, len(test)), _dealt(pooled, len(test), permutations, generator)], 1)
    sums = _sums(pooled, labels)
    found = ((sums.statistic(unbiased), unbiased) for unbiased in (True, False))
    unbiased, biased = (
        MMDTest(float(values[0]), _threshold(values[1:], rank), width, len(test), len(generated), flag)
        for values, flag in found
    )
    return unbiased, biased


def _pool(x: Points, y: Points, bandwidth: float) -> Points:
    """Both samples on top of each other, centred (less cancellation) and scaled so that k = exp(−|u − v|²)."""
    x, y = check_pair(x, y)
    if min(len(x), len(y)) < 2:
        raise InputError(f"x has {len(x)} points and y has {len(y)}, expected at least 2 each")
    if not 0 < bandwidth < math.inf:
        raise InputError(f"bandwidth is {bandwidth}, expected a positive number: are all points the same?")
    pooled = torch.cat([x, y])
    return (pooled - pooled.mean(0)) / (math.sqrt(2) * bandwidth)


def _rank(alpha: float, permutations: int) -> int:
    """Which of the sorted permuted values is the threshold."""
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}, expected a level between 0 and 1, such as 0.05")
    rank = math.ceil((1 - alpha) * (permutations + 1) - 1e-9)
    if rank > permutations:
        raise InputError(
            f"{permutations} permutations cannot reach level {alpha}, expected at least {math.ceil(1 / alpha) - 1}"
        )
    return rank


def _threshold(values: Tensor, rank: int) -> float:
    return float(values.kthvalue(rank).values)


def _observed(pooled: Points, n: int) -> Tensor:
    """The labelling [n + m, 1] of the samples as they are: one for the first n rows, zero for the rest."""
    return (torch.arange(len(pooled), device=pooled.device) < n).to(pooled)[:, None]


def _dealt(pooled: Points, n: int, permutations: int, generator: torch.Generator | None) -> Tensor:
    """A random labelling [n + m] a column, drawn on the CPU."""
    labels = torch.zeros(len(pooled), permutations, dtype=torch.float64)
    for column in range(permutations):
        labels[torch.randperm(len(pooled), generator=generator)[:n], column] = 1
    return labels.to(pooled.device)


class _Sums(NamedTuple):
    """Sums of k over ordered pairs of different points, a number a labelling [p], and the samples' sizes."""

    within_x: Tensor
    within_y: Tensor
    across: Tensor
    n: float
    m: float

    def statistic(self, unbiased: bool) -> Tensor:
        """MMD² [p]; the biased one has the diagonal too, where k = 1."""
        n, m, across = self.n, self.m, 2 * self.across / (self.n * self.m)
        if unbiased:
            return self.within_x / (n * (n - 1)) + self.within_y / (m * (m - 1)) - across
        return (self.within_x + n) / n**2 + (self.within_y + m) / m**2 - across


def _sums(pooled: Points, labels: Tensor, chunk: int = 128) -> _Sums:
    """The sums for each labelling, labels [n + m, p]: one for a row of the first sample, zero for the second.

    Every one is a quadratic form in the labels: the kernel matrix, without its diagonal, is walked once for all of
    them, each pair of points met once, and never held.
    """
    square = pooled.square().sum(1)
    within_x, rows = torch.zeros_like(labels[0]), torch.zeros_like(square)  # labelsᵀ K labels, and K 1
    for start in range(0, len(pooled), chunk):
        stop = min(start + chunk, len(pooled))
        kernel = torch.addmm(-square[start:], pooled[start:stop], pooled[start:].T, alpha=2)
        kernel.sub_(square[start:stop, None]).exp_()
        kernel.diagonal().zero_()
        later = kernel[:, stop - start :]  # its transpose is left of the diagonal block: it counts twice
        rows[start:stop] += kernel.sum(1)
        rows[stop:] += later.sum(0)
        later.mul_(2)
        within_x += (labels[start:stop] * (kernel @ labels[start:])).sum(0)
    n = float(labels[:, 0].sum())
    across = labels.T @ rows - within_x
    return _Sums(within_x, rows.sum() - within_x - 2 * across, across, n, len(pooled) - n)
