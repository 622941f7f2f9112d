"""What is measured, with its error bar."""

from pushforward.metrics.estimate import Estimate, mean_and_se
from pushforward.metrics.geometry import RoundTrip, density_grid, integral, movement, movement_ratio, round_trip
from pushforward.metrics.images import DrawnEstimate, bits_per_dim, nll_over_draws
from pushforward.metrics.likelihood import check_excess, kl_to_truth, log_probs, nll, nll_excess, paired_kl
from pushforward.metrics.mmd import (
    BANDWIDTHS,
    MMDTest,
    median_distance,
    mmd,
    mmd_test,
    mmd_tests,
    permutation_threshold,
)
from pushforward.metrics.movements import block_distances, variation
from pushforward.metrics.wasserstein import gaussian_w2, sliced_w2, w2

__all__ = [
    "BANDWIDTHS",
    "DrawnEstimate",
    "Estimate",
    "MMDTest",
    "RoundTrip",
    "bits_per_dim",
    "block_distances",
    "check_excess",
    "density_grid",
    "gaussian_w2",
    "integral",
    "kl_to_truth",
    "log_probs",
    "mean_and_se",
    "median_distance",
    "mmd",
    "mmd_test",
    "mmd_tests",
    "movement",
    "movement_ratio",
    "nll",
    "nll_excess",
    "nll_over_draws",
    "paired_kl",
    "permutation_threshold",
    "round_trip",
    "sliced_w2",
    "variation",
    "w2",
]
