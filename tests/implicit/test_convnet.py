import copy
import math

import pytest
import torch
from torch import nn

from cases import jacobian, normal, randomised
from pushforward.errors import InputError
from pushforward.implicit import LipschitzConv, build_network, describe_network
from pushforward.implicit.activations import ACTIVATIONS

SHAPE = (2, 4, 5)


def net(scale=1.0, **settings):
    settings = {"width": 6, "kernels": (3, 1, 3), "coeff": 0.9} | settings
    return randomised(LipschitzConv(SHAPE, **settings).double(), scale).eval()


def points(n=4):
    return normal(n, math.prod(SHAPE))


def dense(layer, channels, size):
    """The matrix of a convolution without its bias, column by column."""
    basis = torch.eye(channels * math.prod(size), dtype=torch.float64).view(-1, channels, *size)
    with torch.no_grad():
        return (layer(basis) - layer(torch.zeros_like(basis[:1]))).flatten(1).T


@pytest.mark.parametrize("kernels", [(3, 1, 3), (3, 3), (5, 1, 1, 3)])
@pytest.mark.parametrize("preactivation", [True, False])
@pytest.mark.parametrize("activation", ["sin", "lipswish"])
def test_it_is_the_composition_written_out(kernels, preactivation, activation):
    random = net(kernels=kernels, preactivation=preactivation, activation=activation)
    plain = ACTIVATIONS[activation]().double()  # a learned β is carried over below
    a = points().view(-1, *SHAPE)
    steps = [random.first, *random.activations]
    for step, layer, kernel in zip(steps, random.layers, kernels, strict=True):
        if not isinstance(step, nn.Identity):
            plain.load_state_dict(step.state_dict())
            a = plain(a)
        a = nn.functional.conv2d(a, layer.weight, layer.bias, padding=kernel // 2)
    assert isinstance(random.first, nn.Identity) is not preactivation
    torch.testing.assert_close(random(points()), a.flatten(1), rtol=1e-12, atol=1e-12)


def test_every_convolution_has_norm_c_at_the_size_of_the_images():
    random = net(scale=2.0)
    for layer in random.layers:
        found = torch.linalg.matrix_norm(dense(layer, layer.in_channels, SHAPE[1:]), 2)
        assert float(found) == pytest.approx(0.9, rel=1e-9)
    assert random.kappa == pytest.approx(0.9**3, rel=1e-9)


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_kappa_bounds_the_jacobian_and_difference_quotients(scale):
    random, x = net(scale), points(200)
    step = normal(200, 40, seed=1) * torch.logspace(-6, 1, 200, dtype=torch.float64)[:, None]
    quotients = (random(x + step) - random(x)).norm(dim=1) / step.norm(dim=1)
    jacobians = torch.linalg.matrix_norm(jacobian(random, x), 2)
    assert max(quotients.max(), jacobians.max()) <= random.kappa * (1 + 1e-9)
    assert scale == 1.0 or random.kappa < 0.5


def test_rows_do_not_see_each_other():
    random, x = net(), points(6)
    torch.testing.assert_close(random(x)[2:3], random(x[2:3]), rtol=0, atol=1e-14)


def test_a_shifted_image_has_a_shifted_answer():
    """Away from the border a convolution knows no place: what is flat keeps to channels, rows and columns."""
    random = randomised(LipschitzConv((1, 9, 9), 4).double()).eval()
    image = torch.zeros(1, 1, 9, 9).double()
    image[0, 0, 3, 2] = 2.0
    here, there = (random(i.flatten(1)).view(9, 9) for i in (image, image.roll((2, 3), (2, 3))))
    torch.testing.assert_close(there[3:8, 4:8], here[1:6, 1:5], rtol=0, atol=1e-14)


def test_a_new_network_is_almost_zero_and_its_description_rebuilds_it():
    new = LipschitzConv(SHAPE, 8, (3, 3), "sin", 0.7, False)
    x = points().float()
    assert new(x).abs().max() < 5e-3
    description = describe_network(new)
    assert description["kind"] == "conv"
    again = build_network(description)
    again.load_state_dict(new.state_dict())
    assert again.settings() == new.settings()
    assert torch.equal(again(x), new(x))
    assert torch.equal(copy.deepcopy(new)(x), new(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    assert net().to(dtype)(points().to(dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (4, 4)}, r"shape is \(4, 4\), expected channels, height and width"),
        ({"shape": (1, 4, -4)}, "three positive whole numbers"),
        ({"kernels": (3,)}, r"kernels are \(3,\), expected two or more odd sides"),
        ({"kernels": (3, 2, 3)}, r"kernels are \(3, 2, 3\), expected two or more odd sides"),
        ({"activation": "relu"}, r"activation 'relu' is unknown"),
        ({"coeff": 1.0}, r"coeff is 1.0, expected a number in \(0, 1\)"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(InputError, match=message):
        LipschitzConv(**({"shape": SHAPE} | change))


def test_kappa_in_evaluation_follows_the_weights_however_they_change():
    random = net()
    first = random.kappa
    assert random.kappa == first
    original = random.layers[0].parametrizations.weight.original
    with torch.no_grad():
        original.mul_(1e-3)
    small = random.kappa
    assert small == pytest.approx(first * float(torch.linalg.matrix_norm(dense(random.layers[0], 2, (4, 5)), 2)) / 0.9)
    original.data = 2e-3 * original.data / 1e-3  # as an average of the weights is put in their place
    assert random.kappa == pytest.approx(2 * small)
    assert copy.deepcopy(random).kappa == random.kappa


def test_frozen_is_the_same_map_in_another_precision_and_reaches_no_parameter():
    random, x = net(), points()
    single = random.effective().frozen(torch.float32)
    torch.testing.assert_close(single(x.float()).double(), random(x), rtol=1e-5, atol=1e-5)
    exact, point = random.effective().frozen(torch.float64), x.requires_grad_()
    torch.testing.assert_close(exact(point), random(x), rtol=0, atol=1e-14)
    exact(point).sum().backward()
    assert point.grad.abs().max() > 0
    assert all(p.grad is None for p in random.parameters())
