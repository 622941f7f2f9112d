import math

import pytest
import torch

from cases import jacobian, normal, student
from pushforward.errors import InputError
from pushforward.flows import ActNorm, Chain, Flow, load_flow


def data(n=400, dim=6):
    return student(n, dim) * torch.tensor([1e3, 1.0, 1e-3, 5.0, 2.0, 0.1]).double()[:dim] + 3.0


def fitted(channels=None, dim=6):
    norm = ActNorm(dim, channels).double()
    norm.initialise(data(dim=dim))
    return norm


@pytest.mark.parametrize("enter", [lambda norm, x: norm(x), lambda norm, x: norm.forward_and_log_det(x)[0]])
def test_the_first_training_batch_gets_mean_zero_and_variance_one(enter):
    z = enter(ActNorm(6).double(), data()).detach()
    torch.testing.assert_close(z.mean(0), torch.zeros(6).double(), rtol=0, atol=1e-10)
    torch.testing.assert_close(z.var(0, correction=0), torch.ones(6).double(), rtol=1e-12, atol=0)


def test_a_channel_is_one_contiguous_run_of_coordinates():
    x = data()
    z = ActNorm(6, channels=2).double()(x).detach()
    for image in (z[:, :3], z[:, 3:]):
        assert abs(float(image.mean())) < 1e-12
        assert float(image.var(correction=0)) == pytest.approx(1, rel=1e-12)
    torch.testing.assert_close(z[:, 0] - z[:, 1], (x[:, 0] - x[:, 1]) / x[:, :3].std(correction=0))


def test_later_batches_do_not_move_it():
    norm = ActNorm(2).double()
    norm(data(dim=2))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm(5 + 7 * normal(50, 2))
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_evaluation_never_initialises():
    norm, x = ActNorm(2).double().eval(), data(dim=2)
    assert torch.equal(norm(x), x)
    assert not norm.initialised


@pytest.mark.parametrize("channels", [None, 1, 3])
def test_the_log_det_is_that_of_the_jacobian(channels):
    norm, x = fitted(channels), data(7)
    z, log_det = norm.forward_and_log_det(x)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobian(norm, x))[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(z, norm(x))


@pytest.mark.parametrize("channels", [None, 2])
def test_there_and_back(channels):
    norm, x = fitted(channels), data(30)
    torch.testing.assert_close(norm.inverse(norm(x)), x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm(norm.inverse(x)), x, rtol=1e-12, atol=1e-12)


def test_both_numbers_are_trained():
    norm, x = fitted(dim=2), data(5, 2)
    z, log_det = norm.forward_and_log_det(x)
    (log_det.sum() - z.sum()).backward()
    torch.testing.assert_close(norm.shift.grad, 5 * norm.log_scale.exp().detach())
    torch.testing.assert_close(norm.log_scale.grad, 5 - z.sum(0).detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_comes_back_from_disk_and_stays_initialised(tmp_path, dtype):
    block = ActNorm(4, channels=2).to(dtype)
    flow, x = Flow(Chain(4, [block])), normal(50, 4, dtype=dtype)
    block.initialise(3 + 2 * x)
    again = load_flow(flow.save(tmp_path))
    assert again.bijection.blocks[0].settings() == {"dim": 4, "channels": 2, "spread": 1.0}
    assert torch.equal(again.log_prob(x), flow.eval().log_prob(x))
    assert again.log_prob(x).dtype == dtype
    again.train().log_prob(5 * x)
    assert torch.equal(again.bijection.blocks[0].shift, block.shift)


@pytest.mark.parametrize("x", [torch.full((9, 2), 0.1).double(), normal(1, 2), normal(9, 2) * math.nan])
def test_a_batch_without_spread_is_an_error(x):
    with pytest.raises(InputError, match=r"channel 0 has standard deviation .* expected a positive one"):
        ActNorm(2).double()(x)


@pytest.mark.parametrize("channels", [0, 4, 7])
def test_channels_must_divide_the_dimension(channels):
    with pytest.raises(InputError, match=f"channels is {channels}, expected a divisor of the dimension 6"):
        ActNorm(6, channels)


def test_the_first_batch_is_given_the_spread():
    block, x = ActNorm(3, spread=7.0).double(), normal(200, 3) * 2 + 1
    z = block.train()(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(z.std(0, correction=0), torch.full((3,), 7.0).double(), rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="spread is 0.0, expected a positive"):
        ActNorm(3, spread=0.0)
