"""Rounds, their refinement and control on tiny trainings; the choice, the closed form and the exact warm start."""

import math

import pytest
import torch

from pushforward import metrics
from pushforward.catalogue import jko_gaussian, jko_paths, jko_rounds
from pushforward.catalogue.jko_gaussian import gaussian_steps
from pushforward.catalogue.jko_rounds import choose, cut, departure
from pushforward.errors import InputError
from pushforward.flows import Affine, Chain, Flow, ODEBijection
from pushforward.nets import MLP
from pushforward.numerics import FixedGrid
from pushforward.report.results import Recorder

SETTINGS = {
    "velocity": {"kind": "mlp", "widths": [8, 8], "activation": "silu"},
    "log_det": "trace",
    "blocks": 2,
    "h0": 0.5,
    "growth": 1.0,
    "steps": 2,
    "pool": 400,
    "stop_ratio": 0.0,
    "stop_on_rise": False,
    "fit": {"iterations": 30, "batch": 100, "lr": 0.02},
}
ROUNDS = {"rounds": 1, "spread": 0.0, "h_max": 20.0, "fit": {"iterations": 15}}
FFJORD = {"velocity": {"kind": "mlp", "widths": [8, 8], "activation": "tanh"}, "steps": 3, "pool": 400}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_ARTIFACTS", str(folder / "artifacts"))
        patch.setenv("PUSHFORWARD_RESULTS", str(folder / "results"))
        patch.setattr("pushforward.experiment.HELD_OUT", 400)
        yield folder


@pytest.fixture(scope="module")
def case(home):
    return jko_rounds.case("8-gaussians", SETTINGS, ROUNDS, unchanged=True, bound=1.0)


# --- the choice -------------------------------------------------------------------------------------------------------


def test_the_round_with_the_lowest_nll_of_those_that_halve_the_variation_is_chosen():
    assert choose([1.0, 0.6, 0.5, 0.4], [5.0, 1.0, 3.0, 4.0]) == 2
    assert choose([1.0, 0.6, 0.5, 0.4], [5.0, 1.0, 3.0, 2.0]) == 3


def test_where_no_round_halves_it_the_most_even_one_is_chosen():
    assert choose([1.0, 0.7, 0.8], [5.0, 4.0, 3.0]) == 1
    assert choose([1.0], [5.0]) == 0


# --- the case ---------------------------------------------------------------------------------------------------------


def test_rounds_follow_from_the_start_with_the_settings_of_the_rounds(case):
    assert len(case.results) == 2
    assert [fit.iterations for fit in case.results[0].history.fits.values()] == [30, 30]
    assert [fit.iterations for fit in case.results[1].history.fits.values()] == [15, 15]
    assert case.rows[1]["h"] != case.rows[0]["h"] == [0.5, 0.5]


def test_the_control_keeps_the_step_sizes_and_trains_as_often(case):
    assert len(case.unchanged) == 1 + case.chosen
    for result in case.unchanged[1:]:
        assert jko_rounds.step_sizes(result) == [0.5, 0.5]
        assert [fit.iterations for fit in result.history.fits.values()] == [15, 15]


def test_the_refinement_has_twice_the_blocks_of_half_the_steps(case):
    h = jko_rounds.step_sizes(case.results[case.chosen])
    assert jko_rounds.step_sizes(case.refined[-1]) == [step / 2 for step in h for _ in range(2)]


def test_nlls_are_those_of_the_metrics_and_the_difference_is_paired(case):
    test = case.results[0].split.test
    assert case.nll["before"].value == pytest.approx(metrics.nll(case.before, test).value, abs=1e-6)
    assert case.nll["refined"].value == pytest.approx(metrics.nll(case.refined[-1].flow, test).value, abs=1e-6)
    paired = metrics.kl_to_truth(case.before, case.refined[-1].flow, test)
    found = case.difference("refined", "before")
    assert found.value == pytest.approx(paired.value, abs=1e-6) and abs(found.value) > 1e-3
    assert found.se == pytest.approx(paired.se, rel=1e-4)
    assert case.rise == case.difference("after", "before")


def test_rows_are_those_of_the_issue(case):
    record = Recorder("14-jko-steps-and-cost", "smoke")
    case.record(record, "run")
    rows = {row.id: row for row in record.rows}
    stem = "jko/reparameterisation/8-gaussians"
    for quantity in ("movement-cv-before", "movement-cv-after", "nll-before", "nll-after", "nll-same-steps", "rounds"):
        assert math.isfinite(rows[f"{stem}/{quantity}"].value)
    ratio = rows[f"{stem}/movement-cv-after"].value / rows[f"{stem}/movement-cv-before"].value
    assert rows[f"{stem}/cv-ratio"].value == pytest.approx(ratio)
    assert rows[f"{stem}/cv-ratio"].source == "required: at most 1"
    assert rows[f"{stem}/nll-rise"].value == pytest.approx(
        rows[f"{stem}/nll-after"].value - rows[f"{stem}/nll-before"].value, abs=1e-6
    )
    assert rows["jko/refinement/8-gaussians/warm-start-map"].verdict == "holds"
    assert rows["jko/refinement/8-gaussians/warm-start-log-density"].verdict == "holds"


def test_a_bound_that_is_not_reached_fails(case):
    strict = jko_rounds.RoundsCase("8-gaussians", case.results, bound=1e-6)
    with pytest.raises(AssertionError, match="variation of the movements"):
        strict.check()
    record = Recorder("14-jko-steps-and-cost", "smoke")
    strict.record(record, "run")
    assert [row.verdict for row in record.rows if row.id.endswith("cv-ratio")] == ["fails"]


