"""The tables and the figures' arrays hold the note's golden values."""

import numpy as np
import pytest

from pushforward.catalogue.theorems import Grid, Study, pictures, tables
from pushforward.interpolation import TARGETS, by_name, loss_floor

SMALL = Grid(times=5, side=7, points=6, errors=21, etas=(0.1, 0.01), starts=3, rtols=(1e-6,))


@pytest.fixture(scope="module")
def costs():
    return tables.costs([by_name(name) for name in ("linear", "trigonometric")]).set_index("schedule")


def test_schedules():
    table = tables.schedules([by_name(name) for name in tables.FORMULAS]).set_index("schedule")
    assert table["c of the loss floor"].tolist() == [0, 0.5, 0, 1.5, 6.25, 0]
    assert table["source"].tolist() == ["N(0, I)"] * 3 + ["a_0 Z + b_0 X_1"] * 3


@pytest.mark.parametrize(
    ("column", "values", "tolerance"),
    [
        ("sup of the bound, T-A", (4.237619, 3.403874), 1e-6),
        ("sup of the bound, T-B", (15.817566, 15.704575), 1e-6),
        ("kinetic energy", (0.56379, 0.12715), 1e-5),
        ("W2² of the ends", (0.270649153**2,) * 2, 1e-8),
        ("Euler, N = 8", (0.1237, 0.0123), 1e-4),
        ("Euler, N = 64", (0.0161, 0.0013), 1e-4),
    ],
)
def test_golden_costs(costs, column, values, tolerance):
    assert costs[column].tolist() == pytest.approx(values, abs=tolerance)


def test_energy_is_above_the_squared_distance(costs):
    assert (costs["kinetic energy"] > costs["W2² of the ends"]).all()
    assert costs["evaluations for 1e-5"].between(50, 400).all()


def test_golden_flow_map_constants():
    table = tables.constants([by_name("linear"), by_name("ve")], [TARGETS["T-A"], TARGETS["T-U"]], SMALL)
    linear, ve = table.iloc[0], table.iloc[1]
    assert linear["largest seen"] == pytest.approx(3.694528049465, abs=1e-8)
    assert linear["Lip(X_1)"] == pytest.approx(3.694528049465, abs=1e-11) and linear["by"] == "(d) mixture"
    assert linear["inverse's largest seen"] == pytest.approx(2, abs=1e-8) == linear["Lip of the inverse"]
    assert ve["Lip(X_1)"] == pytest.approx(0.720822585951, abs=1e-11)
    interval = table.iloc[2]
    assert interval["largest seen"] == pytest.approx(0.797885, abs=1e-6)
    assert interval["Lip(X_1)"] == pytest.approx(2.331644, abs=1e-6) and np.isnan(interval["Lip of the inverse"])


@pytest.mark.parametrize(
    ("name", "golden"),
    [
        ("vp", (0.00100184, 0.00572452, 0.20558685)),
        ("ve", (0.01569407, 0.08901043, 0.80590415)),
        ("ve-linear", (0.01569407, 0.08901043, 0.80590415)),
        ("linear", (0, 0, 0)),
    ],
)
def test_golden_source_stability(name, golden):
    row = tables.sources([by_name(name)], [TARGETS["T-A1"]]).iloc[0]
    assert [row["W2 out"], *row.iloc[4:]] == pytest.approx(golden, abs=2e-8)


def test_golden_perturbation():
    rows = pictures.perturbations([by_name("linear")], Grid(errors=201, etas=(0.1,)))["linear"]
    assert rows["u = 1"][0, 1:] == pytest.approx([0.137789, 0.338283, 2.3777], rel=1e-3)
    assert rows["u = sin 2x"][0, 1:] == pytest.approx([0.074977, 0.275080, 2.0770], rel=1e-3)


def test_slopes_are_taken_between_the_two_smallest_sizes():
    rows = np.array([[1.0, 9, 9, 9], [0.1, 0.1, 0.01, 7], [0.01, 0.01, 0.0001, 7]])
    assert pictures.slopes(rows) == pytest.approx([1, 2, 0])
    assert pictures.slopes(rows[::-1]) == pytest.approx([1, 2, 0])


def test_paths_of_all_schedules_end_in_the_same_points():
    found = pictures.flows([by_name(name) for name in ("linear", "vp")])
    ends = [found[name]["paths"][-1] for name in found]
    assert np.abs(ends[0] - ends[1]).max() < 1e-5
    assert found["linear"]["density"].shape == (pictures.PIXELS, pictures.STOPS)
    step = found["linear"]["x"][1] - found["linear"]["x"][0]
    assert found["linear"]["density"].sum(0) * step == pytest.approx(1, abs=1e-2)


def test_measured_curves_lie_between_their_bounds():
    panels = pictures.stretching([by_name("linear")], TARGETS["T-A"], starts=2)["linear"]
    t, values = panels["measured"]["singular values"]
    (fine, low), (_, high) = panels["bounds"].values()
    assert (values.min(1) >= np.interp(t, fine, low) - 1e-3).all() and (
        values.max(1) <= np.interp(t, fine, high) + 1e-3
    ).all()
    assert values[-1].max() == pytest.approx(high[-1], abs=1e-6)


def test_marks_of_the_branches():
    panels = pictures.branches([by_name("linear")], SMALL)
    assert panels["T-U, linear"]["mark"] == ("t_1", pytest.approx(0.4142135624))
    assert pictures.curvature([by_name("linear")], SMALL)["T-A, linear"]["mark"] == (
        "t_0",
        pytest.approx(0.77599076226),
    )
    assert len(pictures.spectra([by_name("linear")], SMALL)) == 2


def test_round_trips_gain_an_order_where_the_method_is_even():
    errors = pictures.fixed_step_errors(by_name("trigonometric"), (16, 32), 8)
    orders = pictures.orders(errors)
    assert orders["midpoint"] == pytest.approx((2, 3), abs=0.15)
    assert orders["rk4"] == pytest.approx((4, 5), abs=0.15)


def test_loops_and_likelihoods_improve_with_the_tolerance():
    for rows in pictures.loop_errors([by_name("linear")], (1e-3, 1e-5), 8).values():
        assert rows[1, 1] < 0.1 * rows[0, 1] and rows[1, 1] < 20e-5
    rows = pictures.density_errors([by_name("linear")], (1e-3, 1e-5), 8)["linear"]
    assert rows[1, 1] < 0.1 * rows[0, 1] < 1e-2


def test_the_floor_is_met_by_the_measured_loss():
    curves = pictures.floors([by_name("foellmer")], 21, 4000)["foellmer"]
    oracle = TARGETS["T-A"].make(by_name("foellmer"))
    for t, mean, se in curves["loss"]:
        assert abs(mean - loss_floor(oracle, t)) < 5 * se
    assert np.interp(0.5, *curves["floor"].T) == pytest.approx(1.96920735, rel=0.01)


def test_identities_are_listed_with_their_largest_error():
    study = Study(["linear"], ["T-A1"], SMALL)
    study._parts = {claim: [] for claim in ("a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10")}
    rows = pictures.identity_errors(study)
    assert all(key.startswith("A1  ") for key in rows) and len(rows) == 4
    assert all(0 <= row["errors"]["linear"] < row["tolerance"] == 1e-11 for row in rows.values())
