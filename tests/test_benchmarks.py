"""The benchmarks' arithmetic and rows on tiny sizes. Nothing is timed here: `make bench` does that."""

import json
import math

import pytest
import torch
from benchmarks import ablations, closed_form, memory, peers, step_time, time_to_nll
from benchmarks.__main__ import main
from benchmarks.curve import Curve, Enough
from benchmarks.paper_faithful import AdjointGrid, PlainMLP
from benchmarks.problem import Problem, paper_network, rose, zero_last_layer
from benchmarks.recipe import OURS, PAPER, Recipe, Timed, plain_paper_network
from benchmarks.settings import Settings
from benchmarks.sheet import Sheet, ratios, table

import pushforward as pf
from pushforward.catalogue.jko_cost import WAYS
from pushforward.errors import InputError, NotConverged
from pushforward.flows import ODEBijection
from pushforward.interpolation import MixtureInterpolation, by_name
from pushforward.numerics import FiniteDifference, FixedGrid
from pushforward.report.results import COLUMNS, read_rows

TINY = Settings(rounds=2, budget=1e-9, points=200, held_out=50)


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_RESULTS", str(tmp_path))
    return tmp_path / "bench"


@pytest.fixture(scope="module")
def problem():
    return Problem.of(rose(200, 50))


def curve(values, clock, **limits):
    """A curve whose judge gives ``values`` in turn and costs 100 s, on a clock that a list of one number drives."""
    remaining = iter(values)

    def judge():
        clock[0] += 100
        return next(remaining)

    return Curve(judge, clock=lambda: clock[0], **limits)


# --- the clock --------------------------------------------------------------------------------------------------------


def test_a_curve_counts_training_and_leaves_the_looks_out():
    clock = [7.0]
    watched = curve([3.0, 2.0], clock)
    for seconds in (1.5, 2.0):
        clock[0] += seconds
        watched.look()
    clock[0] += 0.25
    assert (watched.seconds, watched.nll, watched.spent()) == ([1.5, 3.5], [3.0, 2.0], 3.75)


def test_time_to_is_the_first_look_at_or_below():
    clock = [0.0]
    watched = curve([3.0, 2.0, 2.5, 1.0], clock)
    for _ in range(4):
        clock[0] += 1
        watched.look()
    assert [watched.time_to(nll) for nll in (2.9, 2.0, 1.5, 0.5)] == [2.0, 2.0, 4.0, None]


@pytest.mark.parametrize(("limits", "looks"), [({"target": 2.0}, 2), ({"budget": 3.0}, 3), ({}, 4)])
def test_a_curve_stops_at_its_target_or_budget(limits, looks):
    clock = [0.0]
    watched = curve([3.0, 2.0, 2.5, 1.0], clock, **limits)
    try:
        for _ in range(4):
            clock[0] += 1
            watched.look()
    except Enough:
        pass
    assert len(watched.nll) == looks


def test_a_missed_schedule_counts_and_is_tried_at_twice_its_length(monkeypatch):
    tried = []

    def train(self, problem, seed, target, budget):
        tried.append((self.fit.iterations, budget))
        return Curve(lambda: 0.0, seconds=[2.0], nll=[3.0 / len(tried)])

    monkeypatch.setattr(Recipe, "train", train)
    recipe = OURS.but(iterations=10)
    assert recipe.time_to(None, 0, target=1.0, limit=100.0) == Timed(6.0, True)
    assert tried == [(10, 100.0), (20, 98.0), (40, 96.0)]
    tried.clear()
    assert recipe.time_to(None, 0, target=0.1, limit=3.0) == Timed(4.0, False)


# --- the two sides are what they claim to be --------------------------------------------------------------------------


def test_the_baseline_has_the_settings_of_the_paper():
    fit = PAPER.fit
    assert (fit.batch, fit.lr, fit.schedule, fit.warmup, fit.clip) == (2000, 1e-4, "constant", 0, 1.0)
    assert (fit.optimizer, fit.betas, fit.weight_decay) == ("adam", (0.9, 0.999), 0.0)
    assert (PAPER.solver, PAPER.divergence, PAPER.log_det) == (AdjointGrid(3), FiniteDifference(0.02), "trace")
    assert sum(p.numel() for p in PAPER.network(0).parameters()) == 33_666


