"""Implicit flows beside residual flows: what is recorded of a study, and that a failure of any part would show."""

from dataclasses import replace

import pytest

from pushforward import distributions, metrics
from pushforward.catalogue import implicit
from pushforward.errors import InputError
from pushforward.implicit import Audit
from pushforward.report.results import Recorder

SMALL = {
    "blocks": 1,
    "net": {"kind": "mlp", "widths": [16], "activation": "sin", "coeff": 0.9},
    "pool": 2000,
    "fit": {"iterations": 12, "batch": 200, "lr": 0.01, "validate_every": 4},
}


@pytest.fixture(scope="module")
def impflow(home):
    return implicit.planar("moons", SMALL, "impflow", range(2), 600)


@pytest.fixture(scope="module")
def resflow(home):
    return implicit.planar("moons", SMALL | {"kind": "resflow", "blocks": 2}, "resflow", range(2), 600)


def rows_of(study, tmp_path):
    recorder = Recorder("07-implicit-flows", "smoke")
    study.record(recorder, "run")
    return {row.id: row for row in recorder.rows}


def test_a_study_has_as_many_points_and_seeds_as_asked(impflow):
    assert len(impflow.results) == 2 and len(impflow.test) == 600
    first, second = (r.split.test for r in impflow.results)
    assert not first.equal(second)


def test_equal_parameters(impflow, resflow):
    per_net = 16 * 2 + 16 + 2 * 16 + 2
    assert impflow.parameters == resflow.parameters == 2 * per_net  # the whitening is fitted, not trained


def test_the_rows_that_the_issue_asks_for(impflow, resflow, tmp_path):
    for study in (impflow, resflow):
        rows = rows_of(study, tmp_path)
        for quantity in ("nll", "nll-excess", "seconds", "solves-unconverged", "certified-error", "integral"):
            assert f"implicit/moons/{study.method}/{quantity}" in rows
        for quantity in ("solves-unconverged", "certified-error", "round-trip", "round-trip-float64", "integral"):
            assert rows[f"implicit/moons/{study.method}/{quantity}"].verdict == "holds", quantity
        nll = rows[f"implicit/moons/{study.method}/nll"]
        law = distributions.moons()
        expected = sum(metrics.kl_to_truth(law, r.flow, r.split.test).value for r in study.results) / 2
        assert rows[f"implicit/moons/{study.method}/nll-excess"].value == pytest.approx(expected, abs=1e-9)
        assert nll.value == pytest.approx(sum(metrics.nll(r.flow, r.split.test).value for r in study.results) / 2)


def test_the_audit_is_that_of_the_training(impflow, resflow):
    forward_and_backward = 2 * 12 * 200
    validations = 600  # all validation points, thrice on the way and once at the end
    for audit in impflow.audits:
        assert audit.solves == forward_and_backward + 4 * validations and audit.unconverged == 0
    assert [a.solves for a in resflow.audits] == [0, 0]  # a residual flow has nothing to solve on the way to noise


def test_a_solve_that_failed_fails_its_row(impflow, tmp_path):
    broken = implicit.ImplicitPlanar("implicit", "moons", "broken", impflow.law, impflow.results)
    broken.audits = [replace(impflow.audits[0], unconverged=1), Audit(worst=1e-3)]
    rows = rows_of(broken, tmp_path)
    assert rows["implicit/moons/broken/solves-unconverged"].verdict == "fails"
    assert rows["implicit/moons/broken/certified-error"].verdict == "fails"


def test_the_curve_is_the_excess_on_validation_points(impflow):
    curve = impflow.training_curve()
    assert len(curve) == 3 and [s for s, _ in curve] == sorted(s for s, _ in curve)
    result = impflow.results[0]
    kl = metrics.kl_to_truth(impflow.law, result.flow, result.split.val).value
    assert curve[-1][1] == pytest.approx(kl, abs=1e-5)


def test_the_lead_is_the_difference_of_the_likelihoods(impflow, resflow):
    recorder = Recorder("07-implicit-flows", "smoke")
    implicit.record_lead(impflow, resflow, recorder, "run", required=True)
    implicit.record_lead(resflow, impflow, recorder, "run", required=True)
    one, other = recorder.rows
    assert one.id == "implicit/moons/impflow/lead-over-resflow"
    worse, better = (sum(e.value for e in case.nll) / len(case.nll) for case in (resflow, impflow))
    assert one.value == pytest.approx(worse - better) and one.value == pytest.approx(-other.value)
    assert {one.verdict, other.verdict} == {"holds", "fails"}
    told = Recorder("07-implicit-flows", "smoke")
    implicit.record_lead(impflow, resflow, told, "run")
    assert (told.rows[0].value, told.rows[0].verdict) == (one.value, "-")


def test_the_table_compares_all_studies(impflow, resflow):
    rows = implicit.compared([impflow, resflow])
    assert [row["method"] for row in rows] == ["impflow", "resflow"]
    assert rows[0]["KL"] == pytest.approx(sum(e.value for e in impflow.excess) / 2)
    assert rows[0]["unconverged"] == 0 and rows[0]["steps a solve"] > 0 == rows[1]["steps a solve"]


def test_unknown_settings_are_named(home):
    with pytest.raises(InputError, match="settings has width, which Implicit does not know"):
        implicit.planar("moons", SMALL | {"width": 3}, "impflow")


def test_real_data_has_a_gaussian_beside_it(home):
    study = implicit.real("digits", SMALL | {"actnorm": True, "fit": {"iterations": 2, "batch": 50}}, "impflow")
    assert study.gaussian.value == pytest.approx(study.results[0].history.stages[0]["val_nll"], abs=15)
    assert study.audits[0].unconverged == 0
