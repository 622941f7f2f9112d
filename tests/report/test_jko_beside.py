"""The paper's tables: measured and published numbers fall into the right cells."""

from types import SimpleNamespace

import pytest

from pushforward.report import jko_beside
from pushforward.report.beside import ABSENT
from pushforward.report.published import Published, load_published
from pushforward.report.results import Recorder

METHODS = ["jko-iflow", "ffjord"]


def number(id, value, table="Table 2"):
    return Published(id, value, "nats", table, "row", "a note", "paper2023")


def measured(*pairs):
    return [SimpleNamespace(id=id, value=value) for id, value in pairs]


def test_a_row_a_case_and_source_and_a_column_a_method():
    sources = {
        "measured": measured(
            ("jko/gas/jko-iflow-fixed-budget/nll", -8.0),
            ("jko/gas/jko-iflow/nll", -9.0),
            ("jko/gas/ffjord-fixed-budget/seconds", 5.0),
            ("implicit/gas/ffjord-fixed-budget/nll", 7.0),
        ),
        "published": [number("jko/gas/ffjord-fixed-budget/nll", -2.65)],
    }
    assert jko_beside.by_method(sources, ["gas"], METHODS, "-fixed-budget") == [
        {"case": "gas", "from": "measured", "jko-iflow": -8.0, "ffjord": ""},
        {"case": "gas", "from": "published", "jko-iflow": "", "ffjord": -2.65},
    ]
    assert jko_beside.by_method(sources, ["gas"], METHODS)[0]["jko-iflow"] == -9.0


def test_absent_data_says_what_to_do_beside_what_is_published():
    sources = {"measured": [], "published": [number("jko/power/ffjord/nll", 0.63)]}
    first, second = jko_beside.by_method(sources, ["power"], METHODS, absent=["power"])
    assert first == {"case": "power", "from": "measured", "jko-iflow": ABSENT, "ffjord": ABSENT}
    assert second["ffjord"] == 0.63


def test_a_case_without_published_numbers_has_one_row():
    sources = {"measured": [], "published": [number("jko/power/ffjord/nll", 0.63)]}
    assert jko_beside.by_method(sources, ["digits"], METHODS) == [
        {"case": "digits", "from": "measured", "jko-iflow": "", "ffjord": ""}
    ]


def test_the_papers_numbers_are_all_found():
    """Against the file itself: Table 2 has four data sets and six methods, Table A.2 four and three."""
    known = list(load_published().values())
    cases = ["power", "gas", "miniboone", "bsds300-tabular"]
    methods = ["jko-iflow", "ot-flow", "ffjord", "ignn", "i-resnet", "score-sde"]
    sources = {"measured": [], "published": jko_beside.of_table(known, "Table 2")}
    second = [r for r in jko_beside.by_method(sources, cases, methods, "-fixed-budget") if r["from"] == "published"]
    assert len(second) == 4 and all(isinstance(row[m], float) for row in second for m in methods)
    assert second[3]["jko-iflow"] == -153.82
    sources["published"] = jko_beside.of_table(known, "Table A.2")
    full = [r for r in jko_beside.by_method(sources, cases, methods[:3]) if r["from"] == "published"]
    assert len(full) == 4 and all(isinstance(row[m], float) for row in full for m in methods[:3])
    assert 17.45 in [row["NLL"] for row in jko_beside.published_sensitivity(known)]
    assert {row["case"]: row["published error"] for row in jko_beside.published_inversion(known)} == {
        "fractal-tree": 3.58e-5,
        "miniboone": 1.09e-6,
    }


@pytest.mark.parametrize(
    ("id", "table", "told"),
    [
        ("jko/miniboone/score-sde-quadratic-5/nll", "Table A.3", 1),
        ("jko/miniboone/score-sde-fixed-budget/nll", "Table 2", 0),
        ("jko/miniboone/score-sde-quadratic-5/seconds", "Table A.3", 0),
        ("jko/miniboone/ffjord/nll", "Table A.2", 0),
    ],
)
def test_the_sensitivity_table_holds_score_sde_alone(id, table, told):
    assert len(jko_beside.published_sensitivity([number(id, 1.0, table)])) == told


def test_rows_of_notebook_02_are_read_where_it_has_run(monkeypatch, tmp_path):
    monkeypatch.setenv("PUSHFORWARD_RESULTS", str(tmp_path))
    assert jko_beside.measured_elsewhere("smoke") == []
    record = Recorder(jko_beside.REAL, "smoke")
    record.add("jko/digits/jko-iflow/nll", -57.0)
    record.save()
    assert [row.value for row in jko_beside.measured_elsewhere("smoke")] == [-57.0]
