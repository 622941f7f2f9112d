import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from cases import normal, split_of
from pushforward.catalogue import implicit_real
from pushforward.datasets import Split
from pushforward.datasets.preprocessing import Scale
from pushforward.flows import Chain, Flow, ImplicitBlock, Logit
from pushforward.implicit import LipschitzConv, Truncated
from pushforward.metrics import Estimate

FIT = {"iterations": 2, "batch": 16, "lr": 0.01}


def pixels(n, dim, seed=0):
    return torch.rand(n, dim, generator=torch.Generator().manual_seed(seed))


def images_split(dim, levels=17, n=60):
    parts = [pixels(n, dim, seed) for seed in range(3)]
    return Split(*parts, "tiles", "drawn by a test", "none needed", Scale(dim, levels))


def case(shape=(1, 2, 2), n=60, flow=None, **more):
    dim = math.prod(shape)
    result = SimpleNamespace(flow=flow or Flow(Logit(dim)), split=images_split(dim, n=n, **more))
    return implicit_real.ImageCase("tiles", "impflow-0-9", [result], shape)


def test_equal_settings_differ_in_kind_blocks_and_the_methods_own_fit_alone():
    settings = {"net": {"kind": "mlp"}, "fit": {"iterations": 100, "lr": 0.1}}
    methods = {"impflow": {"blocks": 2}, "resflow": {"blocks": 4, "fit": {"iterations": 180}}}
    assert implicit_real.equal(settings, methods) == {
        "impflow": {"net": {"kind": "mlp"}, "kind": "impflow", "blocks": 2, "fit": {"iterations": 100, "lr": 0.1}},
        "resflow": {"net": {"kind": "mlp"}, "kind": "resflow", "blocks": 4, "fit": {"iterations": 180, "lr": 0.1}},
    }


def test_a_method_may_name_its_kind():
    methods = {"impflow-20-blocks": {"kind": "impflow", "blocks": 20}}
    chosen = implicit_real.equal({"net": {}, "fit": {}}, methods)["impflow-20-blocks"]
    assert (chosen["kind"], chosen["blocks"]) == ("impflow", 20)


def test_test_points_are_cut_and_nothing_else(monkeypatch):
    whole = replace(split_of(normal(50, 3)), name="MNIST (test images)")
    monkeypatch.setattr(implicit_real.datasets, "load", lambda name, profile: whole)
    cut = implicit_real.split("any", "quick", 20)
    assert cut.name == "mnist-test-images"
    assert len(cut.test) == 20 == len({tuple(row) for row in cut.test.tolist()})
    assert {tuple(row) for row in cut.test.tolist()} < {tuple(row) for row in whole.test.tolist()}
    assert torch.equal(cut.train, whole.train) and torch.equal(cut.val, whole.val)


def test_both_methods_are_trained_on_the_same_points(monkeypatch, tmp_path):
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path))
    monkeypatch.setattr(implicit_real.datasets, "load", lambda name, profile: split_of(normal(300, 2).float()))
    settings = {"net": {"kind": "mlp", "widths": [4]}, "fit": FIT}
    pair = implicit_real.tabular("any", settings, {"impflow": {"blocks": 1}, "resflow": {"blocks": 2}}, points=30)
    assert {method: len(s.flow.bijection.blocks) for method, s in pair.items()} == {"impflow": 2, "resflow": 3}
    assert pair["impflow"].parameters == pair["resflow"].parameters
    assert all(len(s.test) == 30 for s in pair.values())
    rows = implicit_real.references({"any": pair})
    assert [(row["case"], row["method"]) for row in rows] == [("any", "gaussian"), ("any", "elliptical")]
    assert rows[0]["NLL"] == pair["resflow"].gaussian.value


def test_images_are_trained_at_every_coefficient(monkeypatch, tmp_path):
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path))
    monkeypatch.setattr(implicit_real.datasets, "load", lambda name, profile: images_split(16))
    net = {"kind": "conv", "shape": [1, 4, 4], "width": 2}
    settings = {"net": net, "precondition": ["logit"], "actnorm": True, "fit": FIT}
    methods = {"impflow": {"blocks": 1}, "resflow": {"blocks": 2}}
    found = implicit_real.images("tiles", settings, methods, [0.9, 0.6], points=20)
    assert [s.method for s in found] == ["impflow-0-9", "resflow-0-9", "impflow-0-6", "resflow-0-6"]
    coeffs = [s.flow.bijection.blocks[2].g_x.coeff for s in found]
    assert coeffs == [0.9, 0.9, 0.6, 0.6]
    row = implicit_real.compared(found)[0]
    assert (row["case"], row["of draws"], row["unconverged"]) == ("tiles", None, 0)
    assert row["bits/dim"] == pytest.approx(row["NLL"] / (16 * math.log(2)) + math.log2(17))


def test_bits_hold_the_grey_levels_of_the_preprocessing():
    for levels in (17, 256):
        study = case(levels=levels)
        nll = study.nll[0].value
        assert study.bits[0].value == pytest.approx(nll / (4 * math.log(2)) + math.log2(levels))
        assert study.bits[0].se == pytest.approx(study.nll[0].se / (4 * math.log(2)))


def conv_flow(shape):
    torch.manual_seed(0)
    net = LipschitzConv(shape, 2, (3, 3))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(30)
    dim = math.prod(shape)
    return Flow(Chain(dim, [ImplicitBlock(net, log_det=Truncated(1))])).eval()


def test_up_to_64_dimensions_the_likelihood_is_exact_and_above_a_mean_over_draws():
    small, large = case((1, 8, 8), 5, conv_flow((1, 8, 8))), case((2, 8, 8), 5, conv_flow((2, 8, 8)))
    assert type(small.nll[0]) is Estimate
    assert large.nll[0].draws == implicit_real.DRAWS and large.nll[0].draw_se > 0
    exact = large.flow.double()
    x = large.test.double().requires_grad_()
    rows = [torch.autograd.grad(exact.bijection(x)[:, i].sum(), x)[0] for i in range(128)]
    log_det = torch.linalg.slogdet(torch.stack(rows, 1))[1]
    z = exact.bijection(x)
    expected = (0.5 * z.square().sum(1) + 64 * math.log(2 * math.pi) - log_det).mean()
    assert large.nll[0].value == pytest.approx(float(expected.detach()), abs=max(1e-3, 5 * large.nll[0].draw_se))


def test_pictures_are_grey_values_or_colours():
    study = case((1, 2, 3))
    assert study.pictures(torch.full((4, 6), 0.5)).shape == (4, 2, 3)
    assert study.pictures(torch.full((4, 6), 0.5)).max() == 8.5
    colour = case((3, 2, 2), levels=256)
    x = torch.zeros(1, 12)
    x[0, 4:8] = 1.0  # the green channel
    assert colour.pictures(x).shape == (1, 2, 2, 3)
    assert colour.pictures(x)[0, 0, 0].tolist() == [0, 1, 0]


def test_the_gallery_comes_back_to_where_it_began():
    shown = case().gallery(6)
    assert list(shown) == ["data", "noise", "back", "samples"]
    assert {pictures.shape for pictures in shown.values()} == {(6, 2, 2)}
    torch.testing.assert_close(torch.tensor(shown["back"]), torch.tensor(shown["data"]), rtol=0, atol=1e-4)


def test_coefficients_are_written_for_an_id():
    assert [implicit_real.dashed(c) for c in (0.99, 0.9, 0.65)] == ["0-99", "0-9", "0-65"]
