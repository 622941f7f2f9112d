import copy
import math

import pytest
import torch
from torch.nn.utils import parametrize

from cases import jacobian, normal, randomised
from pushforward.errors import InputError
from pushforward.implicit.lipschitz import LipschitzMLP, SpectralConv2d


def net(activation="sin", scale=1.0, coeff=0.9, widths=(12, 9), dim=3):
    return randomised(LipschitzMLP(dim, widths, activation, coeff).double(), scale).eval()


def original(layer):
    return layer.parametrizations.weight.original


def norm(weight):
    return float(torch.linalg.svdvals(weight.detach())[0])


def test_the_weights_are_only_shrunk_and_only_where_too_large():
    large, small = net(scale=1.0), net(scale=1e-2)
    for layer in large.layers:
        assert norm(layer.weight) == pytest.approx(0.9, rel=1e-12)
        torch.testing.assert_close(layer.weight, original(layer) * 0.9 / norm(original(layer)))
    for layer in small.layers:
        torch.testing.assert_close(layer.weight, original(layer), rtol=0, atol=0)


def test_forward_leaves_the_norms_alone_in_training_too():
    random = net().train()
    with torch.no_grad():
        original(random.layers[1]).mul_(normal(9, 12))
    before = {name: value.clone() for name, value in random.state_dict().items()}
    first, second = random(normal(5, 3)), random(normal(5, 3))
    assert torch.equal(first, second)
    assert all(torch.equal(before[name], value) for name, value in random.state_dict().items())


@pytest.mark.parametrize("activation", ["sin", "lipswish"])
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_kappa_bounds_difference_quotients_and_the_jacobian(activation, scale):
    random = net(activation, scale)
    x, step = normal(4000, 3), normal(4000, 3, seed=1)
    step = step * torch.logspace(-6, 1, 4000, dtype=torch.float64)[:, None]
    quotients = (random(x + step) - random(x)).norm(dim=1) / step.norm(dim=1)
    jacobians = torch.linalg.matrix_norm(jacobian(random, x), 2)
    assert max(quotients.max(), jacobians.max()) <= random.kappa * (1 + 1e-9)
    assert random.kappa == pytest.approx(math.prod(norm(layer.weight) for layer in random.layers), rel=1e-12)
    assert scale < 1 or random.kappa == pytest.approx(0.9**3)


def test_kappa_is_attained_where_the_singular_vectors_meet():
    """One-dimensional layers of weight 5, at zero: sin has slope 1 there, so the slope of g is c³ = κ."""
    chain = LipschitzMLP(1, (1, 1), "sin", 0.8).double()
    for parameter in chain.parameters():
        parameter.data.fill_(5.0 if parameter.ndim == 2 else 0.0)
    chain.eval()
    torch.testing.assert_close(jacobian(chain, torch.zeros(1, 1).double()).item(), chain.kappa)
    assert chain.kappa == pytest.approx(0.8**3)


def test_kappa_in_evaluation_does_not_trust_stale_vectors():
    stale = net()
    with torch.no_grad():
        original(stale.layers[1]).copy_(normal(9, 12, seed=77))
    assert norm(stale.layers[1].weight) > 0.91
    assert stale.kappa == pytest.approx(math.prod(norm(layer.weight) for layer in stale.layers))
    assert stale.eval().kappa == pytest.approx(0.9**3)


def test_kappa_in_training_is_the_estimate_and_right_once_the_norms_are():
    random, small = net().train(), net(scale=1e-2).train()
    assert random.kappa == pytest.approx(0.9**3)
    assert small.kappa == pytest.approx(math.prod(norm(original(layer)) for layer in small.layers))


@pytest.mark.parametrize("activation", ["sin", "lipswish"])
def test_the_jacobian_of_its_own_is_that_of_autograd_and_trains(activation):
    random, x = net(activation), normal(6, 3)
    value, found = random.value_and_jacobian(x)
    torch.testing.assert_close(value, random(x), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(found, jacobian(random, x))
    mine = torch.autograd.grad(found.square().sum(), random.parameters(), allow_unused=True)
    forward = torch.func.vmap(torch.func.jacfwd(lambda row: random(row[None])[0]))(x)
    theirs = torch.autograd.grad(forward.square().sum(), random.parameters(), allow_unused=True)
    for a, b in zip(mine[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(a, b)


def test_a_new_network_is_almost_zero_and_its_settings_rebuild_it():
    new = LipschitzMLP(3, (16, 16), "lipswish", 0.7)
    assert new(normal(50, 3, dtype=torch.float32)).abs().max() < 2e-3
    assert new.eval().kappa < 2e-3
    again = LipschitzMLP(**new.settings())
    again.load_state_dict(new.state_dict())
    x = normal(5, 3, dtype=torch.float32)
    assert again.settings() == {"dim": 3, "widths": [16, 16], "activation": "lipswish", "coeff": 0.7}
    assert torch.equal(again(x), new(x))
    assert torch.equal(copy.deepcopy(new)(x), new(x))


def test_it_may_be_normalised_once_for_many_evaluations():
    random, x = net(), normal(4, 3)
    with parametrize.cached(), torch.no_grad():
        assert random.layers[0].weight is random.layers[0].weight
        cached = random(x)
    assert torch.equal(cached, random(x))


def test_images_of_another_size_are_refused():
    with pytest.raises(InputError, match=r"images have size \(5, 4\), expected \(4, 5\)"):
        SpectralConv2d((2, 3), (4, 5)).double()(normal(1, 2, 5, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_the_bound_holds(dtype):
    random = randomised(LipschitzMLP(3, (32, 32), coeff=0.99), 1.0).to(dtype).eval()
    value, found = random.value_and_jacobian(normal(4, 3, dtype=dtype))
    assert value.dtype == found.dtype == random(normal(4, 3, dtype=dtype)).dtype == dtype
    assert random.kappa == pytest.approx(0.99**3, rel=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"widths": ()}, "widths is empty"),
        ({"activation": "relu"}, r"activation 'relu' is unknown, expected one of \['lipswish', 'sin'\]"),
        ({"coeff": 1.0}, r"coeff is 1.0, expected a number in \(0, 1\)"),
        ({"coeff": math.nan}, "coeff is nan"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(InputError, match=message):
        LipschitzMLP(2, **change)


def test_an_even_kernel_is_named():
    with pytest.raises(InputError, match="kernel is 2, expected an odd side"):
        SpectralConv2d((1, 1), (4, 4), 2)
