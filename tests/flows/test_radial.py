import pytest
import torch
from scipy import stats

from cases import jacobian, normal, student
from pushforward.errors import InputError
from pushforward.flows import Affine, Chain, Radial

DIM = 3


def fitted(knots=64):
    data = student(20_000, DIM)
    affine = Affine.fit(data)
    return affine, Radial.fit(affine(data), knots)


def distance_from_chi(x):
    """Kolmogorov–Smirnov distance of |x| from the chi law."""
    return stats.kstest(x.norm(dim=1).numpy(), stats.chi(x.shape[1]).cdf).statistic


def test_a_heavy_tailed_elliptical_law_gets_the_radius_of_a_normal():
    affine, radial = fitted()
    fresh = affine(student(20_000, DIM, seed=10))
    assert distance_from_chi(fresh) > 0.05
    assert distance_from_chi(radial(fresh)) < 1.63 * (2 / 20_000) ** 0.5  # 1 % point of two samples of this size
    z = radial(fresh)
    torch.testing.assert_close(torch.cov(z.T), torch.eye(DIM).double(), rtol=0, atol=0.05)


def test_directions_stay_and_the_radius_is_monotone():
    _, radial = fitted(16)
    line = torch.linspace(1e-4, 60, 4000, dtype=torch.float64)[:, None]  # far beyond the last knot
    direction = torch.nn.functional.normalize(normal(1, DIM))
    z = radial(line * direction)
    radius = z @ direction[0]
    torch.testing.assert_close(z, radius[:, None] * direction)
    assert (radius > 0).all() and (radius.diff() > 0).all()


def test_knots_go_to_the_quantiles_of_the_chi_law():
    data = normal(5000, DIM) * 3 + 0.0
    radial = Radial.fit(data, knots=9)
    level = stats.norm.cdf(torch.linspace(-1, 1, 9, dtype=torch.float64) * stats.norm.ppf(1 - 2 / 5000))
    radii = torch.quantile(data.norm(dim=1), torch.as_tensor(level))
    found = radial(radii[:, None] * torch.eye(DIM).double()[:1]).norm(dim=1)
    torch.testing.assert_close(found, torch.as_tensor(stats.chi(DIM).ppf(level)))


@pytest.mark.parametrize("radius", [1e-6, 1e-2, 0.5, 2.0, 15.0, 1e4])
def test_inverse_and_log_det_are_exact_in_the_middle_and_in_the_tails(radius):
    _, radial = fitted(16)
    x = radius * torch.nn.functional.normalize(normal(5, DIM))
    z, log_det = radial.forward_and_log_det(x)
    torch.testing.assert_close(radial.inverse(z), x, rtol=1e-12, atol=0)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobian(radial, x))[1], rtol=0, atol=1e-10)


def test_the_slope_has_no_jump_at_a_knot():
    _, radial = fitted(16)
    for knot in radial.inputs.exp():
        x = knot * torch.tensor([1 - 1e-9, 1 + 1e-9], dtype=torch.float64)[:, None] * torch.eye(DIM).double()[:1]
        _, log_det = radial.forward_and_log_det(x)
        assert abs(float(log_det[0] - log_det[1])) < 1e-6


def test_a_new_radial_map_is_the_identity():
    x = normal(50, DIM)
    z, log_det = Radial(DIM).double().forward_and_log_det(x)
    torch.testing.assert_close(z, x)
    torch.testing.assert_close(log_det, torch.zeros(50).double(), rtol=0, atol=1e-12)


def test_the_origin_stays():
    _, radial = fitted(16)
    z, log_det = radial.forward_and_log_det(torch.zeros(1, DIM).double())
    assert not z.any()
    assert log_det.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_bijection_has_the_dtype_of_the_points(dtype):
    radial = Radial.fit(student(300, DIM).to(dtype), knots=10)
    assert {buffer.dtype for buffer in radial.buffers()} == {dtype}
    assert Chain(DIM, [radial]).inverse(normal(3, DIM, dtype=dtype)).dtype == dtype


def test_radii_that_cannot_be_ranked_are_an_error():
    with pytest.raises(InputError, match="x has 100 points, expected at least 256"):
        Radial.fit(normal(100, DIM))
    with pytest.raises(InputError, match="repeated quantiles"):
        Radial.fit(normal(8, DIM).repeat(100, 1))
    with pytest.raises(InputError, match="NaN or infinite"):
        Radial.fit(normal(500, DIM).log())
