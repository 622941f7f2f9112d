import sys

import pytest
import torch
from torch.distributions import Distribution, Normal

from cases import jacobian, normal, randomised
from pushforward.errors import InputError
from pushforward.flows import Flow, ZukoFlow, load_flow
from pushforward.flows.zuko_flow import _zuko
from pushforward.metrics import integral

X = normal(12, 4)


def bijection(*arguments, dim=4, scale=0.4):
    return randomised(ZukoFlow(dim, *arguments).double(), scale).eval()


@pytest.mark.parametrize(("model", "reach"), [("nsf", 9.0), ("maf", 40.0)])
def test_the_density_integrates_to_one(model, reach):
    flow = Flow(bijection(model, 2, (8,), 6, dim=2))
    # The spline maps [−5, 5] to itself and is the identity outside; an affine map may spread the latent law far.
    assert integral(flow, ((-reach, reach), (-reach, reach)), 600) == pytest.approx(1, abs=2e-4)


def test_one_transform_sees_the_coordinates_before_alone():
    matrix = jacobian(bijection("nsf", 1, (8,)), X)
    assert not matrix.triu(1).any() and (matrix.diagonal(dim1=1, dim2=2) > 0).all()
    assert matrix.tril(-1).abs().amax(0).tril(-1).count_nonzero() == 6


def test_the_next_transform_sees_them_in_the_other_order():
    first, both = bijection("maf", 1, (8,)), bijection("maf", 2, (8,))
    assert first(X)[:, 0].sub(jacobian(first, X)[:, 0, 0] * X[:, 0]).std() < 1e-12  # affine in x_1 alone
    assert jacobian(both, X).triu(1).abs().amax(0).count_nonzero() == 6


def test_coupling_layers_leave_half_of_the_coordinates_to_themselves():
    matrix = jacobian(bijection("nsf", 1, (8,), 8, 2), X)
    across = matrix.abs().amax(0) > 0
    assert across.tolist() == [
        [True, False, False, False],
        [False, True, False, False],
        [True, True, True, False],
        [True, True, False, True],
    ]


def test_a_spline_is_the_identity_far_out():
    far = torch.full((1, 4), 7.0).double()
    z, log_det = bijection("nsf", 3).forward_and_log_det(far)
    assert torch.equal(z, far) and not log_det.any()


def test_shuffled_orders_come_back_from_disk(tmp_path):
    flows = [Flow(bijection("maf", 3, (8,), 8, 0, True)) for _ in range(2)]
    for k, flow in enumerate(flows):
        torch.manual_seed(100 + k)  # the orders that loading draws, and must forget
        again = load_flow(flow.save(tmp_path / str(k)))
        with torch.no_grad():
            assert torch.equal(again.log_prob(X), flow.log_prob(X))
            torch.testing.assert_close(again.bijection.inverse(again.bijection(X)), X)


def test_settings_rebuild_it():
    settings = {"dim": 3, "model": "maf", "transforms": 2, "hidden": [5, 6], "bins": 4, "passes": 2, "shuffled": True}
    assert ZukoFlow(**settings).settings() == settings
    assert ZukoFlow(1, "nsf", 2)(torch.zeros(3, 1)).shape == (3, 1)


def test_torch_still_checks_the_arguments_of_distributions(monkeypatch):
    """Importing zuko alone would switch that off for the whole process."""
    monkeypatch.setattr(Distribution, "_validate_args", True)
    for name in [name for name in sys.modules if name.split(".")[0] == "zuko"]:
        monkeypatch.delitem(sys.modules, name)
    _zuko()
    with pytest.raises(ValueError, match="scale"):
        Normal(0.0, -1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "glow"}, r"the model 'glow' is unknown, expected one of \['maf', 'nsf'\]"),
        ({"transforms": 0}, "transforms=0"),
        ({"hidden": ()}, r"hidden=\(\)"),
        ({"hidden": (4, 0)}, r"hidden=\(4, 0\)"),
        ({"bins": 1}, "bins is 1"),
        ({"passes": 1}, "passes is 1, expected 0"),
        ({"passes": -1}, "passes is -1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        ZukoFlow(2, **settings)
