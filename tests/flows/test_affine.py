import pytest
import torch
from torch.distributions import MultivariateNormal

from cases import normal, student
from pushforward.errors import InputError
from pushforward.flows import Affine, Flow


def test_a_fitted_affine_flow_is_the_full_covariance_gaussian():
    data, x = student(400, 3), normal(20, 3)
    gaussian = MultivariateNormal(data.mean(0), torch.cov(data.T, correction=0))
    torch.testing.assert_close(Flow(Affine.fit(data)).log_prob(x), gaussian.log_prob(x), rtol=1e-12, atol=1e-12)


def test_it_gives_the_data_mean_zero_and_covariance_one():
    z = Affine.fit(student(400, 3))(student(400, 3))
    torch.testing.assert_close(z.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-13)
    torch.testing.assert_close(torch.cov(z.T, correction=0), torch.eye(3).double(), rtol=0, atol=1e-12)


def test_the_root_is_symmetric_so_the_map_is_that_of_optimal_transport():
    affine = Affine.fit(student(400, 3))
    torch.testing.assert_close(affine.matrix, affine.matrix.T)
    assert (torch.linalg.eigvalsh(affine.matrix) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_log_det_is_that_of_the_stored_matrix(dtype):
    """Rounded apart from its matrix, a float32 log-determinant would shift every float64 density by 1e-8 and more."""
    affine = Affine.fit(student(400, 3).to(dtype) * torch.tensor([1e3, 1.0, 1e-3], dtype=dtype))
    assert affine.matrix.dtype == affine.mean.dtype == affine.log_det.dtype == dtype
    expected = torch.linalg.slogdet(affine.matrix.double())[1]
    assert abs(float(affine.log_det) - float(expected)) < 50 * torch.finfo(dtype).eps


def test_one_dimension():
    data = student(400, 1)
    affine = Affine.fit(data)
    torch.testing.assert_close(affine(data), (data - data.mean()) / data.std(correction=0))


def test_moments_may_be_given():
    covariance = torch.tensor([[7.0, 5.0], [5.0, 7.0]], dtype=torch.float64)
    affine = Affine.from_moments(torch.tensor([1.0, 2.0], dtype=torch.float64), covariance)
    torch.testing.assert_close(affine.matrix @ covariance @ affine.matrix.T, torch.eye(2).double())
    torch.testing.assert_close(affine.inverse(torch.zeros(1, 2).double())[0], affine.mean)


@pytest.mark.parametrize(
    "x",
    [
        torch.cat([normal(50, 2), torch.ones(50, 1).double()], 1),  # a constant coordinate
        normal(50, 2) @ torch.ones(2, 3).double(),  # combinations of others
        normal(3, 5),  # fewer points than dimensions
        torch.ones(50, 2).double(),
    ],
    ids=["constant", "combination", "few", "one-point"],
)
def test_a_singular_covariance_is_an_error(x):
    with pytest.raises(InputError, match="eigenvalues from .* expected a positive definite matrix"):
        Affine.fit(x)


def test_nan_is_an_error():
    with pytest.raises(InputError, match="NaN or infinite"):
        Affine.fit(normal(50, 2).log())
