"""The determinant of a block's Jacobian, and its logarithm in training."""

import torch
from torch import Tensor

from pushforward.shapes import PerPoint

BARRIER = 0.05  # below this determinant the training log goes on as a straight line


def determinant(matrix: Tensor) -> PerPoint:
    """det of [n, d, d] -> [n]."""
    if matrix.shape[-1] == 2:  # a general LU for 2 × 2 blocks costs more than the rest of the step
        return matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]
    return torch.linalg.det(matrix)


def log_with_barrier(determinant: Tensor) -> Tensor:
    """log of each determinant, below 0.05 its tangent there: a barrier that pushes folds back."""
    return determinant.clamp_min(BARRIER).log() + (determinant - BARRIER).clamp_max(0) / BARRIER