def test_both_sides_start_from_the_same_weights():
    ours, paper = paper_network(3), plain_paper_network(3)
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(paper(0.0, x), ours(0.0, x))
    assert ours(0.0, x).abs().max() > 0
    assert not torch.equal(paper_network(4)(0.0, x), ours(0.0, x))
    assert torch.equal(zero_last_layer(3)(0.0, x), torch.zeros(20, 2))


def test_the_adjoint_grid_solves_the_same_ode_and_has_its_gradients():
    x = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    results = []
    for solver, network in ((AdjointGrid(12), PlainMLP), (FixedGrid(12), lambda net: net)):
        velocity = network(paper_network(0).double())
        z, log_det = ODEBijection(velocity, solver, "trace").forward_and_log_det(x)
        (z.square().sum() - log_det.sum()).backward()
        gradient = dict(velocity.named_parameters())[next(n for n, _ in velocity.named_parameters())].grad
        results.append((z, log_det, gradient))
    for adjoint, plain in zip(*results, strict=True):
        torch.testing.assert_close(adjoint, plain, rtol=1e-4, atol=1e-5)


def test_but_finds_settings_of_the_recipe_and_of_its_fit():
    other = OURS.but(lr=1e-4, solver=FixedGrid(3))
    assert (other.fit.lr, other.solver) == (1e-4, FixedGrid(3))
    assert (other.fit.batch, other.log_det) == (OURS.fit.batch, OURS.log_det)
    with pytest.raises(TypeError):
        OURS.but(rate=1.0)


def test_the_judge_gives_the_gaussian_its_closed_form():
    """A block at rest leaves the affine map alone: the NLL is that of the Gaussian with the points' own moments."""
    split = rose(4000, 4000)
    split = type(split)(**{**vars(split), "val": split.train})
    covariance = torch.cov(split.train.double().T, correction=0)
    gaussian = 1 + math.log(2 * math.pi) + 0.5 * torch.logdet(covariance).item()
    assert Problem.of(split).nll(zero_last_layer(0)) == pytest.approx(gaussian, abs=1e-5)
    raw = math.log(2 * math.pi) + 0.5 * split.train.double().square().sum(1).mean().item()
    assert Problem.of(split, affine=False).nll(zero_last_layer(0)) == pytest.approx(raw, abs=1e-5)


