import pytest
import torch
from scipy.linalg import sqrtm

from cases import generator, normal
from pushforward.errors import InputError
from pushforward.latent import frechet_distance


def points(mean, cov, n=40, seed=0):
    """Points [n, k] whose sample mean and covariance (with n − 1) are exactly these."""
    x = normal(n, len(mean), seed=seed)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T)).T)
    return torch.as_tensor(mean, dtype=x.dtype) + white @ torch.linalg.cholesky(cov).T


def spd(k, seed):
    a = normal(k, k, seed=seed)
    return a @ a.T + 0.1 * torch.eye(k, dtype=a.dtype)


def test_axis_parallel_gaussians_by_hand():
    x = points([0.0, 1.0, 2.0], torch.diag(torch.tensor([1.0, 4.0, 9.0]).double()))
    y = points([1.0, 1.0, 0.0], torch.diag(torch.tensor([4.0, 4.0, 0.25]).double()), n=31, seed=1)
    assert frechet_distance(x, y) == pytest.approx(1 + 4 + (1 - 2) ** 2 + (3 - 0.5) ** 2, rel=1e-12)


def test_one_feature_by_hand():
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[5.0], [9.0]])  # variances 2 and 8, with n − 1
    assert frechet_distance(x, y) == pytest.approx(6**2 + 2 + 8 - 2 * 4, rel=1e-12)


def test_covariances_that_do_not_commute_against_the_matrix_root():
    c1, c2 = spd(4, 2), spd(4, 3)
    x, y = points([0.0] * 4, c1), points([0.5] * 4, c2, seed=1)
    root = torch.as_tensor(sqrtm((c1 @ c2).numpy()).real)
    assert frechet_distance(x, y) == pytest.approx(float(1 + (c1 + c2 - 2 * root).trace()), rel=1e-10)


def test_symmetric_without_units_of_place_and_turn():
    x, y = points([0.0] * 3, spd(3, 2)), points([1.0] * 3, spd(3, 3), seed=1)
    turn, shift = torch.linalg.qr(normal(3, 3, seed=5))[0], normal(3, seed=6)
    value = frechet_distance(x, y)
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-12)
    assert frechet_distance(x @ turn + shift, y @ turn + shift) == pytest.approx(value, rel=1e-10)
    assert frechet_distance(2 * x, 2 * y) == pytest.approx(4 * value, rel=1e-10)


def test_nothing_between_a_set_and_itself_in_another_order():
    x = normal(50, 6).float()
    assert frechet_distance(x, x[torch.randperm(50, generator=generator(1))]) < 1e-24


def test_fewer_points_than_features_have_a_distance():
    assert frechet_distance(torch.zeros(2, 3), torch.eye(3)[:2]) == pytest.approx(0.25 + 0.25 + 1.0, rel=1e-12)


def test_float32_features_are_summed_in_float64():
    x, y = normal(100, 3, seed=1).float() + 1000, normal(100, 3, seed=2).float() + 1000
    assert frechet_distance(x, y) == frechet_distance(x.double(), y.double())


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(1, 2), torch.zeros(5, 2), "1 and 5 rows"),
        (torch.zeros(3, 2), torch.zeros(5, 3), r"shape \(5, 3\), expected \(n, 2\)"),
        (torch.full((3, 2), torch.nan), torch.zeros(5, 2), "NaN"),
    ],
)
def test_sets_without_a_distance_are_named(x, y, message):
    with pytest.raises(InputError, match=message):
        frechet_distance(x, y)
