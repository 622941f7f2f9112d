import math

import pytest
import torch

from cases import normal, randomised
from pushforward.implicit import spectral
from pushforward.implicit.lipschitz import LipschitzMLP, SpectralConv2d


def net(widths=(20, 20)):
    return randomised(LipschitzMLP(3, widths, coeff=0.9).double(), 1.0).eval()


def original(layer):
    return layer.parametrizations.weight.original


def norm(weight):
    return float(torch.linalg.svdvals(weight.detach())[0])


def convolution(inputs=2, outputs=3, size=(4, 5), kernel=3, scale=1.0, coeff=0.9):
    return randomised(SpectralConv2d((inputs, outputs), size, kernel, coeff).double(), scale).eval()


def dense(layer, weight=None):
    """The matrix of the convolution at the layer's own size, from its action on every unit image."""
    weight = layer.conv.weight if weight is None else weight
    basis = torch.eye(weight.shape[1] * math.prod(layer.size), dtype=torch.float64)
    images = basis.view(-1, weight.shape[1], *layer.size)
    return torch.nn.functional.conv2d(images, weight, padding=weight.shape[2] // 2).flatten(1).T


@pytest.mark.parametrize("iterations", [1, 5, 50])
def test_power_iteration_comes_from_below_and_reaches_the_singular_value(iterations):
    random = net().train()
    for _layer, part in random.spectral:
        part.v.copy_(torch.nn.functional.normalize(normal(len(part.v), seed=3), dim=0))
    random.update_norms(iterations=iterations)
    ratios = torch.stack(
        [part.sigma(original(layer)).detach() / norm(original(layer)) for layer, part in random.spectral]
    )
    assert (ratios <= 1 + 1e-14).all()
    assert (ratios > {1: 0.4, 5: 0.9, 50: 0.9999}[iterations]).all()
    assert iterations > 1 or (ratios < 0.99).any()  # it is no exact formula in disguise


def test_iterations_are_warm_started_so_that_small_steps_need_only_one():
    random = net().train()
    for _ in range(30):
        with torch.no_grad():
            for layer, _part in random.spectral:
                original(layer).add_(1e-3 * normal(*layer.weight.shape, seed=8))
        random.update_norms(iterations=1)
    for layer, part in random.spectral:
        assert part.sigma(original(layer)).item() == pytest.approx(norm(original(layer)), rel=1e-4)


def test_a_tolerance_stops_the_iteration():
    one, two = net().train(), net().train()
    for part in (*(p for _, p in one.spectral), *(p for _, p in two.spectral)):
        part.v.copy_(torch.nn.functional.normalize(torch.ones_like(part.v), dim=0))
    one.update_norms(tolerance=1e9)
    two.update_norms(iterations=1)
    assert all(torch.equal(a.v, b.v) for (_, a), (_, b) in zip(one.spectral, two.spectral, strict=True))
    one.update_norms(tolerance=1e-6)
    for layer, part in one.spectral:
        assert part.sigma(original(layer)).item() == pytest.approx(norm(original(layer)), rel=1e-9)


def test_the_norm_is_differentiated_with_u_and_v_held():
    random = net()
    layer = random.layers[0]
    weight = original(layer)
    weight.grad = None
    upstream = normal(*weight.shape)
    (layer.weight * upstream).sum().backward()
    left, sigma, right = torch.linalg.svd(weight.detach())
    outer = torch.outer(left[:, 0], right[0])
    expected = 0.9 * (upstream / sigma[0] - (upstream * weight.detach()).sum() / sigma[0] ** 2 * outer)
    torch.testing.assert_close(weight.grad, expected)


def test_a_zero_weight_is_no_division_by_zero():
    zero = randomised(LipschitzMLP(2, (4,)).double(), 0.0).eval()
    zero.train().update_norms(iterations=3)
    assert torch.equal(zero(normal(3, 2)), torch.zeros(3, 2).double())
    assert zero.kappa == zero.eval().kappa == 0


@pytest.mark.parametrize("inputs, outputs, kernel", [(2, 3, 3), (3, 1, 3), (1, 2, 5), (3, 2, 1)])
def test_the_norm_of_a_convolution_is_that_of_its_matrix_at_this_size(inputs, outputs, kernel):
    layer = convolution(inputs, outputs, kernel=kernel)
    x = normal(6, inputs, 4, 5)
    with torch.no_grad():
        bias = layer.conv.bias[:, None, None]
        torch.testing.assert_close((layer(x) - bias).flatten(1), x.flatten(1) @ dense(layer).T)
    assert norm(dense(layer)) == pytest.approx(0.9, rel=1e-12)
    assert layer.kappa == pytest.approx(norm(dense(layer)), rel=1e-12)
    small = convolution(inputs, outputs, kernel=kernel, scale=1e-2)
    assert torch.equal(small.conv.weight, original(small.conv))
    assert small.kappa == pytest.approx(norm(dense(small)), rel=1e-12)


def test_the_norm_of_a_convolution_depends_on_the_size_and_not_on_the_reshaped_kernel():
    small, large = convolution(size=(2, 2)), convolution(size=(6, 6))
    kernel = original(large.conv)
    assert norm(dense(small, kernel)) < 0.95 * norm(dense(large, kernel))
    torch.testing.assert_close(large.conv.weight, kernel * 0.9 / norm(dense(large, kernel)), rtol=1e-6, atol=0)
    assert abs(norm(kernel.flatten(1)) / norm(dense(large, kernel)) - 1) > 0.1


@pytest.mark.parametrize("kernel", [3, 5])
def test_where_the_matrix_is_too_large_fourier_bounds_it(monkeypatch, kernel):
    layer = convolution(size=(7, 6), kernel=kernel)
    exact = layer.kappa
    monkeypatch.setattr(spectral, "DENSE_WORK", 0)
    assert exact <= layer.kappa < 1.25 * exact
    # ... and power iterations normalise it: from below, so its norm is not below c.
    layer.conv.parametrizations.weight[0].v.copy_(normal(2, 7, 6, seed=4))
    layer.eval()
    assert 0.9 * (1 - 1e-12) <= norm(dense(layer)) < 0.9 * (1 + 1e-4)


def test_the_fourier_bound_pads_the_image():
    """Central differences of two pixels have norm 1; on a circle of two pixels they vanish, on one of four not."""
    operator = spectral.Convolution((2, 2), 3)
    difference = torch.zeros(1, 1, 3, 3).double()
    difference[0, 0, 1] = torch.tensor([1.0, 0.0, -1.0])
    assert operator.norm_bound(difference) == pytest.approx(1, rel=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectral, "DENSE_WORK", 0)
        assert operator.norm_bound(difference) == pytest.approx(2, rel=1e-12)


def test_equal_singular_values_are_no_obstacle():
    for seed in range(30):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            weight = torch.nn.init.orthogonal_(torch.empty(16, 16, dtype=torch.float64))
        u, v = spectral.MATRIX.leading(weight)
        assert float(u @ weight @ v) == pytest.approx(1, abs=1e-12)
