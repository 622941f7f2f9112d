import math

import pytest
import torch

from cases import jacobian, normal
from pushforward.errors import InputError
from pushforward.flows import Chain, Flow, Logit, load_flow
from pushforward.metrics import integral


def unit(n=50, dim=3):
    return torch.rand(n, dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_known_values():
    """x = 0, 1/2, 1 at α = 0.05: ±ln 19 at the ends, 0 in the middle."""
    z = Logit(3)(torch.tensor([[0.0, 0.5, 1.0]]).double())[0]
    torch.testing.assert_close(z, torch.tensor([-math.log(19), 0, math.log(19)]).double())


@pytest.mark.parametrize("alpha", [1e-6, 0.05, 0.4])
def test_the_log_det_is_that_of_the_jacobian(alpha):
    logit, x = Logit(3, alpha), unit()
    z, log_det = logit.forward_and_log_det(x)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobian(logit, x))[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(logit.inverse(z), x, rtol=0, atol=1e-14)


def test_the_slope_in_the_middle_is_known():
    """dz/dx = (1 − 2α)/(s (1 − s)) = 4 (1 − 2α) at x = 1/2."""
    log_det = Logit(2, 0.1).forward_and_log_det(torch.full((1, 2), 0.5).double())[1]
    assert log_det.item() == pytest.approx(2 * math.log(3.2), abs=1e-14)


def test_the_law_is_a_density_and_its_draws_stay_near_the_unit_square():
    alpha = 0.05
    flow, reach = Flow(Logit(2, alpha)), alpha / (1 - 2 * alpha)
    span = (-reach + 1e-6, 1 + reach - 1e-6)
    assert integral(flow.double(), (span, span), 400) == pytest.approx(1, abs=1e-3)
    draws = Logit(1).inverse(torch.tensor([[-1e3], [1e3]]))
    torch.testing.assert_close(draws, torch.tensor([[-reach], [1 + reach]]))


def test_fit_takes_grey_values_only():
    assert Logit.fit(unit()).settings() == {"dim": 3, "alpha": 0.05}
    with pytest.raises(InputError, match=r"x lies in \[.*\], expected \[0, 1\]: divide by the number of grey levels"):
        Logit.fit(normal(9, 3))


def test_alpha_comes_back_from_disk(tmp_path):
    flow = Flow(Chain(3, [Logit(3, 0.2)]))
    again = load_flow(flow.save(tmp_path))
    assert torch.equal(again.log_prob(unit()), flow.log_prob(unit()))


@pytest.mark.parametrize("x", [[[1.06]], [[-0.06]], [[math.nan]], [[0.5], [255.0]]])
def test_points_beyond_its_reach_are_an_error(x):
    with pytest.raises(InputError, match=r"x has values from .*, expected \[0, 1\]"):
        Logit(1)(torch.tensor(x))


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1.0, math.nan])
def test_alpha_is_below_a_half(alpha):
    with pytest.raises(InputError, match=r"alpha is .*, expected a number in \(0, 1/2\)"):
        Logit(2, alpha)
