"""Slack is what its definition says, NaN never passes, and a study records a row a claim and schedule."""

import math

import pytest
import torch

from pushforward.catalogue.theorems import CLAIMS, Grid, Study, grid, parts
from pushforward.catalogue.theorems.study import Claim
from pushforward.errors import InputError, NonFinite
from pushforward.interpolation import TARGETS, by_name
from pushforward.report.results import Recorder

MAKER = parts.Maker("a4", by_name("linear"), TARGETS["T-A1"])


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_RESULTS", str(tmp_path / "results"))


def holds(part):
    return part.slack >= part.least


def test_slack_of_a_bound_is_the_smallest_gap():
    part = MAKER.bound("b", parts.PAPER, [torch.tensor([3.0, 0.5]), 2.0])
    assert (part.slack, part.least, part.target, part.schedule) == (0.5, -1e-9, "T-A1", "linear")
    assert (
        holds(part)
        and holds(MAKER.bound("b", parts.PAPER, -0.9e-9))
        and not holds(MAKER.bound("b", parts.PAPER, [1.0, -1.1e-9]))
    )


def test_slack_of_an_identity_is_the_tolerance_less_the_largest_error_of_either_sign():
    part = MAKER.identity("i", parts.PAPER, torch.tensor([[1e-3, -4e-3]]), 1e-2)
    assert part.slack == pytest.approx(6e-3) and part.error == pytest.approx(4e-3) and part.least == 0
    assert not holds(MAKER.identity("i", parts.PAPER, -2e-2, 1e-2))


def test_equality_allows_1e_10_either_way():
    assert holds(MAKER.equality("e", parts.PAPER, 0.9e-10)) and holds(MAKER.equality("e", parts.PAPER, -0.9e-10))
    assert not holds(MAKER.equality("e", parts.PAPER, -1.1e-10))


@pytest.mark.parametrize("make", [MAKER.bound, MAKER.equality])
def test_nan_does_not_hold(make):
    assert not holds(make("n", parts.PAPER, [1.0, math.nan, 2.0]))
    assert not holds(MAKER.identity("n", parts.PAPER, [0.0, math.nan], 1.0))


@pytest.mark.parametrize("t", [0.0, 0.4, 1.0])
def test_the_marginal_is_the_law_of_the_interpolation(t):
    target, schedule = TARGETS["T-C"], by_name("vp")
    x = parts.noise(5, 2)
    found = parts.marginal(target.law, schedule, t).log_prob(x)
    torch.testing.assert_close(found, target.make(schedule).log_prob(t, x), rtol=0, atol=1e-12)


def test_pairs_and_gaussians_are_told_apart():
    pairs = {name for name, target in TARGETS.items() if parts.is_symmetric_pair(target)}
    assert pairs == {"T-A", "T-A1", "T-D", "T-H"}
    assert {name for name, target in TARGETS.items() if parts.is_gaussian(target)} == {"T-G"}


def test_a_grid_from_plain_settings():
    assert grid({"etas": [0.1], "side": 5}) == Grid(etas=(0.1,), side=5)
    with pytest.raises(InputError, match=r"grid has sides, expected some of .*side"):
        grid({"sides": 5})


def test_names_are_checked_and_no_claim_stays_without_a_target():
    with pytest.raises(InputError, match="T-Z"):
        Study(["linear"], ["T-A1", "T-Z"], Grid())
    with pytest.raises(InputError, match="cubic"):
        Study(["cubic"], ["T-A1"], Grid())
    with pytest.raises(InputError, match=r"can show a8.*T-A1"):
        Study(["linear"], ["T-A", "T-U"], Grid())


def fake(gaps):
    """Claims that found a bound with these gaps by schedule, and an equality in the first."""

    def measure(schedule, target, grid):
        make = parts.Maker("a", schedule, target)
        found = [make.bound("wide", parts.PAPER, 5.0), make.bound("close", parts.DERIVED, gaps[schedule.name])]
        return [*found, make.equality("attained", parts.DERIVED, 3e-11)]

    return {f"a{k}": Claim("a claim", measure, lambda target: target.name == "T-A1") for k in range(1, 11)}


def study_of(monkeypatch, gaps):
    monkeypatch.setattr("pushforward.catalogue.theorems.study.CLAIMS", fake(gaps))
    return Study(list(gaps), ["T-A1", "T-A"], Grid())


def test_every_claim_and_schedule_has_its_rows(monkeypatch):
    study = study_of(monkeypatch, {"linear": 0.25, "ve-linear": -1e-12})
    record = Recorder("05-x", "smoke")
    study.record(record, "05-x")
    rows = {row.id: row for row in record.rows}
    wanted = {
        f"gif/a{k}/{name}/{what}"
        for k in range(1, 11)
        for name in ("linear", "ve-linear")
        for what in ("slack", "equality")
    }
    assert set(rows) == wanted
    assert {row.verdict for row in rows.values()} == {"holds"} and {row.better for row in rows.values()} == {"check"}
    assert rows["gif/a3/linear/slack"].value == 0.25 and rows["gif/a3/ve-linear/slack"].value == -1e-12
    assert rows["gif/a3/linear/equality"].value == pytest.approx(3e-11)
    assert "at least -1e-09" in rows["gif/a10/linear/slack"].source
    assert "at most 1e-10" in rows["gif/a10/linear/equality"].source


def test_a_violated_bound_fails_in_the_rows_and_in_the_check(monkeypatch):
    study = study_of(monkeypatch, {"linear": 0.25, "vp": -0.125})
    record = Recorder("05-x", "smoke")
    study.record(record, "05-x")
    assert {row.id for row in record.rows if row.verdict == "fails"} == {f"gif/a{k}/vp/slack" for k in range(1, 11)}
    with pytest.raises(AssertionError, match=r"A4, close: slack is -0.125"):
        study.check("a4")


def test_a_number_that_is_none_is_no_result(monkeypatch):
    study = study_of(monkeypatch, {"linear": math.nan})
    with pytest.raises(NonFinite, match="gif/a1/linear/slack"):
        study.record(Recorder("05-x", "smoke"), "05-x")


def test_checks_print_one_line_a_statement(monkeypatch, capsys):
    study_of(monkeypatch, {"linear": 0.25, "vp": 0.5}).check("a2")
    assert capsys.readouterr().out.splitlines() == [
        "ok: A2, wide: slack is above -1e-09",
        "ok: A2, close: slack is above -1e-09",
        "ok: A2, attained: slack is above 0",
    ]


def test_tables_of_a_study(monkeypatch):
    study = study_of(monkeypatch, {"linear": 0.25, "vp": -0.125})
    table = study.table("a1").set_index("statement")
    assert table.loc["close", ["linear", "vp"]].tolist() == [0.25, -0.125]
    assert table.loc["close", "source"] == "derived here" and table.loc["wide", "kind"] == "bound"
    summary = study.summary().set_index("claim")
    assert len(summary) == 10 and summary.loc["A7", ["linear", "vp"]].tolist() == [0.25, -0.125]


def test_the_book_has_ten_claims():
    assert list(CLAIMS) == [f"a{k}" for k in range(1, 11)]
