"""Wasserstein-2 distances: exact between samples, closed form between Gaussians, and sliced. Distances, not squares."""

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pushforward.errors import InputError
from pushforward.metrics.estimate import Estimate, check_pair, mean_and_se
from pushforward.shapes import Points

ASSIGNMENT_POINTS = 4000  # the assignment costs n³: about 1 s at 2000 points, 128 MB of costs at 4000


def w2(x: Points, y: Points) -> float:
    """The distance W2 (not its square) between the empirical laws of x and y [n, d], exact.

    By sorting for d = 1, else by optimal assignment. As an estimate of the distance between the laws behind the
    samples it is biased upwards, by order n^(−1/d) for d > 2.

    Raises:
        InputError: the samples are not finite points of one shape and device, or n is above 4000 with d > 1.
    """
    x, y = check_pair(x, y, equal_length=True)
    if x.shape[1] == 1:
        return math.sqrt(float(_sorted_square(x[:, 0], y[:, 0])))
    if len(x) > ASSIGNMENT_POINTS:
        raise InputError(
            f"x has {len(x)} points, expected at most {ASSIGNMENT_POINTS} for an exact assignment: "
            "take a part of them, or sliced_w2"
        )
    cost = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square().cpu().numpy()
    return math.sqrt(cost[linear_sum_assignment(cost)].mean())


def sliced_w2(x: Points, y: Points, projections: int = 200, generator: torch.Generator | None = None) -> Estimate:
    """The sliced distance √ E_θ W2²(θ·x, θ·y) over random unit vectors θ, x and y [n, d].

    The standard error is that of the average over ``projections`` directions, not of the sampling of x and y.

    Raises:
        InputError: the samples are not finite points of one shape and device, or fewer than two projections.
    """
    x, y = check_pair(x, y, equal_length=True)
    if projections < 2:
        raise InputError(f"projections is {projections}, expected at least 2: one direction has no spread")
    directions = torch.randn(projections, x.shape[1], dtype=torch.float64, generator=generator).to(x.device)
    directions = directions / directions.norm(dim=1, keepdim=True)
    squares = mean_and_se(torch.stack([_sorted_square(x @ theta, y @ theta) for theta in directions]))
    distance = math.sqrt(squares.value)
    return Estimate(distance, squares.se / (2 * distance) if distance else 0.0, projections)


def gaussian_w2(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> float:
    """The distance W2 (not its square) between N(mean1, cov1) and N(mean2, cov2), means [d], covariances [d, d].

    W2² = |mean1 − mean2|² + min over orthogonal O of ‖A − B O‖², with A, B the symmetric roots of the covariances.
    The minimum equals tr(C1 + C2 − 2 (C1^½ C2 C1^½)^½), but does not cancel for nearby covariances.

    Raises:
        InputError: shapes do not fit, or a covariance is not symmetric and positive semidefinite.
    """
    dim = len(mean1) if mean1.ndim == 1 else -1
    if mean2.shape != (dim,) or cov1.shape != (dim, dim) or cov2.shape != (dim, dim):
        found = ", ".join(str(tuple(t.shape)) for t in (mean1, cov1, mean2, cov2))
        raise InputError(f"mean1, cov1, mean2, cov2 have shapes {found}, expected (d,), (d, d), (d,), (d, d)")
    root1, root2 = _symmetric_root(cov1, "cov1"), _symmetric_root(cov2, "cov2")
    left, _, right = torch.linalg.svd(root2 @ root1)
    spread = (root1 - root2 @ (left @ right)).square().sum()
    return math.sqrt(float((mean1.double() - mean2.double()).square().sum() + spread))


def _sorted_square(x: Tensor, y: Tensor) -> Tensor:
    """W2² between two samples of numbers [n]: the monotone coupling is optimal on the line."""
    return (x.sort().values - y.sort().values).square().mean()


def _symmetric_root(cov: Tensor, name: str) -> Tensor:
    """The positive semidefinite A with A² = cov, in float64."""
    cov = cov.detach().double()
    size = float(cov.abs().max())
    if not math.isfinite(size) or float((cov - cov.T).abs().max()) > 1e-5 * size:
        raise InputError(
            f"{name} is not a finite symmetric matrix, expected a covariance: average it with its transpose"
        )
    values, vectors = torch.linalg.eigh((cov + cov.T) / 2)
    if float(values[0]) < -1e-5 * size:
        raise InputError(f"{name} has eigenvalue {float(values[0]):.3g}, expected none below zero: is it a covariance?")
    return vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
