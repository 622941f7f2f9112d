import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pushforward.errors import InputError, NonFinite
from pushforward.report.published import Published
from pushforward.report.results import (
    COLUMNS,
    Recorder,
    bound_verdict,
    merge,
    paper_verdict,
    read_rows,
    write_rows,
)

PAPER = Published("a/b/c/d", 1.0, "nats", "Table 1", "ours", "", "key2023")


@pytest.mark.parametrize(
    ("mean", "sd", "n", "better", "tolerance", "verdict"),
    [
        (0.9, None, 1, "lower", 0.0, "better"),
        (1.1, None, 1, "lower", 0.0, "worse"),
        (1.1, None, 1, "higher", 0.0, "better"),
        (0.9, None, 1, "higher", 0.0, "worse"),
        (1.0, None, 1, "lower", 0.0, "equal"),
        (1.1, None, 1, "lower", 0.11, "equal"),
        (1.09, 0.1, 4, "lower", 0.0, "equal"),  # two standard errors are 2 · 0.1 / √4 = 0.1
        (1.11, 0.1, 4, "lower", 0.0, "worse"),
        (0.89, 0.1, 4, "lower", 0.0, "better"),
        (1.11, 0.1, 4, "lower", 0.2, "equal"),
    ],
)
def test_paper_verdict(mean, sd, n, better, tolerance, verdict):
    assert paper_verdict(mean, sd, n, better, PAPER, tolerance) == verdict


def test_no_verdict_without_a_comparable_number():
    assert paper_verdict(0.5, None, 1, "lower", None) == "-"
    other = replace(PAPER, note="not comparable with ours: another picture")
    assert paper_verdict(0.5, None, 1, "lower", other) == "-"


@pytest.mark.parametrize(
    ("mean", "at_most", "at_least", "verdict"),
    [
        (1.0, 1.0, None, "holds"),
        (1.1, 1.0, None, "fails"),
        (1.0, None, 1.0, "holds"),
        (0.9, None, 1.0, "fails"),
        (0.5, 1.0, 0.0, "holds"),
        (-0.5, 1.0, 0.0, "fails"),
    ],
)
def test_bound_verdict(mean, at_most, at_least, verdict):
    assert bound_verdict(mean, at_most, at_least) == verdict


def test_a_row_holds_mean_deviation_and_source(checkout):
    row = Recorder("01-toy", "smoke").add("jko/rose/jko-iflow/nll-excess", [0.1, 0.2, 0.3], seconds=[10, 20, 30])
    assert row.value == pytest.approx(0.2)
    assert row.sd == pytest.approx(0.1)
    assert (row.n, row.seconds, row.published, row.source) == (3, 20, 0.15, "xu2023, Fig. 3, JKO-iFlow")
    assert row.verdict == "equal"  # 0.05 apart, two standard errors are 0.115


@pytest.mark.parametrize("values", [torch.tensor([1.0, 3.0]), np.array([1.0, 3.0]), (1, 3), iter([1.0, 3.0])])
def test_values_come_in_any_sequence(checkout, values):
    row = Recorder("01-toy", "smoke").add("a/b/c/d", values)
    assert (row.value, row.n, row.sd) == (2.0, 2, pytest.approx(math.sqrt(2)))


@pytest.mark.parametrize("value", [torch.tensor(2.0, requires_grad=True), np.float64(2.0), 2])
def test_one_value_has_no_deviation(checkout, value):
    row = Recorder("01-toy", "smoke").add("a/b/c/d", value)
    assert (row.value, row.n, row.sd, row.verdict, row.source) == (2.0, 1, None, "-", "")


@pytest.mark.parametrize("id", ["a/b/c", "a/b/c/d/e", "A/b/c/d", "a/b c/c/d", "a//c/d", "a/b/c/d-", "a/b_c/c/d"])
def test_a_malformed_id_is_refused(checkout, id):
    with pytest.raises(InputError, match="is no id"):
        Recorder("01-toy", "smoke").add(id, 1.0)


def test_bad_records_are_refused(checkout):
    record = Recorder("01-toy", "smoke")
    record.add("a/b/c/d", 1.0)
    with pytest.raises(InputError, match="recorded twice"):
        record.add("a/b/c/d", 1.0)
    with pytest.raises(NonFinite, match="not finite"):
        record.add("a/b/c/nan", float("nan"))
    with pytest.raises(InputError, match="no value"):
        record.add("a/b/c/none", [])
    with pytest.raises(InputError, match="published in nats"):
        record.add("jko/rose/jko-iflow/nll", 1.0, unit="bits")
    with pytest.raises(InputError, match="expected one of lower, higher, check"):
        record.add("a/b/c/e", 1.0, better="less")
    with pytest.raises(InputError, match="go together"):
        record.add("a/b/c/e", 1.0, better="check")
    with pytest.raises(InputError, match="go together"):
        record.add("a/b/c/e", 1.0, at_most=2.0)
    with pytest.raises(InputError, match="is no name"):
        Recorder("toy", "smoke")
    assert len(record.rows) == 1


def test_rows_survive_the_file(checkout):
    record = Recorder("01-toy", "smoke")
    record.add("a/b/c/one", 1.5, seconds=3, run="01-x")
    record.add("a/b/c/many", [1.0, 2.0], unit="1", better="check", at_least=0)
    path = record.save()
    assert path == checkout / "results/smoke/rows/01-toy.csv"
    back = read_rows(path)
    assert [row.id for row in back] == ["a/b/c/one", "a/b/c/many"]
    assert back[0] == record.rows[0]
    assert back[1].sd == pytest.approx(record.rows[1].sd, rel=1e-5)
    assert (back[1].verdict, back[1].source) == ("holds", "required: at least 0")


def test_the_columns_are_those_of_the_design(checkout):
    record = Recorder("01-toy", "smoke")
    record.add("a/b/c/d", 1.0)
    with record.save().open() as file:
        head = next(csv.reader(file))
    design = "id value sd n unit better published source verdict profile notebook seconds run".split()
    assert head == list(COLUMNS) == design


def test_merge_joins_the_notebooks_in_order(checkout):
    for name in ("02-b", "01-a"):
        record = Recorder(name, "smoke")
        record.add(f"a/{name}/c/d", 1.0)
        record.save()
    rows = merge("smoke")
    assert [row.notebook for row in rows] == ["01-a", "02-b"]
    assert read_rows(checkout / "results/smoke/results.csv") == rows
    write_rows(checkout / "results/smoke/rows/03-c.csv", [replace(rows[0], notebook="03-c")])
    with pytest.raises(InputError, match="comes from 01-a and from 03-c"):
        merge("smoke")


def test_a_variant_run_writes_its_own_rows(checkout, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_NOTEBOOK", "01-toy--wide")
    assert Recorder("01-toy", "smoke").notebook == "01-toy--wide"
    assert Recorder("02-other", "smoke").notebook == "02-other"


def test_reading_needs_a_file_with_these_columns(checkout):
    with pytest.raises(InputError, match="make reproduce"):
        read_rows(checkout / "none.csv")
    (checkout / "bad.csv").write_text("id,value\n")
    with pytest.raises(InputError, match="expected id, value, sd"):
        read_rows(checkout / "bad.csv")