def test_a_recipe_stops_at_its_budget_and_learns_below_its_start(problem):
    start = problem.nll(paper_network(0))
    recipe = OURS.but(iterations=30, batch=100, validate_every=10)
    assert len(recipe.train(problem, 0, budget=1e-9).nll) == 1
    learned = recipe.train(problem, 0)
    assert len(learned.nll) == 3 and learned.nll[-1] < start
    assert learned.seconds == sorted(learned.seconds)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_a_row_is_the_median_with_its_spread(results):
    sheet = Sheet("arithmetic", {"a": 1}, [0, 1, 2])
    sheet.add("bench/jko-rose/ours/step-time", ratios([6.0, 9.0, 40.0], [2.0, 3.0, 4.0]), "ratio", "higher", "a note")
    sheet.add("bench/jko-rose/ours/time-to-nll", [2.5], "s", "lower")
    split = rose(20, 10)
    sheet.save([split], training_seconds=1.5)
    many, one = read_rows(results / "arithmetic.csv")
    assert (many.value, many.n, many.source) == (3.0, 3, "median of 3, 3 to 10; a note")
    assert many.sd == pytest.approx(math.sqrt(49 / 3), rel=1e-5)
    assert (many.verdict, many.profile, many.notebook, many.published) == ("-", "bench", "benchmarks", None)
    assert (one.value, one.sd, one.n, one.source) == (2.5, None, 1, "")
    assert (results / "arithmetic.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    record = json.loads((results / "runs" / f"{many.run}.json").read_text())
    assert (record["parameters"], record["seeds"], record["training_seconds"]) == ({"a": 1}, [0, 1, 2], 1.5)
    assert record["data"][0]["sha256"] == split.sha256
    lines = table([many, one]).splitlines()
    assert len(lines) == 2 and "3.0 ± 4.0 (3)" in lines[0] and "a note" in lines[0]


@pytest.mark.parametrize(
    ("id", "values", "message"),
    [
        ("bench/jko-rose/ours", [1.0], "malformed"),
        ("bench/jko-rose/ours/step-time", [], "no value"),
        ("bench/jko-rose/twice/step-time", [1.0], "recorded twice"),
    ],
)
def test_a_sheet_refuses_what_is_no_row(id, values, message):
    sheet = Sheet("refusals", {}, [0])
    sheet.add("bench/jko-rose/twice/step-time", [1.0], "s", "lower")
    with pytest.raises(InputError, match=message):
        sheet.add(id, values, "s", "lower")


def test_rows_of_time_to_nll():
    sheet = Sheet("time-to-nll", {}, [0, 1])
    time_to_nll.record(sheet, [time_to_nll.Round(3.5, 100, 2, 1), time_to_nll.Round(3.4, 60, 3, 1)])
    values = {row.id.removeprefix("bench/jko-rose/"): row.value for row in sheet.rows}
    assert values == {
        "ours-vs-paper-faithful/time-to-nll": 35.0,
        "lattice-vs-paper-faithful/time-to-nll": 80.0,
        "paper-faithful/time-to-nll": 80.0,
        "ours/time-to-nll": 2.5,
        "lattice/time-to-nll": 1.0,
        "paper-faithful/nll-at-budget": 3.45,
    }


def test_a_side_that_does_not_get_there_is_an_error(problem, monkeypatch):
    monkeypatch.setattr(time_to_nll, "PAPER", PAPER.but(batch=10, validate_every=1))
    monkeypatch.setattr(Recipe, "time_to", lambda *_: Timed(9.0, False))
    with pytest.raises(NotConverged, match="ours did not reach"):
        time_to_nll.one_round(problem, 0, budget=1e-9)


def test_an_ablation_says_when_a_side_gave_up():
    idea, rejected = ablations.IDEAS[0], next(i for i in ablations.IDEAS if not i.kept)
    sheet = Sheet("ablations", {}, [0, 1, 2])
    fast, slow, lost = Timed(2.0, True), Timed(6.0, True), Timed(20.0, False)
    row = ablations.add(sheet, idea, [(slow, fast), (slow, fast), (lost, fast)])
    assert (row.value, row.n) == (3.0, 3)
    assert "kept" in row.source and "at least" in row.source and "at most" not in row.source
    row = ablations.add(sheet, rejected, [(fast, slow), (fast, lost)])
    assert row.value == pytest.approx((2 / 6 + 2 / 20) / 2)
    assert "not kept" in row.source and "at most" in row.source and "at least" not in row.source


def test_ideas_have_ids_of_their_own_and_differ_from_their_reference():
    names = [idea.name for idea in ablations.IDEAS]
    assert len(set(names)) == len(names)
    assert all((idea.other, idea.affine) != (idea.reference, True) for idea in ablations.IDEAS)


def test_rows_of_step_time(results, monkeypatch):
    monkeypatch.setattr(
        Recipe, "step_seconds", lambda self, *_, **__: 0.4 if self == PAPER else self.fit.batch / 20_000
    )
    step_time.run(TINY, say=lambda line: None)
    rows = read_rows(results / "step-time.csv")
    values = {row.id.removeprefix("bench/jko-rose/"): row.value for row in rows}
    assert values == {"ours-vs-paper-faithful/step-time": 4.0, "paper-faithful/step-time": 0.4, "ours/step-time": 0.1}
    assert {row.n for row in rows} == {step_time.TURNS * TINY.rounds}


def test_a_step_takes_time(problem):
    assert OURS.but(batch=10).step_seconds(problem, 0, steps=2) > 0


# --- memory -----------------------------------------------------------------------------------------------------------


def test_the_loop_over_components_gives_the_closed_form(results, monkeypatch):
    for name, value in (("COMPONENTS", 5), ("DIM", 3), ("POINTS", 40)):
        monkeypatch.setattr(closed_form, name, value)
    oracle = MixtureInterpolation(closed_form.mixture(), by_name("foellmer"))
    x = oracle.sample(0.3, 40, torch.Generator().manual_seed(0), torch.float64)
    torch.testing.assert_close(closed_form.loop(oracle, 0.3, x), oracle(0.3, x), rtol=0, atol=1e-11)
    rows = closed_form.run(Settings(rounds=1), print)
    assert [row.unit for row in rows] == ["ratio", "s", "s"] and all(row.value > 0 for row in rows)
    assert rows[0].n == closed_form.TURNS


@pytest.mark.parametrize("way", WAYS)
def test_both_ways_have_blocks_of_the_papers_network_and_equal_steps(way):
    chosen = memory.family(way, 4)
    found = pf.train(chosen, rose(200, 50), device="cpu")[0]
    odes = [part for part in found.modules() if isinstance(part, ODEBijection)]
    assert [ode.velocity.settings() for ode in odes] == [paper_network(0).settings()] * 4
    assert {(ode.solver, ode.log_det) for ode in odes} == {(FixedGrid(2), "trace")}
    assert chosen.fit.batch == memory.BATCH and chosen.divergence == "exact"


def test_block_by_block_all_steps_are_equal():
    assert memory.family("block-wise", 4).step_sizes() == [memory.H] * 4


def test_memory_rows_come_from_fresh_processes(results, monkeypatch):
    figures = {"block-wise": lambda blocks: 100.0, "end-to-end": lambda blocks: 350.0 * blocks}
    monkeypatch.setattr(memory, "peak", lambda way, blocks: figures[way](blocks))
    memory.run(TINY, say=lambda line: None)
    rows = {row.id.removeprefix("bench/jko-rose/"): row.value for row in read_rows(results / "memory.csv")}
    assert rows["block-wise-vs-end-to-end/peak-memory-4"] == 14.0
    assert rows["block-wise/peak-memory-16"] == 100.0
    assert len(rows) == 3 * len(memory.BLOCKS) == 12


@pytest.mark.parametrize("way", WAYS)
def test_a_fresh_process_is_asked_for_the_peak(way, monkeypatch):
    """What such a process answers, tests/test_peak_memory.py looks at."""
    asked = []
    monkeypatch.setattr(memory, "training_peak", lambda *question: asked.append(question) or 7.0)
    assert memory.peak(way, 3, 50) == 7.0
    [(chosen, points, iterations)] = asked
    assert chosen == memory.family(way, 3, 50) and chosen.fit.batch == 50
    assert chosen.name == {"block-wise": "jko-iflow", "end-to-end": "ffjord"}[way] and chosen.blocks == 3
    assert points.shape == (memory.POOL, 2) and iterations == memory.ITERATIONS


# --- peers and the command line ---------------------------------------------------------------------------------------


def test_nll_at_is_that_of_the_last_finished_stage():
    stages = [{"seconds": 1.0, "val_nll": 4.0}, {"seconds": 50.0, "val_nll": 3.0}, {"seconds": 60.0, "val_nll": 2.0}]
    assert peers.nll_at(stages, [0.5, 50.9, 51.0, 110.0, 111.0, 500.0]) == [4.0, 4.0, 3.0, 3.0, 2.0, 2.0]


def test_the_settings_of_the_quick_profile_are_understood():
    assert peers.family(peers.JKO, peers.rose_settings()).blocks >= 1


def test_the_command_line_runs_what_it_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(memory, "peak", lambda way, blocks: float(blocks))
    assert main(["--only", "memory", "--rounds", "1"]) == 0
    out = capsys.readouterr().out
    assert "memory: done" in out and "bench/jko-rose/block-wise-vs-end-to-end/peak-memory-8" in out
    assert main(["--only", "memory", "--rounds", "0"]) == 1
    assert "rounds=0" in capsys.readouterr().err
