"""The JKO cases: settings are checked by name, measurements agree with the metrics they stand for."""

import copy
import math

import pytest
import torch

from pushforward import metrics
from pushforward.catalogue import cases, jko
from pushforward.catalogue.settings import family
from pushforward.errors import InputError
from pushforward.families import JKO
from pushforward.flows import with_solver
from pushforward.numerics import Adaptive
from pushforward.report.results import Recorder
from pushforward.seeds import stream

TINY = {
    "velocity": {"kind": "lattice", "sizes": [16, 8]},
    "blocks": 2,
    "pool": 2000,
    "stop_ratio": 0.0,
    "fit": {"iterations": 15, "batch": 200, "lr": 0.05},
}


@pytest.fixture(scope="module")
def case(home):
    return jko.planar("8-gaussians", TINY, seeds=range(2))


def test_settings_become_a_family():
    chosen = family(JKO, TINY | {"precondition": ["affine", "radial"]})
    assert chosen.blocks == 2 and chosen.precondition == ("affine", "radial")
    assert chosen.fit.iterations == 15 and chosen.fit.lr == 0.05


@pytest.mark.parametrize(("settings", "word"), [({"block": 2}, "block"), ({"fit": {"rate": 1.0}}, "rate")])
def test_a_misspelt_setting_is_named_with_those_that_exist(settings, word):
    with pytest.raises(InputError, match=rf"has {word}, which .* it knows .*"):
        family(JKO, settings)


def test_an_unknown_law_is_an_error():
    with pytest.raises(InputError, match="dahlia"):
        jko.planar("dahlia", TINY)


def test_a_seed_each_and_no_two_alike(case):
    assert len(case.nll) == len(case.seconds) == len(case.samples) == 2
    assert case.nll[0].value != case.nll[1].value
    assert not torch.equal(case.samples[0], case.samples[1])


def test_the_excess_is_the_paired_kl_and_agrees_with_nll_minus_entropy(case):
    result = case.results[0]
    assert case.excess[0] == metrics.kl_to_truth(case.law, result.flow, result.split.test)
    assert abs(case.excess[0].value - (case.nll[0].value - case.law.entropy().value)) < 4 * (
        case.nll[0].se + case.excess[0].se
    )


def test_what_is_taken_once_is_what_its_parts_say(case):
    for nll, gap, result in zip(case.nll, case.solver_gap, case.results, strict=True):
        assert nll == metrics.nll(result.flow, result.split.test)
        x = result.split.test[: cases.GAP_POINTS]
        tight = with_solver(copy.deepcopy(result.flow).double(), Adaptive(1e-7, 1e-7))
        plain = metrics.nll(result.flow, x).value - metrics.nll(tight, x.double()).value
        assert gap == pytest.approx(abs(plain), rel=1e-3, abs=1e-6)
    test, samples = case.test[: cases.MMD_POINTS], case.samples[0]
    for row in case.mmd_table():
        unbiased, generator = row["estimator"] == "unbiased", stream(0, "permutations")
        found = metrics.mmd_test(test, samples, row["kernel"], generator=generator, unbiased=unbiased)
        assert (row["mmd²"], row["threshold"], row["bandwidth"]) == (found.value, found.threshold, found.bandwidth)
    assert [row["estimator"] for row in case.mmd_table()] == ["unbiased", "biased"] * len(metrics.BANDWIDTHS)


def test_the_curve_ends_at_the_validation_kl_of_the_flow(case):
    curve = case.curve()
    val = case.results[0].split.val
    assert len(curve) == 3 and math.isnan(curve[0]["movement"])
    assert curve[-1]["KL"] == pytest.approx(metrics.kl_to_truth(case.law, case.flow, val).value, abs=1e-4)
    assert curve[-1]["seconds"] == pytest.approx(case.seconds[0])
    assert curve[-1]["KL"] < curve[0]["KL"]
    assert curve[1]["movement"] == case.results[0].history.stages[1]["movement"]


