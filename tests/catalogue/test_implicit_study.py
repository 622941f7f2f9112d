"""The estimator study against closed forms, and against estimators that are wrong."""

import math

import pytest
import torch

from pushforward.catalogue import implicit_study
from pushforward.catalogue.implicit_study import (
    ESTIMATORS,
    Drawn,
    EstimatorStudy,
    Scaled,
    moments,
    partial_second_moments,
)
from pushforward.errors import InputError
from pushforward.implicit import Exact, Geometric, Poisson, Roulette, Truncated
from pushforward.implicit.log_det import products
from pushforward.report.results import Recorder

WORST = pytest.mark.parametrize("kappa", [0.3, 0.6])


def by_quantity(estimator, map, kappa, draws):
    return {row.quantity: row for row in moments(estimator, map, kappa, draws)}


@WORST
def test_exact_values_of_the_worst_map(kappa):
    rows = by_quantity("roulette-geometric", "worst", kappa, 100)
    assert rows["value"].exact == pytest.approx(math.log(1 - kappa), abs=1e-13)
    assert rows["gradient"].exact == pytest.approx(-kappa / (1 - kappa), abs=1e-13)


def test_the_gradient_is_the_derivative_in_the_scale():
    g, points = implicit_study._map("network", 0.8)
    _, found = implicit_study._value_and_gradient(Exact(), g, points, None)
    scale = torch.ones(len(points), 1, dtype=points.dtype)
    ahead, behind = (Exact()(Scaled(g, s * scale), points) for s in (1 + 1e-6, 1 - 1e-6))
    torch.testing.assert_close(found, (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-6)


@WORST
def test_a_truncation_errs_by_what_it_cuts_off(kappa):
    rows = by_quantity("truncated", "worst", kappa, 100)
    rest = sum(kappa**k / k for k in range(11, 400))
    assert rows["value"].bias == pytest.approx(rest, abs=1e-13) and rows["value"].sd < 1e-14
    assert rows["gradient"].bias == pytest.approx(kappa**11 / (1 - kappa), abs=1e-13)
    assert rows["gradient"].bias <= rows["gradient"].margin and rest < rows["value"].allowed
    assert rows["value"].rms == pytest.approx(rest)


@pytest.mark.parametrize(("name", "kappa"), [("roulette-geometric", 0.6), ("roulette-adapted", 0.8), ("neumann", 0.5)])
def test_theory_is_the_sum_over_all_lengths(name, kappa):
    """On the worst map an estimate depends on N alone, so its variance is a sum."""
    tail, chosen = ESTIMATORS[name](kappa).tail, ESTIMATORS[name](kappa)
    variance = 0.0
    for n in range(1, 150):
        value = Roulette(Drawn(tail, n), 2)(lambda x: -kappa * x, torch.zeros(1, 1, dtype=torch.float64))
        chance = tail.at_least(n) - tail.at_least(n + 1)
        variance += chance * (float(value) - math.log1p(-kappa)) ** 2
    assert implicit_study._theory(chosen, kappa) == pytest.approx(math.sqrt(variance), rel=1e-4)


@pytest.mark.parametrize("name", ["roulette-geometric", "roulette-adapted", "neumann"])
def test_the_measured_spread_is_that_of_the_theory(name):
    row = by_quantity(name, "worst", 0.3, 20_000)["value"]
    assert row.sd == pytest.approx(row.theory, rel=0.1)
    assert abs(row.bias) < 4 * row.se and row.se == pytest.approx(row.sd / math.sqrt(20_000))


def test_rows_of_one_call_have_lengths_of_their_own():
    random, points = torch.Generator().manual_seed(0), torch.zeros(400, 1, dtype=torch.float64)
    values, _ = implicit_study._draws(Roulette(Geometric(0.5), 0), lambda x: -0.5 * x, points, random)
    assert 5 < len(values.unique()) < 40
    shortest = (values == values.max()).double().mean()
    assert shortest == pytest.approx(0.5, abs=0.1)  # N = 1 has half the chance


def test_the_drawn_tail_keeps_the_weights_of_its_law():
    tail = Drawn(Poisson(2.0), 7)
    assert tail.draw() == 7 and tail.at_least(3) == Poisson(2.0).at_least(3)


@pytest.mark.parametrize(
    ("estimator", "kappa", "finite"),
    [
        (Truncated(3), 0.99, True),
        (Roulette(Geometric(0.5)), 0.707, True),
        (Roulette(Geometric(0.5)), 0.708, False),
        (Roulette(Poisson(2.0), 10), 0.1, False),
        (ESTIMATORS["roulette-adapted"](0.99), 0.99, True),
    ],
)
def test_where_the_second_moment_is_finite(estimator, kappa, finite):
    assert implicit_study._finite(estimator, kappa) is finite
    assert math.isnan(implicit_study._theory(estimator, kappa)) is (not finite or isinstance(estimator, Truncated))


def test_partial_sums_level_off_or_do_not():
    sums = partial_second_moments([0.5, 0.9])
    geometric, poisson, adapted = sums.values()
    assert geometric["0.5"][-1] == pytest.approx(geometric["0.5"][30], rel=1e-6)
    assert geometric["0.9"][-1] > 1e4 * adapted["0.9"][-1] and poisson["0.5"][-1] > 10 * poisson["0.5"][30]
    assert adapted["0.9"][-1] == pytest.approx(adapted["0.9"][40], rel=1e-3)
    assert len(geometric["0.5"]) == 60


@pytest.fixture(scope="module")
def study():
    return EstimatorStudy([0.3, 0.9], 300)


def test_every_check_of_a_right_library_holds(study, capsys):
    study.check()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * (len(ESTIMATORS) - 1)  # of the Poisson law nothing can be promised
    assert all(line.startswith("ok: ") and "poisson" not in line for line in lines)


class Unweighted(Roulette):
    """A roulette that forgets to divide by the chance of being summed."""

    def __call__(self, g, x, generator=None):
        probe = torch.ones_like(x)
        terms = products(g, x, probe, self.tail.draw(generator) + self.exact_terms)
        return sum((-1) ** (k + 1) / k * (term * probe).sum(1) for k, term in enumerate(terms, 1))


def test_a_wrong_estimator_is_found(monkeypatch):
    monkeypatch.setitem(ESTIMATORS, "roulette-adapted", lambda kappa: Unweighted(Geometric(0.5), 0))
    wrong = EstimatorStudy([0.6], 2000)
    with pytest.raises(AssertionError, match="roulette-adapted, worst"):
        wrong.check()
    record = Recorder("07-implicit-flows", "smoke")
    wrong.record(record, "run")
    failed = {row.id for row in record.rows if row.verdict == "fails"}
    assert "implicit/estimator-roulette-adapted/kappa-0-6/bias" in failed
    assert all("roulette-adapted" in id for id in failed)


def test_rows_and_table_of_a_study(study):
    record = Recorder("07-implicit-flows", "smoke")
    study.record(record, "run")
    rows = {row.id: row for row in record.rows}
    value = next(m for m in study.moments if (m.estimator, m.map, m.kappa) == ("neumann", "worst", 0.9))
    assert rows["implicit/estimator-neumann/kappa-0-9/bias"].value == value.bias
    assert rows["implicit/estimator-neumann/kappa-0-9/bias"].verdict == "-"  # infinite: nothing to hold it to
    assert rows["implicit/estimator-neumann/kappa-0-3/bias"].verdict == "holds"
    assert rows["implicit/estimator-neumann/kappa-0-9/sd"].value == value.sd
    assert rows["implicit/estimator-truncated/network/gradient-bias"].verdict == "holds"
    assert "implicit/estimator-roulette-poisson/network/value-bias" not in rows
    table = study.table()
    assert len(table) == len(ESTIMATORS) * 2 * 2 * 2
    assert {row["E[S²]"] for row in table if row["estimator"] == "neumann" and row["κ"] == 0.9} == {"infinite"}
    curves = study.curves()
    assert list(curves) == ["worst, value", "worst, gradient", "network, value", "network, gradient"]
    assert curves["worst, value"]["neumann"][1].tolist()[:3] == [0.9, value.rms, 0.0]


def test_two_studies_agree_to_the_bit(study):
    again = EstimatorStudy([0.9], 300)
    mine = {(m.estimator, m.map, m.quantity): m.bias for m in study.moments if m.kappa == 0.9}
    assert mine == {(m.estimator, m.map, m.quantity): m.bias for m in again.moments}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EstimatorStudy([0.5, 1.0], 100), r"kappas is \[0.5, 1.0\]"),
        (lambda: EstimatorStudy([], 100), "kappas is"),
        (lambda: EstimatorStudy([0.5], 99), "draws is 99"),
        (lambda: moments("roulette", "worst", 0.5, 100), "'roulette' on 'worst'"),
        (lambda: moments("neumann", "best", 0.5, 100), "on 'best'"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
