import math

import pytest
import torch

from cases import generator, normal
from pushforward.errors import InputError
from pushforward.flows import Affine, Chain, Flow, LabelledShift, log_prob_given_labels, sample_given_labels

SIGMA = math.sqrt(4.65 * math.sqrt(2) / 8)
LABELS = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
Y = torch.cat([normal(3, 4), LABELS], 1)


def test_features_are_gaussian_about_the_mean_of_their_label():
    shift = LabelledShift(2)
    mean = torch.tensor([[-1, -1, 1, 1], [1, 1, 1, 1], [1, 1, -1, -1]], dtype=torch.float64) * 4.65 / 2
    law = torch.distributions.Normal(mean, torch.full_like(mean, SIGMA))
    torch.testing.assert_close(shift.means(LABELS), mean)
    expected = law.log_prob(Y[:, :4]).sum(1)
    torch.testing.assert_close(log_prob_given_labels(Flow(shift), Y, 2), expected)
    torch.testing.assert_close(shift.potential(Y), -expected - 4 * math.log(SIGMA) - 2 * math.log(2 * math.pi))
    torch.testing.assert_close(shift(Y)[:, 4:], LABELS)
    torch.testing.assert_close(shift.inverse(shift(Y)), Y)


def test_the_distance_of_the_means_sets_the_variance():
    assert LabelledShift(2).sigma == pytest.approx(SIGMA)
    shift = LabelledShift(3, features=1, gap=2.0)
    assert shift.sigma == pytest.approx(0.5) and shift.dim == 6
    own = LabelledShift(2, gap=2.4, sigma=1.3)
    assert own.sigma == 1.3 and LabelledShift(**own.settings()).settings() == own.settings()
    law = torch.distributions.Normal(own.means(LABELS), 1.3)
    torch.testing.assert_close(log_prob_given_labels(Flow(own), Y, 2), law.log_prob(Y[:, :4]).sum(1))
    assert shift.means(torch.tensor([[0.0, 1.0, 0.0]])).tolist() == [[-1.0, 1.0, -1.0]]


def test_draws_have_the_labels_that_were_asked_for():
    scale = Affine.from_moments(torch.zeros(6), torch.diag(torch.tensor([4.0, 4.0, 1.0, 1.0, 1.0, 1.0]))).double()
    flow = Flow(Chain(6, [scale, LabelledShift(2)])).eval()
    labels = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(4000, -1)
    x = sample_given_labels(flow, labels, generator())
    assert torch.equal(x[:, 4:], labels) and x.dtype == torch.float64
    spread = torch.tensor([2.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    mean = spread * 4.65 / 2 * torch.tensor([1.0, 1.0, -1.0, -1.0])
    torch.testing.assert_close(x[:, :4].mean(0), mean, rtol=0, atol=4 * 2 * SIGMA / 4000**0.5)
    torch.testing.assert_close(x[:, :4].std(0), SIGMA * spread, rtol=0.05, atol=0)
    assert torch.equal(x, sample_given_labels(flow, labels, generator()))


@pytest.mark.parametrize("settings", [{"nodes": 0}, {"nodes": 2, "features": 0}, {"nodes": 2, "gap": 0.0}])
def test_bad_settings_are_named(settings):
    with pytest.raises(InputError, match="expected 1 or more, a positive gap"):
        LabelledShift(**settings)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.inf])
def test_a_sigma_that_is_none_is_named(sigma):
    with pytest.raises(InputError, match=f"sigma is {sigma}, expected a positive number"):
        LabelledShift(2, sigma=sigma)


@pytest.mark.parametrize(("flow", "found"), [(LabelledShift(2), r"\[2\]"), (Affine(6), r"\[\]")], ids=["nodes", "none"])
def test_a_flow_of_other_labels_has_no_density_given_them(flow, found):
    with pytest.raises(InputError, match=f"nodes is 3, expected a flow with one LabelledShift, .* it has {found}"):
        log_prob_given_labels(Flow(flow.double()), Y, 3)


@pytest.mark.parametrize("labels", [torch.zeros(3), torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, 6)])
def test_labels_of_another_form_are_named(labels):
    with pytest.raises(InputError, match=r"expected a floating \(n, nodes\) with fewer than 6 nodes"):
        sample_given_labels(Flow(LabelledShift(2)), labels)