def test_density_grids_hold_the_densities_rows_upwards(case):
    true, learned = case.density_grids(resolution=30)
    cell = (2 * jko.EXTENT / 30) ** 2
    assert true.sum() * cell == pytest.approx(1, abs=0.02) and learned.sum() * cell == pytest.approx(1, abs=0.05)
    row, column = 22, 4
    point = torch.tensor([[(column + 0.5) / 30, (row + 0.5) / 30]]) * 2 * jko.EXTENT - jko.EXTENT
    assert true[row, column] == pytest.approx(float(case.law.log_prob(point).exp()), rel=1e-4)
    assert learned[row, column] == pytest.approx(float(case.flow.log_prob(point).exp()), rel=1e-4)


def test_paths_start_and_end_where_the_map_does(case):
    forward, backward = case.paths(50, stops=9)
    x = case.test[:50]
    assert torch.allclose(torch.as_tensor(forward[0]), x)
    assert torch.allclose(torch.as_tensor(forward[-1]), case.flow.bijection(x), atol=5e-3)
    assert torch.allclose(
        torch.as_tensor(backward[-1]), case.flow.bijection.inverse(torch.as_tensor(backward[0])), atol=5e-3
    )


def test_tighter_tolerance_smaller_round_trip(case):
    (_, loose), (_, tight) = case.round_trip_at([1e-3, 1e-12])
    assert tight < 1e-11 < 1e-9 < loose


def test_rows_carry_bounds_and_the_checks_can_fail(case, home, monkeypatch):
    record = Recorder("01-jko-2d", "smoke")
    case.record(record, "01-jko-2d", resolution=120)
    rows = {row.id: row for row in record.rows}
    assert rows["jko/8-gaussians/jko-iflow/nll-excess"].n == 2
    for quantity in (
        "mmd",
        "mmd-threshold",
        "round-trip",
        "seconds",
        "integral",
        "nll-solver-gap",
        "round-trip-float64",
    ):
        assert f"jko/8-gaussians/jko-iflow/{quantity}" in rows
    assert rows["jko/8-gaussians/jko-iflow/round-trip"].verdict == "holds"
    monkeypatch.setattr(cases, "FLOAT32_ROUND_TRIP", 0.0)
    broken = Recorder("01-jko-2d", "smoke")
    case.record(broken, "01-jko-2d", resolution=120)
    assert {row.id: row.verdict for row in broken.rows}["jko/8-gaussians/jko-iflow/round-trip"] == "fails"


def test_real_data_stands_beside_its_gaussian(home):
    settings = TINY | {"velocity": {"kind": "gated", "filters": 8}, "blocks": 1, "h0": 1.0}
    study = jko.real("digits", settings, profile="smoke")
    split = study.results[0].split
    mean, covariance = split.train.double().mean(0), torch.cov(split.train.double().T, correction=0)
    exact = torch.distributions.MultivariateNormal(mean, covariance).log_prob(split.test.double()).mean()
    start, dropped = study.results[0].history.stages
    assert dropped["val_nll"] > start["val_nll"] and not dropped["kept"]
    assert [row["NLL"] for row in study.curve()] == [start["val_nll"]]  # the flow does not have that block
    assert study.gaussian.value == pytest.approx(-float(exact), abs=1e-2)
    assert study.pictures(split.test[:3]).shape == (3, 8, 8)
    assert torch.allclose(
        torch.as_tensor(study.pictures(split.test[:3])).reshape(3, 64) / 17, split.test[:3], atol=1e-5
    )


def test_an_absent_data_set_names_the_mend(monkeypatch, tmp_path):
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path))
    monkeypatch.setattr("pushforward.paths.cache", lambda: tmp_path / "cache")
    rows = {row["data set"]: row["status"] for row in jko.data_table(["digits", "bsds300"])}
    assert rows == {"digits": "present", "bsds300": "data absent: make data"}


def test_absent_data_is_left_out(monkeypatch):
    monkeypatch.setattr(cases.datasets, "available", lambda name, profile: (name, profile) != ("gas", "quick"))
    assert jko.present(["power", "gas", "digits"]) == ["power", "digits"]
    assert jko.present(["power", "gas"], "smoke") == ["power", "gas"]