def test_the_summary_names_every_training_and_the_curves_its_rounds(case):
    flows = [row["flow"] for row in case.summary()]
    assert flows[-2:] == ["chosen, refined", "same steps, retrained"]
    assert sum("(chosen)" in flow for flow in flows) == 1
    curves = case.curves()
    assert len(curves["distance"]) == len(curves["val_nll"]) == 2
    assert len(curves["unchanged"]) == len(case.unchanged)


def test_data_that_is_absent_is_named(monkeypatch, capsys):
    monkeypatch.setattr(jko_rounds.datasets, "available", lambda name, profile: name != "power")
    assert jko_rounds.present({"power": 1, "flights": 2, "8-gaussians": 3}) == {"flights": 2, "8-gaussians": 3}
    assert capsys.readouterr().out == "power: data absent: make data\n"


# --- the exact warm start ---------------------------------------------------------------------------------------------


def flow(steps):
    torch.manual_seed(0)
    velocity = MLP(2, (8, 8), "silu")
    torch.nn.init.normal_(velocity.layers[-1].weight, std=0.5)
    return Flow(Chain(2, [Affine.fit(torch.randn(50, 2) * 2), ODEBijection(velocity, FixedGrid(steps))])).eval()


def test_a_flow_that_is_cut_is_the_same_map_on_an_even_grid_and_another_on_an_odd_one():
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(1))
    assert max(departure(flow(2), cut(flow(2)), x)) < 1e-12
    assert min(departure(flow(1), cut(flow(1)), x)) > 1e-8


# --- the law whose steps are known ------------------------------------------------------------------------------------


def test_gaussian_steps_solve_the_steps_own_equation():
    """sd' minimises (sd' − s)²/2h + sd'²/2 − ln sd', so that (sd' − s)/h + sd' − 1/sd' = 0."""
    sd, h = 3.0, 0.7
    later = sd - gaussian_steps([sd], [h])[0]
    assert (later - sd) / h + later - 1 / later == pytest.approx(0, abs=1e-12)
    assert gaussian_steps([1.0, 1.0], [0.5]) == pytest.approx([0.0])
    two = gaussian_steps([sd, 0.5], [h, h])
    assert two[0] == pytest.approx(math.hypot(gaussian_steps([sd], [h])[0], gaussian_steps([0.5], [h])[0]))
    assert two[1] < two[0]


def test_gaussian_steps_refuse_what_is_not_positive():
    with pytest.raises(InputError, match="positive"):
        gaussian_steps([1.0, 0.0], [0.5])


def test_the_gaussian_case_compares_movements_with_exact_ones(home):
    settings = {"pool": 1000, "blocks": 2, "fit": {"iterations": 150, "batch": 200, "lr": 0.02}}
    case = jko_gaussian.gaussian([2.0, 0.5], settings, {"rounds": 1, "fit": {"iterations": 20}})
    for row in case.steps:
        assert row["exact"] == pytest.approx(gaussian_steps([2.0, 0.5], row["h"]))
        assert row["measured"] == pytest.approx(row["exact"], rel=0.3)
    assert 0 < case.error < 0.3
    record = Recorder("14-jko-steps-and-cost", "smoke")
    case.record(record, "run")
    row = [row for row in record.rows if row.id == "jko/reparameterisation/gaussian/movement-error"]
    assert row[0].value == case.error


# --- paths ------------------------------------------------------------------------------------------------------------


def test_lengths_of_a_right_angle():
    """Two legs of 3 and 4: length 7 over a distance of 5, for every point alike; a shift is the optimal transport."""
    start = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    legs = torch.tensor([[3.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    found = jko_paths.lengths(torch.stack([start, start + legs[0], start + legs[1]]))
    assert found["length"] == pytest.approx(7.0)
    assert found["detour"] == pytest.approx(1.4)
    assert found["transport"] == pytest.approx(1.0)


def test_a_swap_of_two_far_points_is_not_optimal():
    start = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    end = torch.tensor([[9.0, 0.0], [1.0, 0.0]])
    assert jko_paths.lengths(torch.stack([start, end]))["transport"] == pytest.approx(9.0)


def test_ways_begin_at_whitened_data_and_end_in_the_latent_space():
    chosen, x = flow(2), torch.randn(30, 2, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        path = jko_paths.ways(chosen, x)
        torch.testing.assert_close(path[0], chosen.bijection.blocks[0](x))
        torch.testing.assert_close(path[-1], chosen.bijection(x), rtol=0, atol=1e-4)
    assert len(path) == jko_paths.SEGMENTS + 1


def test_paths_are_compared_with_those_of_ffjord_on_the_same_points(case):
    study = jko_paths.against_ffjord("8-gaussians", case, FFJORD | {"fit": {"iterations": 5, "batch": 50}})
    assert list(study.results) == ["jko-iflow", "jko-iflow-reparameterised", "ffjord"]
    starts = [path[0] for path in study.paths.values()]
    torch.testing.assert_close(starts[0], starts[1])
    torch.testing.assert_close(starts[0], starts[2])
    record = Recorder("14-jko-steps-and-cost", "smoke")
    study.record(record, "run")
    rows = {row.id.removeprefix("jko/8-gaussians-paths/"): row.value for row in record.rows}
    want = rows["ffjord/length"] / rows["jko-iflow/length"]
    assert rows["ffjord/length-over-jko-iflow"] == pytest.approx(want)
    assert [result.history.minibatches for result in study.trained] == [5]
    taken = case.results[: case.chosen + 1]
    assert study.cost("jko-iflow-reparameterised", "evaluations") == sum(r.history.evaluations for r in taken)
