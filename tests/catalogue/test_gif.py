"""The learned flows' cases: measured with the metrics they stand for, and set against each other and against JKO."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from cases import normal, split_of
from pushforward import datasets, metrics
from pushforward.catalogue import cases, gif
from pushforward.catalogue.cases import EXTENT, PlanarCase
from pushforward.catalogue.settings import family
from pushforward.distributions import GaussianMixture
from pushforward.errors import InputError, NotInvertible
from pushforward.families import Interpolation, TrainingHistory
from pushforward.flows import Affine, Chain, Flow, ODEBijection, with_solver
from pushforward.nets import TimeLattice
from pushforward.numerics import Adaptive, FixedGrid
from pushforward.report.results import Recorder
from pushforward.seeds import stream

LATTICE = {
    "schedule": "trigonometric",
    "net": {"kind": "time-lattice", "levels": [[16, 0.0, 3]]},
    "pool": 2000,
    "fit": {"iterations": 30, "batch": 500, "lr": 0.05},
}
NETWORK = {
    "schedule": "linear",
    "net": {"kind": "mlp", "widths": [16], "activation": "silu"},
    "precondition": ["affine", "radial"],
    "fit": {"iterations": 10, "batch": 128, "lr": 0.002},
}
POINTS = 600  # fewer than any measurement takes at most


@pytest.fixture(scope="module")
def study(home):
    return gif.planar("8-gaussians", LATTICE, "trigonometric", range(2), POINTS)


@pytest.fixture(scope="module")
def digits(home):
    return gif.real("digits", NETWORK, "linear", profile="smoke")


# --- settings ---------------------------------------------------------------------------------------------------------


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def test_plain_has_as_many_parameters_as_the_lattice_within_one_per_cent():
    plain, ours = (family(Interpolation, settings).ode(2) for settings in (gif.PLAIN, {}))
    assert isinstance(ours.velocity.net, TimeLattice)
    assert parameters(plain) == 3 * 256 + 256 + 2 * (256 * 256 + 256) + 256 * 2 + 2
    assert parameters(plain) == pytest.approx(parameters(ours), rel=0.01)


@pytest.mark.parametrize("settings", [gif.PLAIN, gif.PLAIN_REAL])
def test_plain_is_flow_matching_as_it_is_usually_run(settings):
    chosen = family(Interpolation, settings)
    assert (chosen.schedule, chosen.prediction, chosen.coupling) == ("linear", "velocity", "independent")
    assert chosen.emphasis == 1 and not chosen.antithetic  # uniform times, plain draws
    assert chosen.times() == (0.0, 1.0)


def test_plain_on_real_data_differs_in_depth_and_preconditioners_only():
    assert {key for key in gif.PLAIN_REAL if gif.PLAIN_REAL[key] != gif.PLAIN.get(key)} == {"net", "precondition"}
    assert gif.PLAIN_REAL["precondition"] == ["affine", "radial"]
    assert gif.PLAIN_REAL["net"] == gif.PLAIN["net"] | {"widths": [256, 256]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gif.planar("dahlia", LATTICE, "x"), "dahlia"),
        (lambda: gif.planar("rose", LATTICE | {"blocks": 2}, "x"), "has blocks, which Interpolation does not know"),
        (lambda: gif.real("dahlias", NETWORK, "x"), "dahlias"),
    ],
)
def test_unknown_laws_data_and_settings_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


# --- measurements -----------------------------------------------------------------------------------------------------


def test_a_seed_each_on_points_of_its_own(study):
    first, second = study.results
    assert [len(getattr(first.split, part)) for part in ("train", "val", "test")] == [2000, POINTS, POINTS]
    assert not torch.equal(first.split.test, second.split.test)
    assert study.nll[0].value != study.nll[1].value and study.name == "8-gaussians"


def test_levels_are_those_of_the_metrics(study):
    for result, nll, excess in zip(study.results, study.nll, study.excess, strict=True):
        assert nll == metrics.nll(result.flow, result.split.test)
        assert excess == metrics.kl_to_truth(study.law, result.flow, result.split.test)
    assert study.curve()[-1]["KL"] == pytest.approx(
        metrics.kl_to_truth(study.law, study.flow, study.results[0].split.val).value, abs=1e-4
    )


def test_mmd_compares_as_many_samples_as_there_are_test_points(study):
    for seed, (result, found) in enumerate(zip(study.results, study.mmd, strict=True)):
        samples = result.flow.sample(cases.MMD_POINTS, stream(seed, "samples"))[:POINTS]
        test = result.split.test
        exact = metrics.mmd_test(test, samples, "mmd-c", generator=stream(0, "permutations"))
        assert found == exact and found.n == found.m == POINTS and found.unbiased


def test_density_columns_hold_the_truth_and_every_method(study):
    columns = gif.density_columns({"plain": study, "angle": study}, 20)
    assert list(columns) == ["true", "plain", "angle"]
    true, learned = study.density_grids(20)
    assert np.array_equal(columns["true"], true)
    assert np.array_equal(columns["plain"], learned) and np.array_equal(columns["angle"], learned)
    row, column = 14, 6
    point = torch.tensor([[(column + 0.5) / 20, (row + 0.5) / 20]]) * 2 * EXTENT - EXTENT
    with torch.no_grad():
        assert learned[row, column] == pytest.approx(float(study.flow.log_prob(point).exp()), rel=1e-3)


class Counting(nn.Module):
    """A field that turns and shrinks, and notes where it is asked, copies of it included."""

    asked = []

    def __init__(self, rate):
        super().__init__()
        self.dim, self.rate = 2, rate

    def forward(self, t, x):
        Counting.asked.append(x[0].tolist())
        return self.rate * torch.tanh(x.flip(1)) - x


def counted(function):
    Counting.asked.clear()
    function()
    return len(Counting.asked)


def flow_of(*rates, solver):
    affine = Affine.fit(normal(100, 2, dtype=torch.float32))  # asks no velocity
    return Flow(Chain(2, [affine, *(ODEBijection(Counting(rate), solver) for rate in rates)]))


@pytest.mark.parametrize("rates", [(3.0,), (3.0, 0.5)])
def test_nfe_counts_every_evaluation_of_every_ode(rates):
    flow = flow_of(*rates, solver=Adaptive(1e-5, 1e-5))
    exact = counted(lambda: flow.sample(1000, stream(0, "nfe")))
    (found,) = PlanarCase("gif", "x", "m", None, [SimpleNamespace(flow=flow)]).nfe
    assert found == exact
    assert (found - 2 * len(rates)) % 6 == 0  # dopri5: two to choose the first step, six a step
    assert exact != counted(lambda: with_solver(flow, Adaptive(1e-4, 1e-4)).sample(1000, stream(0, "nfe")))


def test_nfe_is_that_of_dopri5_whatever_the_flow_is_sampled_with_and_leaves_it_alone():
    flow = flow_of(3.0, solver=FixedGrid(50))
    adaptive = with_solver(flow, Adaptive(1e-5, 1e-5))
    study = PlanarCase("gif", "x", "m", None, [SimpleNamespace(flow=flow)] * 2)
    found = counted(lambda: study.nfe)
    noted = list(Counting.asked)
    assert study.nfe == [counted(lambda seed=seed: adaptive.sample(1000, stream(seed, "nfe"))) for seed in range(2)]
    assert sum(study.nfe) == found and noted[0] != noted[study.nfe[0]]  # other noise for another seed
    assert flow.bijection.blocks[1].solver == FixedGrid(50)
    assert not flow.bijection.blocks[1].velocity._forward_hooks


# --- tables -----------------------------------------------------------------------------------------------------------


def test_compared_has_a_row_a_study(study, digits):
    planar, real = gif.compared([study, digits])
    assert list(planar) == list(real)
    assert (planar["case"], planar["method"], planar["level"]) == ("8-gaussians", "trigonometric", "KL")
    assert (real["case"], real["method"], real["level"]) == ("digits", "linear", "NLL")
    assert planar["nats"] == pytest.approx((study.excess[0].value + study.excess[1].value) / 2)
    assert planar["CPU s"] == pytest.approx(sum(r.history.seconds for r in study.results) / 2)
    assert (planar["se"], planar["seeds"], real["seeds"]) == (study.excess[0].se, 2, 1)
    assert (real["nats"], real["se"]) == (digits.nll[0].value, digits.nll[0].se)
    assert (real["mmd²"], real["threshold"]) == (digits.mmd[0].value, digits.mmd[0].threshold)
    assert planar["nfe"] == study.nfe[0] and real["nfe"] == digits.nfe[0]
    assert planar["parameters"] == 2 * 16 * 16 * 4
    assert real["parameters"] == 65 * 16 + 16 + 16 * 64 + 64


def test_references_are_rows_of_the_same_table(digits):
    rows = gif.references([digits])
    assert [(row["case"], row["method"], row["level"]) for row in rows] == [
        ("digits", "gaussian", "NLL"),
        ("digits", "elliptical", "NLL"),
    ]
    assert set(rows[0]) <= set(gif.compared([digits])[0])
    split = digits.results[0].split
    mean, covariance = split.train.double().mean(0), torch.cov(split.train.double().T, correction=0)
    terms = -torch.distributions.MultivariateNormal(mean, covariance).log_prob(split.test.double())
    assert rows[0]["nats"] == pytest.approx(float(terms.mean()), abs=1e-2)
    assert rows[0]["se"] == pytest.approx(float(terms.std()) / len(terms) ** 0.5, rel=1e-3)
    assert (rows[1]["nats"], rows[1]["se"]) == (digits.radial.value, digits.radial.se)
    assert rows[1]["nats"] != rows[0]["nats"]


def test_record_has_the_rows_of_the_comparison(study, digits):
    recorder = Recorder("06-interpolation-learned", "smoke")
    for case in (study, digits):
        gif.record(case, recorder, "06-run")
    rows = {row.id: row for row in recorder.rows}
    common = {"nll", "mmd", "mmd-threshold", "nfe", "seconds"}
    planar = {f"gif/8-gaussians/trigonometric/{quantity}" for quantity in common | {"nll-excess", "w2"}}
    assert set(rows) == planar | {f"gif/digits/linear/{quantity}" for quantity in common}
    assert {rows[id].n for id in planar} == {2}
    assert rows["gif/8-gaussians/trigonometric/nfe"].value == sum(study.nfe) / 2
    assert rows["gif/8-gaussians/trigonometric/nll-excess"].value == pytest.approx(
        sum(e.value for e in study.excess) / 2
    )
    distances = [metrics.w2(r.split.test, s[:POINTS]) for r, s in zip(study.results, study.samples, strict=True)]
    assert rows["gif/8-gaussians/trigonometric/w2"].value == pytest.approx(sum(distances) / 2)
    assert (rows["gif/digits/linear/nfe"].unit, rows["gif/digits/linear/seconds"].unit) == ("1", "s")
    assert {row.run for row in rows.values()} == {"06-run"}


def test_a_split_stands_for_its_name(digits):
    again = gif.real(datasets.load("digits", "smoke"), NETWORK, "linear")
    assert again.name == again.label == "digits" and again.topic == "gif"
    assert again.results[0].key == digits.results[0].key
    assert again.nll == digits.nll


def test_fewer_test_points_are_the_first_ones_and_training_is_the_same(digits):
    fewer = gif.real("digits", NETWORK, "linear", profile="smoke", points=50)
    assert torch.equal(fewer.test, digits.test[:50])
    assert torch.equal(fewer.results[0].split.train, digits.results[0].split.train)
    assert fewer.nll[0] == metrics.nll(digits.flow, digits.test[:50])


# --- against JKO-iFlow ------------------------------------------------------------------------------------------------

LAW = GaussianMixture([1.0], [[0.0, 0.0]], scales=1.0)
X = normal(400, 2)


def shifted(mean):
    """A Gaussian whose KL from the law is known: ½ mean² (in the mean over draws, nearly)."""
    affine = Affine(2).double()
    affine.mean = torch.tensor([mean, 0.0], dtype=torch.float64)
    return Flow(Chain(2, [affine]))


def finished(method, seconds, mean):
    """An interpolation flow that is done after these seconds."""
    history = TrainingHistory([{"stage": "start", "seconds": seconds / 4}, {"stage": "v", "seconds": seconds * 3 / 4}])
    result = SimpleNamespace(flow=shifted(mean), history=history, split=split_of(X))
    return PlanarCase("gif", "normal", method, LAW, [result])


@pytest.fixture
def rival():
    """JKO-iFlow with a dropped block: (seconds of the stage, KL after it, kept)."""
    truth = float(LAW.log_prob(X).mean())
    stages = [
        {"stage": f"stage-{k}", "seconds": seconds, "val_nll": kl - truth, "kept": kept}
        for k, (seconds, kl, kept) in enumerate([(0.5, 3.0, True), (3.5, 1.0, True), (2, 9.0, False), (4, 0.1, True)])
    ]
    result = SimpleNamespace(history=TrainingHistory(stages), split=split_of(X))
    return PlanarCase("jko", "normal", "jko-iflow", LAW, [result])


def test_the_curve_counts_the_seconds_of_dropped_blocks_but_not_their_level(rival):
    assert [(when, round(kl, 9)) for when, kl in gif.curve(rival)] == [(0.5, 3.0), (4.0, 1.0), (10.0, 0.1)]


def test_budget_is_when_a_flow_was_done_and_how_near_it_came():
    study = finished("trigonometric", 4.0, 1.0)
    ((seconds, level),) = gif.budget(study)
    assert seconds == 4.0 and level == metrics.kl_to_truth(LAW, study.flow, X).value
    assert level == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize(
    ("seconds", "mean", "by_then", "nearer"),
    [
        (0.2, 1.0, 3.0, "interpolation"),  # before JKO's first block, and before its preconditioners even
        (3.9, 1.0, 3.0, "interpolation"),
        (4.0, 2.0, 1.0, "JKO-iFlow"),  # to the second
        (4.0, 1.0, 1.0, "interpolation"),
        (8.0, 2.0, 1.0, "JKO-iFlow"),  # a block was dropped at 6: what it reached is not JKO's
        (9.9, 1.0, 1.0, "interpolation"),
        (10.0, 1.0, 0.1, "JKO-iFlow"),
        (99.0, 0.05, 0.1, "interpolation"),
    ],
)
def test_a_contest_is_with_what_jko_had_reached_by_then(rival, seconds, mean, by_then, nearer):
    study = finished("trigonometric", seconds, mean)
    (row,) = gif.contest(rival, [study])
    assert (row["case"], row["method"], row["CPU s"]) == ("normal", "trigonometric", seconds)
    assert row["interpolation"] == study.excess[0].value
    assert row["JKO-iFlow by then"] == pytest.approx(by_then, abs=1e-9)
    assert row["nearer"] == nearer


def test_every_study_has_its_own_contest(rival):
    rows = gif.contest(rival, [finished("plain", 1.0, 1.0), finished("longer", 20.0, 1.0)])
    assert [(row["method"], row["nearer"]) for row in rows] == [("plain", "interpolation"), ("longer", "JKO-iFlow")]


def test_a_flow_better_than_the_truth_is_an_error():
    study = finished("trigonometric", 1.0, 0.0)
    study.law = GaussianMixture([1.0], [[3.0, 0.0]], scales=1.0)  # of which the test points are no draws
    with pytest.raises(NotInvertible, match="below the entropy"):
        gif.budget(study)


def test_nobody_is_nearer_within_two_standard_errors(rival):
    study = finished("trigonometric", 4.0, 2**0.5)  # KL 1 ± 0.07, and JKO stands at 1
    assert abs(study.excess[0].value - 1) < 2 * study.excess[0].se
    assert gif.contest(rival, [study])[0]["nearer"] == "neither"


def verdict(study, plain):
    recorder = Recorder("06-interpolation-learned", "smoke")
    gif.record_lead(study, plain, recorder, "06-run")
    (row,) = recorder.rows
    return row.id.split("/")[-1], row.value, row.verdict


def test_the_lead_is_the_ratio_of_excesses_and_half_is_asked_of_the_rose():
    ours, plain = finished("trigonometric", 1.0, 1.0), finished("plain", 1.0, 1.2)
    ratio = ours.excess[0].value / plain.excess[0].value
    assert 0.5 < ratio < 1
    assert verdict(ours, plain) == ("excess-over-plain", pytest.approx(ratio), "holds")
    assert verdict(plain, ours)[2] == "fails"
    ours.name = "rose"
    assert verdict(ours, plain)[2] == "fails"


def test_the_lead_on_real_data_is_the_difference_of_the_nlls(digits, monkeypatch):
    assert verdict(digits, digits) == ("lead-over-plain", 0.0, "holds")
    level = gif._level(digits)
    monkeypatch.setattr(gif, "_level", lambda study: level + 0.1 if study is digits else level)
    name, value, found = verdict(digits, gif.real("digits", NETWORK, "linear", profile="smoke"))
    assert (name, value, found) == ("lead-over-plain", pytest.approx(-0.1), "fails")


def test_checks_of_one_flow(study, monkeypatch):
    recorder = Recorder("06-interpolation-learned", "smoke")
    gif.record_checks(study, recorder, "06-run", 120)
    rows = {row.id.split("/")[-1]: row for row in recorder.rows}
    assert rows["integral"].value == study.integral(120)
    assert rows["nll-solver-gap"].value == max(study.solver_gap) and rows["nll-solver-gap"].verdict == "holds"
    assert rows["round-trip"].value == max(study.round_trip) and rows["round-trip"].verdict == "-"


def test_everything_asked_is_a_setting_of_the_family():
    for name, chosen in gif.ASKED.items():
        asked = family(Interpolation, {"net": {"kind": "mlp", "widths": [8]}, **chosen})
        assert asked.prediction == name or name in ("optimal-transport", "score-sde")
    score = family(Interpolation, gif.SCORE_SDE)
    assert (score.schedule, score.prediction) == ("vp", "noise")


def test_jko_on_real_data_is_what_notebook_02_wrote(home):
    assert gif.jko_on(["digits"], "quick") == []
    recorder = Recorder("02-jko-real-data", "quick")
    recorder.add("jko/digits/jko-iflow/nll", -57.0, seconds=24.0)
    recorder.add("jko/digits/gaussian/nll", -50.0)
    recorder.add("jko/patches/jko-iflow/nll", -217.0, seconds=1.0)
    recorder.save()
    row = {"case": "digits", "method": "jko-iflow", "level": "NLL", "nats": -57.0, "CPU s": 24.0}
    assert gif.jko_on(["digits"], "quick") == [row]
