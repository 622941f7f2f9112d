import math

import pytest
import torch

from cases import normal
from pushforward.errors import InputError
from pushforward.latent import VAE, VAENet


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 7, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_become_codes_and_codes_images(shape, dtype):
    network = VAENet(VAE(latent=6, channels=(4, 5, 3)), shape).to(dtype)
    x = torch.rand(3, math.prod(shape), dtype=dtype)
    mean, log_sd = network.encode(x)
    assert mean.shape == log_sd.shape == (3, 6) and mean.dtype == dtype
    back = network.decode(mean)
    assert back.shape == x.shape and back.dtype == dtype
    assert 0 < back.min() and back.max() < 1


def test_each_image_has_a_code_of_its_own():
    network = VAENet(VAE(latent=2, channels=(4,)), (1, 6, 6)).double()
    x = torch.rand(5, 36, dtype=torch.float64)
    mean, log_sd = network.encode(x)
    for i in range(5):
        alone = network.encode(x[i : i + 1])
        torch.testing.assert_close(alone[0], mean[i : i + 1])
        torch.testing.assert_close(alone[1], log_sd[i : i + 1])
    assert (mean[0] - mean[1]).abs().min() > 1e-6
    z = normal(5, 2)
    torch.testing.assert_close(network.decode(z)[2:3], network.decode(z[2:3]))


def test_every_parameter_matters():
    network = VAENet(VAE(latent=3, channels=(4, 5)), (2, 6, 6)).double()
    mean, log_sd = network.encode(torch.rand(4, 72, dtype=torch.float64))
    network.decode(mean + log_sd.exp()).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_a_given_noise_is_kept_and_not_learned():
    assert VAENet(VAE(channels=(4,)), (1, 8, 8)).log_noise is None
    network = VAENet(VAE(channels=(4,), noise=0.1), (1, 8, 8)).double()
    assert network.log_noise.exp().item() == pytest.approx(0.1)
    assert "log_noise" not in dict(network.named_parameters())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"latent": 0}, "latent is 0"),
        ({"channels": ()}, r"channels are \(\)"),
        ({"channels": (4, 0)}, r"channels are \(4, 0\)"),
        ({"beta": -1.0}, "beta is -1.0"),
        ({"beta": math.nan}, "beta is nan"),
        ({"noise": 0.0}, "noise is 0.0"),
    ],
)
def test_settings_out_of_range_are_named(wrong, message):
    with pytest.raises(InputError, match=message):
        VAE(**wrong)


def test_lists_of_a_yaml_file_are_settings_too():
    assert VAE(channels=[8, 16]) == VAE(channels=(8, 16))
