from statistics import fmean

import pytest
import torch

from cases import generator, normal
from pushforward import datasets
from pushforward.catalogue import classification as classifiers
from pushforward.classification.blocks import ReLUConvs
from pushforward.datasets import Labelled
from pushforward.errors import InputError
from pushforward.report.provenance import Run
from pushforward.report.results import Recorder

SETTINGS = {"stages": [[2, 2]], "fit": {"iterations": 4, "batch": 8, "lr": 0.01}}
NAME = "digits-classification"


def noise(name, profile, seed):
    parts = []
    for k, n in enumerate((20, 10, 16)):
        parts += [normal(n, 9, seed=100 * seed + k, dtype=torch.float32)]
        parts += [torch.randint(3, (n,), generator=generator(100 * seed + k))]
    return Labelled(*parts, (1, 3, 3), 3, name, "drawn by the test", "none needed")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("PUSHFORWARD_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(datasets, "labelled", noise)
    torch.set_num_threads(1)
    return tmp_path


def found(coeffs=(0.9, 0.6), seeds=(0, 1)):
    return classifiers.studies("digits", SETTINGS, coeffs, seeds)


def test_every_method_at_every_coefficient_and_one_without():
    each = found()
    assert [(s.method, s.coeff) for s in each] == [
        ("impflow-0-9", 0.9),
        ("resflow-0-9", 0.9),
        ("impflow-0-6", 0.6),
        ("resflow-0-6", 0.6),
        ("vanilla", None),
    ]
    assert {s.name for s in each} == {NAME}
    for study in each[:4]:
        assert study.parameters == each[0].parameters
        assert [r.split.sha256 for r in study.results] == [noise("digits", "quick", seed).sha256 for seed in (0, 1)]
        nets = [part for result in study.results for part in result.network.modules() if isinstance(part, ReLUConvs)]
        assert len(nets) == 4 and {net.coeff for net in nets} == {study.coeff}


def test_the_table_has_means_over_seeds_and_sums_of_solves():
    each = found()
    rows = classifiers.compared(each)
    assert [row["c"] for row in rows] == [0.9, 0.9, 0.6, 0.6, None]
    first = each[0]
    assert first.error == [result.error("test") for result in first.results]
    assert rows[0]["error %"] == fmean(first.error) and rows[0]["seeds"] == 2
    assert rows[0]["validation %"] == fmean(result.error("val") for result in first.results)
    # one block, 8 rows, 4 steps, forward and backward, two seeds
    assert rows[0]["solves"] == 1 * 8 * 4 * 2 * 2 and rows[0]["unconverged"] == 0
    assert rows[0]["worst bound"] <= 1e-6 and rows[0]["steps a solve"] > 0
    assert rows[1]["solves"] == 0 and rows[1]["steps a solve"] == 0


def test_lines_of_the_figure():
    each = found()
    lines = classifiers.lines(each)
    assert list(lines) == ["impflow", "resflow", "vanilla"]
    assert lines["resflow"] == [(0.9, fmean(each[1].error)), (0.6, fmean(each[3].error))]
    assert lines["vanilla"] == [(1.0, fmean(each[4].error))]


def test_rows_of_the_results():
    each = found()
    recorder = Recorder("08-implicit-flows-real-data", "smoke")
    for study in each:
        study.record(recorder, "run")
    rows = {row.id: row for row in recorder.rows}
    quantities = ("error", "validation-error", "seconds", "solves-unconverged", "certified-error")
    bounded = [f"implicit/{NAME}/{m}/{q}" for m in ("impflow-0-9", "resflow-0-6") for q in quantities]
    assert set(bounded) <= set(rows)
    assert f"implicit/{NAME}/vanilla/solves-unconverged" not in rows
    row = rows[f"implicit/{NAME}/impflow-0-9/error"]
    assert (row.value, row.n, row.unit) == (fmean(each[0].error), 2, "%")
    assert rows[f"implicit/{NAME}/impflow-0-9/solves-unconverged"].verdict == "holds"


def test_the_difference_is_a_mean_over_coefficients_and_below_zero_where_impflow_is_ahead():
    each = found()
    for study, errors in zip(each, ([1.0, 2.0], [5.0, 4.0], [3.0, 9.0], [4.0, 3.0], [0.0, 0.0]), strict=True):
        study.__dict__["error"] = errors  # in place of what was measured
    recorder = Recorder("08-implicit-flows-real-data", "smoke")
    classifiers.record_lead(each, recorder, "run")
    (row,) = recorder.rows
    assert row.id == f"implicit/{NAME}/impflow/error-over-resflow"
    assert (row.value, row.n) == (pytest.approx(((-4 - 1) / 2 + (-2 + 6) / 2) / 2), 2)


def test_an_unconverged_solve_fails_its_row():
    study = found(coeffs=(0.9,), seeds=(0,))[0]
    study.results[0].audit.unconverged = 3
    study.results[0].audit.worst = 1e-5
    recorder = Recorder("08-implicit-flows-real-data", "smoke")
    study.record(recorder, "run")
    verdicts = {row.id.split("/")[-1]: row.verdict for row in recorder.rows}
    assert verdicts["solves-unconverged"] == verdicts["certified-error"] == "fails"


def test_published_numbers_stand_beside_those_of_the_same_data():
    study = classifiers.studies("cifar-10", SETTINGS, [0.99])[0]
    recorder = Recorder("08-implicit-flows-real-data", "smoke")
    study.record(recorder, "run")
    assert recorder.rows[0].id == "implicit/cifar-10-classification/impflow-0-99/error"
    assert recorder.rows[0].published == 7.29


def test_the_run_tells_of_these_trainings(own_folders):
    results = [result for study in found(coeffs=(0.9,), seeds=(0,)) for result in study.results]
    Run("08-implicit-flows-real-data", "smoke", parameters={}).save(results)
    text = next((own_folders / "results").rglob("08-implicit-flows-real-data.json")).read_text()
    assert results[0].key in text and "drawn by the test" in text


def test_an_unknown_setting_is_refused():
    with pytest.raises(InputError, match="depth"):
        classifiers.studies("digits", {"depth": 3}, [0.9])
