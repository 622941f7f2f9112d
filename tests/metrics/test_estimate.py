import math

import pytest
import torch

from pushforward.errors import InputError, NonFinite
from pushforward.metrics.estimate import check_log_prob, check_pair, in_batches, mean_and_se


def test_mean_and_se_of_four_numbers():
    mean, se, n = mean_and_se(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert (mean, n) == (3.0, 4)
    assert se == pytest.approx(math.sqrt(14 / 3 / 4), rel=1e-15)  # sum of squares 4 + 1 + 0 + 9, n − 1 = 3


def test_mean_is_summed_in_float64():
    values = torch.full((10_000,), 0.1, dtype=torch.float32)
    assert mean_and_se(values).value == pytest.approx(float(values[0]), rel=1e-14)


@pytest.mark.parametrize("values", [torch.ones(1), torch.ones(0), torch.ones(3, 1)])
def test_too_few_or_wrong_shape(values):
    with pytest.raises(InputError, match=r"expected \(n,\) with n > 1"):
        mean_and_se(values)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_mean_refuses_non_finite(bad):
    with pytest.raises(NonFinite, match="1 of 3 values"):
        mean_and_se(torch.tensor([0.0, bad, 1.0]))


@pytest.mark.parametrize("batch", [1, 3, 7, 100])
def test_batches_join_in_order_without_gradients(batch):
    x = torch.arange(14.0, dtype=torch.float64, requires_grad=True).reshape(7, 2)
    out = in_batches(lambda part: part.sum(1), x, batch)
    assert torch.equal(out, x.sum(1)) and not out.requires_grad


def test_batch_must_be_positive():
    with pytest.raises(InputError, match="batch is 0"):
        in_batches(lambda part: part, torch.ones(3, 1), 0)


def test_log_prob_counts_each_kind_of_bad_row():
    rows = torch.tensor([0.0, math.nan, math.inf, -math.inf, math.nan])
    with pytest.raises(NonFinite, match=r"NaN in 2, \+inf in 1 and -inf in 1 of 5 rows, the first is row 1"):
        check_log_prob(rows)


def test_zero_density_passes_only_where_allowed():
    rows = torch.tensor([0.0, -math.inf])
    assert check_log_prob(rows, allow_zero_density=True) is rows
    with pytest.raises(NonFinite, match="-inf in 1 of 2"):
        check_log_prob(rows)
    with pytest.raises(NonFinite):
        check_log_prob(-rows, allow_zero_density=True)


def test_pair_is_one_space_and_where_asked_one_length():
    x, y = torch.ones(3, 2), torch.ones(4, 2)
    assert check_pair(x, y)[1].dtype == torch.float64
    with pytest.raises(InputError, match=r"y has shape \(4, 3\), expected \(n, 2\)"):
        check_pair(x, torch.ones(4, 3))
    with pytest.raises(InputError, match="x has 3 points and y has 4"):
        check_pair(x, y, equal_length=True)
    with pytest.raises(InputError, match="y has 1 of 3 rows"):
        check_pair(x, torch.tensor([[0.0, 0.0], [0.0, math.nan], [0.0, 0.0]]))
