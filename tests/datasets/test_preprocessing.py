import math

import pytest
import torch

from pushforward.datasets.preprocessing import Scale, Standardise, ZeroMeanPatch
from pushforward.errors import InputError
from pushforward.seeds import stream


def raw_points(n, d, dtype=torch.float64):
    return 256 * torch.rand(n, d, generator=stream(0, "test"), dtype=dtype)


def test_scale_divides_and_comes_back():
    scale, raw = Scale(5, divisor=17.0), raw_points(9, 5)
    torch.testing.assert_close(scale.forward(raw), raw / 17, rtol=0, atol=0)
    torch.testing.assert_close(scale.inverse(scale.forward(raw)), raw, rtol=0, atol=1e-12)
    assert scale.log_det == pytest.approx(torch.eye(5).div(17).double().slogdet().logabsdet.item(), abs=1e-6)


def test_standardise_by_hand_and_back():
    recipe = Standardise(mean=(1.0, -2.0), scale=(2.0, 0.5))
    raw = torch.tensor([[1.0, -2.0], [5.0, 1.0]], dtype=torch.float64)
    assert recipe.forward(raw).tolist() == [[0.0, 0.0], [2.0, 6.0]]
    torch.testing.assert_close(recipe.inverse(recipe.forward(raw)), raw, rtol=0, atol=1e-14)
    jacobian = torch.autograd.functional.jacobian(lambda x: recipe.forward(x[None])[0], raw[0])
    assert recipe.log_det == pytest.approx(jacobian.slogdet().logabsdet.item(), abs=1e-12) and recipe.log_det == 0.0
    assert Standardise((0.0,), (8.0,)).log_det == pytest.approx(-math.log(8), abs=1e-12)


@pytest.mark.parametrize("scale", [(1.0,), (1.0, 0.0), (1.0, -1.0), (1.0, math.nan), (1.0, math.inf)])
def test_columns_that_never_change_are_named(scale):
    with pytest.raises(InputError, match=r"2 means and the scales \(1.0.*leave out columns that never change"):
        Standardise((0.0, 0.0), scale)


def test_patch_loses_its_mean_and_last_pixel_by_hand():
    x = ZeroMeanPatch(pixels=4, divisor=2.0).forward(torch.tensor([[2.0, 4.0, 6.0, 12.0]], dtype=torch.float64))
    assert x.tolist() == [[-2.0, -1.0, 0.0]]  # 1, 2, 3, 6 less their mean 3


def test_patch_inverse_is_the_zero_mean_patch():
    recipe, raw, atol = ZeroMeanPatch(), raw_points(50, 64), 256e-14  # of numbers up to 256, summed over 63
    zero_mean = raw - raw.mean(1, keepdim=True)
    x = recipe.forward(raw)
    assert x.shape == (50, 63)
    torch.testing.assert_close(recipe.inverse(x), zero_mean, rtol=0, atol=atol)
    torch.testing.assert_close(recipe.inverse(recipe.forward(zero_mean)), zero_mean, rtol=0, atol=atol)
    torch.testing.assert_close(recipe.forward(recipe.inverse(x)), x, rtol=0, atol=1e-14)


def test_patch_log_det_is_the_volume_factor_in_the_hyperplane():
    recipe = ZeroMeanPatch(pixels=9, divisor=256.0)
    back = torch.autograd.functional.jacobian(lambda x: recipe.inverse(x[None])[0], torch.zeros(8, dtype=torch.float64))
    assert recipe.log_det == pytest.approx(-0.5 * (back.T @ back).slogdet().logabsdet.item(), abs=1e-10)


def test_patch_log_det_gives_the_density_of_raw_points():
    # raw uniform on the hyperplane piece whose x fills the unit cube: area 256^dim √pixels
    assert ZeroMeanPatch(pixels=4).log_det == pytest.approx(-math.log(256**3 * 2), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("recipe", [Scale(64, 17.0), Standardise((1.0,) * 64, (3.0,) * 64), ZeroMeanPatch()])
def test_dtype_is_kept(recipe, dtype):
    x = recipe.forward(raw_points(2, 64, dtype))
    assert x.dtype == dtype and recipe.inverse(x).dtype == dtype and x.shape[1] == recipe.dim


@pytest.mark.parametrize("recipe", [Scale(64, 17.0), Standardise((1.0,) * 64, (3.0,) * 64), ZeroMeanPatch()])
def test_wrong_shape_is_named(recipe):
    with pytest.raises(InputError, match=r"raw has shape \(2, 60\), expected \(n, 64\)"):
        recipe.forward(torch.zeros(2, 60))
    with pytest.raises(InputError, match=rf"x has shape \(2, 60\), expected \(n, {recipe.dim}\)"):
        recipe.inverse(torch.zeros(2, 60))
