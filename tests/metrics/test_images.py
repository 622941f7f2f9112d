import math

import pytest
import torch
from torch import nn

from cases import generator, normal
from pushforward.errors import InputError, NonFinite
from pushforward.flows import Affine, Flow, ImplicitBlock, with_log_det
from pushforward.implicit import Geometric, Roulette, Truncated
from pushforward.metrics import Estimate, bits_per_dim, nll, nll_over_draws

DIM = 70  # above that at which evaluation is exact


class Scaling(nn.Module):
    """g(x) = a x, so that ln det(I + J) = d ln(1 + a), and a probe of signs gives d times the series exactly."""

    def __init__(self, slope, dim=DIM):
        super().__init__()
        self.dim, self.kappa = dim, abs(slope)
        self.slope = nn.Parameter(torch.tensor(slope, dtype=torch.float64))

    def forward(self, x):
        return self.slope * x


def residual(slope=0.4, dim=DIM, log_det=None):
    return Flow(ImplicitBlock(Scaling(slope, dim), log_det=log_det or Roulette(Geometric(0.5), 20))).eval()


def exact(slope, x):
    """−log N((1 + a) x; 0, I) − d ln(1 + a), a point each."""
    d = x.shape[1]
    return 0.5 * ((1 + slope) * x).square().sum(1) + 0.5 * d * math.log(2 * math.pi) - d * math.log1p(slope)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_uniform_values_have_the_bits_of_their_count(levels):
    """x uniform on [0, 1]^d has NLL 0: log2(levels) bits a dimension."""
    assert bits_per_dim(Estimate(0.0, 0.0, 9), 7, -7 * math.log(levels)).value == pytest.approx(math.log2(levels))


def test_nats_become_bits():
    found = bits_per_dim(Estimate(-3.0, 0.2, 50), 12, -12 * math.log(256))
    assert found.value == pytest.approx(8 - 3.0 / (12 * math.log(2)))
    assert found.se == pytest.approx(0.2 / (12 * math.log(2)))
    assert found.n == 50


def test_a_density_of_known_values_codes_them_at_their_entropy():
    """Values 0 and 1 with p = 3/4 and 1/4, dequantised: the density is 2p on each half, the bits are H(1/4)."""
    entropy = -(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    h2 = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert bits_per_dim(Estimate(entropy, 0.0, 9), 1, -math.log(2)).value == pytest.approx(h2)


def test_many_draws_come_to_the_exact_value():
    x = normal(20, DIM)
    found = nll_over_draws(residual(-0.6, log_det=Roulette(Geometric(0.5), 2)), x, 400, generator())
    assert found.draws == 400 and found.n == 20
    assert 0 < found.draw_se < found.se
    assert abs(found.value - float(exact(-0.6, x).mean())) < 4 * found.draw_se


def test_twenty_exact_terms_leave_little_to_chance():
    x = normal(50, DIM)
    rough = nll_over_draws(residual(-0.6, log_det=Roulette(Geometric(0.5), 2)), x, 20, generator())
    fine = nll_over_draws(residual(-0.6), x, 20, generator())
    assert fine.draw_se < 1e-2 * rough.draw_se
    assert fine.value == pytest.approx(float(exact(-0.6, x).mean()), abs=1e-3)


def test_the_error_joins_points_and_draws():
    x = normal(30, DIM)
    flow = residual(-0.6, log_det=Roulette(Geometric(0.5), 2))
    found = nll_over_draws(flow, x, 5, generator(), batch=30)
    points = exact(-0.6, x).std() / math.sqrt(30)  # a draw moves all points of a batch alike
    assert found.se == pytest.approx(math.hypot(float(points), found.draw_se), rel=1e-9)


def test_draws_follow_the_generator_alone():
    flow, x = residual(-0.6, log_det=Roulette(Geometric(0.5), 1)), normal(8, DIM)
    first, again, other = (nll_over_draws(flow, x, 3, generator(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first.value != other.value
    assert flow.bijection.generator is None


def test_an_exact_flow_has_no_error_of_draws():
    flow, x = residual(dim=3), normal(40, 3)
    found, plain = nll_over_draws(flow, x, 2, generator()), nll(flow, x)
    assert found[:3] == pytest.approx(plain)
    assert found.draw_se == 0


def test_another_estimator_is_put_into_a_copy():
    flow, x = residual(-0.5, log_det=Truncated(1)), normal(9, DIM)
    other = with_log_det(flow, Truncated(60))
    assert flow.bijection.log_det == Truncated(1)
    torch.testing.assert_close(-other.log_prob(x).detach(), exact(-0.5, x), rtol=1e-12, atol=0)
    torch.testing.assert_close(
        other.log_prob(x) - flow.log_prob(x), torch.full((9,), DIM * (math.log(0.5) + 0.5)).double()
    )


def test_a_flow_without_implicit_blocks_is_left_as_it_is():
    flow, x = Flow(Affine.fit(normal(50, 3))), normal(9, 3)
    assert torch.equal(with_log_det(flow, Truncated(1)).log_prob(x), flow.log_prob(x))


def test_one_draw_has_no_spread():
    with pytest.raises(InputError, match="draws is 1, expected at least 2"):
        nll_over_draws(residual(), normal(5, DIM), 1, generator())


def test_a_density_that_is_not_finite_is_an_error():
    flow = residual(dim=2)
    with torch.no_grad():
        flow.bijection.g_x.slope.fill_(-1.0)
    with pytest.raises(NonFinite, match="log_prob is NaN in 0, \\+inf in 0 and -inf in 5 of 5 rows"):
        nll_over_draws(flow, normal(5, 2), 2, generator())


@pytest.mark.parametrize("dim", [0, -3, 2.0])
def test_a_dimension_is_a_positive_whole_number(dim):
    with pytest.raises(InputError, match="dim is .*, expected a positive whole number"):
        bits_per_dim(Estimate(0.0, 0.0, 9), dim, 0.0)
