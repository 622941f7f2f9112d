"""Entropy by quadrature against closed forms."""

import math

import pytest
import torch

from pushforward.distributions.quadrature import grid_entropy, grid_size, refined


def log_normal(x):
    return -0.5 * x.square().sum(1) - 0.5 * x.shape[1] * math.log(2 * math.pi)


@pytest.mark.parametrize("dim", [1, 2])
def test_gaussian_entropy(dim):
    high = torch.full((dim,), 9.0, dtype=torch.float64)
    value, error = grid_entropy(log_normal, -high, high, 0.5)
    exact = 0.5 * dim * math.log(2 * math.pi * math.e)
    assert value == pytest.approx(exact, abs=1e-11)
    assert 0 < error < 1e-9


def test_error_shows_a_coarse_grid():
    high = torch.full((1,), 9.0, dtype=torch.float64)
    value, error = grid_entropy(log_normal, -high, high, 3.0)
    exact = 0.5 * math.log(2 * math.pi * math.e)
    assert error > 1e-3
    assert abs(value - exact) < error


def test_zero_density_adds_nothing():
    def uniform(x):
        return torch.where((x[:, 0] > 0) & (x[:, 0] < 2), -math.log(2), -math.inf).double()

    low, high = torch.tensor([-1.0]), torch.tensor([3.0])
    assert grid_entropy(uniform, low, high, 1e-3).value == pytest.approx(math.log(2), abs=2e-3)


def test_grid_size_counts_the_finer_grid():
    assert grid_size(torch.tensor([0.0, 0.0]), torch.tensor([3.0, 6.0]), 1.5) == 4 * 7


def test_agreeing_values_keep_a_rounding_error():
    assert refined(2.0, 2.0).error > 0
    assert refined(2.0, 2.5) == (2.5, 0.5)
