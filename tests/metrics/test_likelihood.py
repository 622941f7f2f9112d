import math

import pytest
import torch
from torch import nn

from pushforward.distributions.base import Entropy
from pushforward.errors import InputError, NonFinite, NotInvertible
from pushforward.flows.bijection import Bijection
from pushforward.flows.flow import Flow
from pushforward.metrics.estimate import Estimate, mean_and_se
from pushforward.metrics.likelihood import check_excess, kl_to_truth, log_probs, nll, nll_excess, paired_kl
from pushforward.seeds import stream


class Standardise(Bijection):
    """z = (x − mean) / std in every coordinate; ``lie`` is added to the log-determinant."""

    def __init__(self, dim: int, mean: float, std: float, lie: float = 0.0) -> None:
        super().__init__()
        self.dim, self.mean, self.lie = dim, mean, lie
        self.std = nn.Parameter(torch.tensor(std, dtype=torch.float64))

    def forward(self, x):
        return (x - self.mean) / self.std.to(x)

    def inverse(self, z):
        return z * self.std.to(z) + self.mean

    def forward_and_log_det(self, x):
        return self(x), (self.lie - self.dim * self.std.log()).to(x).expand(len(x))


MEAN, STD, DIM = 0.3, 1.4, 2
TRUTH = Flow(Standardise(DIM, 0.0, 1.0))
FLOW = Flow(Standardise(DIM, MEAN, STD))
ENTROPY = Entropy(DIM / 2 * (1 + math.log(2 * math.pi)), 0.0)
KL = DIM * (math.log(STD) + (1 + MEAN**2) / (2 * STD**2) - 0.5)  # KL(N(0, 1) ‖ N(m, s²)) per coordinate


def draws(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, DIM, dtype=torch.float64, generator=stream(seed, "likelihood test"))


def test_nll_of_two_points_by_hand():
    x = torch.tensor([[0.0, 0.0], [2.0, 1.0]], dtype=torch.float64)
    value, se, n = nll(TRUTH, x)
    assert value == pytest.approx(math.log(2 * math.pi) + 5 / 4, rel=1e-14)
    assert se == pytest.approx(5 / 4, rel=1e-14)  # |0 − 5/2| / 2
    assert n == 2


def test_nll_is_within_4_standard_errors_of_the_cross_entropy():
    estimate = nll(FLOW, draws(4000))
    assert abs(estimate.value - ENTROPY.value - KL) < 4 * estimate.se
    assert 0.005 < estimate.se < 0.02


@pytest.mark.parametrize("batch", [1, 64, 1000])
def test_batches_change_nothing(batch):
    x = draws(300)
    assert nll(FLOW, x, batch=batch) == nll(FLOW, x)
    assert kl_to_truth(TRUTH, FLOW, x, batch=batch) == kl_to_truth(TRUTH, FLOW, x)


def test_float32_points_are_evaluated_in_float32():
    seen = []

    class Spy:
        def log_prob(self, x):
            seen.append((x.dtype, torch.is_grad_enabled()))
            return -x.square().sum(1)

    nll(Spy(), draws(10).float())
    assert seen == [(torch.float32, False)]


def test_quantities_from_log_densities_taken_once_are_those_of_the_densities():
    x = draws(300)
    learned = log_probs(FLOW, x, batch=7)
    assert torch.allclose(learned, FLOW.log_prob(x), rtol=1e-13)
    assert mean_and_se(-learned) == pytest.approx(nll(FLOW, x), rel=1e-12)
    assert paired_kl(log_probs(TRUTH, x), learned) == pytest.approx(kl_to_truth(TRUTH, FLOW, x), rel=1e-10)


def test_kl_to_truth_matches_the_closed_form_with_a_smaller_error_bar():
    x = draws(4000)
    paired = kl_to_truth(TRUTH, FLOW, x)
    unpaired = nll_excess(nll(FLOW, x), ENTROPY)
    assert abs(paired.value - KL) < 4 * paired.se
    assert abs(unpaired.value - KL) < 4 * unpaired.se
    # log p − log q = const − (1 − 1/s²)|x|²/2 + ...: its variance per coordinate, against that of −log q
    slope, tilt = (1 - STD**-2) / 2, MEAN / STD**2
    assert paired.se == pytest.approx(math.sqrt(DIM * (2 * slope**2 + tilt**2) / 4000), rel=0.1)
    near = Flow(Standardise(DIM, 0.02, 1.02))
    assert kl_to_truth(TRUTH, near, x).se < nll(near, x).se / 15


def test_kl_of_the_truth_to_itself_is_zero():
    assert kl_to_truth(TRUTH, TRUTH, draws(50)) == Estimate(0.0, 0.0, 50)


def test_excess_joins_both_errors():
    assert nll_excess(Estimate(3.0, 0.03, 100), Entropy(2.5, 0.04)) == pytest.approx((0.5, 0.05, 100))


def test_guard_passes_the_truth_and_a_worse_flow():
    x = draws(2000)
    for flow in (TRUTH, FLOW):
        for excess in (nll_excess(nll(flow, x), ENTROPY), kl_to_truth(TRUTH, flow, x)):
            assert check_excess(excess) is excess


def test_guard_stops_a_log_determinant_that_is_too_large():
    x, liar = draws(2000), Flow(Standardise(DIM, 0.0, 1.0, lie=0.2))
    with pytest.raises(NotInvertible, match="below the entropy.*no density can"):
        check_excess(nll_excess(nll(liar, x), ENTROPY))
    small = Flow(Standardise(DIM, 0.0, 1.0, lie=0.001))  # hidden in the spread of the NLL, not in the paired difference
    check_excess(nll_excess(nll(small, x), ENTROPY))
    with pytest.raises(NotInvertible, match="no density can"):
        check_excess(kl_to_truth(TRUTH, small, x))


def test_guard_allows_three_standard_errors_and_no_more():
    check_excess(Estimate(-0.1499, 0.05, 9))
    with pytest.raises(NotInvertible):
        check_excess(Estimate(-0.1501, 0.05, 9))
    with pytest.raises(NotInvertible):
        check_excess(Estimate(math.nan, 0.03, 9))


@pytest.mark.parametrize("value, kind", [(math.nan, "NaN in 2"), (math.inf, r"\+inf in 2"), (-math.inf, "-inf in 2")])
def test_bad_log_densities_are_counted(value, kind):
    class Broken:
        def log_prob(self, x):
            return torch.where(x[:, 0] > 3, value, 0.0)

    x = torch.tensor([[0.0], [4.0], [1.0], [5.0]])
    with pytest.raises(NonFinite, match=f"{kind}.*of 4 rows, the first is row 1"):
        nll(Broken(), x, batch=2)
    with pytest.raises(NonFinite, match=kind):
        kl_to_truth(Broken(), Broken(), x)


def test_nan_points_are_refused():
    x = draws(5)
    x[2, 1] = math.nan
    with pytest.raises(InputError, match="row 2"):
        nll(FLOW, x)
    with pytest.raises(InputError, match="row 2"):
        kl_to_truth(TRUTH, FLOW, x)
