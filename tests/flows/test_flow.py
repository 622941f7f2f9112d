import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from cases import generator, normal, student
from pushforward.errors import InputError
from pushforward.flows import Affine, Chain, Flow
from pushforward.flows.flow import standard_normal_log_prob


def test_standard_normal_log_prob():
    z = normal(5, 4)
    expected = MultivariateNormal(torch.zeros(4).double(), torch.eye(4).double()).log_prob(z)
    torch.testing.assert_close(standard_normal_log_prob(z), expected)


def test_samples_have_the_law_that_log_prob_says():
    data = student(2000, 2)
    flow = Flow(Affine.fit(data))
    draws = flow.sample(200_000, generator())
    torch.testing.assert_close(draws.mean(0), data.mean(0), rtol=0, atol=0.02)
    torch.testing.assert_close(torch.cov(draws.T), torch.cov(data.T, correction=0), rtol=0.02, atol=0.03)


def test_a_flow_without_tensors_is_the_standard_normal():
    flow = Flow(Chain(3))
    assert flow.dim == 3
    assert flow.sample(5, generator()).dtype == torch.float32
    torch.testing.assert_close(flow.log_prob(normal(4, 3)), standard_normal_log_prob(normal(4, 3)))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (normal(4, 2), r"x has shape \(4, 2\), expected \(n, 3\)"),
        (normal(3), r"x has shape \(3,\), expected \(n, 3\)"),
        (torch.ones(4, 3, dtype=torch.int64), "dtype torch.int64, expected a floating dtype"),
        (normal(4, 3).log(), "rows that are NaN or infinite"),
        (np.ones((4, 3)), "ndarray, expected a torch.Tensor"),
        (torch.empty(0, 3).double(), "x is empty"),
        (normal(4, 3, dtype=torch.float32), "x is torch.float32 on cpu, expected torch.float64 on cpu"),
    ],
)
def test_points_that_cannot_be_scored_are_named(x, message):
    with pytest.raises(InputError, match=message):
        Flow(Affine.fit(student(50, 3))).log_prob(x)


@pytest.mark.parametrize("n", [0, -1, 2.5])
def test_a_sample_needs_a_positive_count(n):
    with pytest.raises(InputError, match=f"n is {n}, expected a positive integer"):
        Flow(Chain(2)).sample(n)
