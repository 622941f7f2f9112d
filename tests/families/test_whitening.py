import pytest
import torch

from cases import normal, student
from pushforward.errors import InputError
from pushforward.families import pushing, whitening
from pushforward.families.whitening import check_preconditioners, preconditioned
from pushforward.flows import Affine, Radial


def test_each_is_fitted_on_what_those_before_leave(monkeypatch):
    monkeypatch.setattr(pushing, "PIECE", 150)
    data = student(600, 3)
    affine, radial = preconditioned(("affine", "radial"), data).bijection.blocks
    assert type(affine) is Affine and type(radial) is Radial
    assert torch.equal(affine.matrix, Affine.fit(data).matrix)
    torch.testing.assert_close(radial.inputs, Radial.fit(affine(data)).inputs, rtol=0, atol=1e-12)
    reverse = preconditioned(("radial", "affine"), data).bijection.blocks
    assert [type(block) for block in reverse] == [Radial, Affine]


def test_affine_leaves_mean_zero_and_covariance_one():
    data = student(600, 3)
    white = preconditioned(("affine",), data).bijection(data)
    torch.testing.assert_close(white.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cov(white.T, correction=0), torch.eye(3).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_flow_has_the_dtype_and_dimension_of_the_points(dtype):
    flow = preconditioned(("affine", "radial"), student(300, 4).to(dtype))
    assert flow.dim == 4
    assert flow.log_prob(normal(5, 4, dtype=dtype)).dtype == dtype


def test_none_is_the_identity():
    flow, x = preconditioned((), normal(9, 2)), normal(4, 2)
    assert torch.equal(flow.bijection(x), x)


def test_unknown_names_are_listed():
    assert check_preconditioners(tuple(whitening.PRECONDITIONERS)) is None
    with pytest.raises(InputError, match=r"precondition \['spline', 'pca'\] is unknown, expected some of \['affine'"):
        check_preconditioners(("affine", "spline", "pca"))
