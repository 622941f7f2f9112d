"""Methods on real data: the same points and preconditioners for all, differences paired point by point."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cases import LinearVelocity, normal, split_of, student
from pushforward.catalogue import jko_tables
from pushforward.catalogue.jko_tables import FIXED, FULL, Behind
from pushforward.experiment import Result
from pushforward.families import TrainingHistory
from pushforward.fit import FitHistory
from pushforward.flows import Affine, Chain, Flow, Logit, ODEBijection, Radial
from pushforward.metrics import log_probs, nll

FIT = {"iterations": 2, "batch": 16, "lr": 0.01}
COMMON = {"precondition": ["affine"]}
TINY = {
    "jko-iflow": {"velocity": {"kind": "mlp", "widths": [4]}, "blocks": 1, "steps": 1, "fit": FIT},
    "score-sde": {"net": {"kind": "mlp", "widths": [4]}, "fit": FIT},
}


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path))
    whole = replace(split_of(student(400, 3).float(), normal(200, 3).float()), name="flights")
    monkeypatch.setattr(jko_tables.datasets, "load", lambda name, profile: whole)
    return whole


def behind(method="jko-iflow", scale=1.0, parts=(), points=None, name="flights"):
    """A flow that divides by ``scale`` behind ``parts`` and an ODE that stands still."""
    x = normal(500, 2) if points is None else points
    dim = x.shape[1]
    still = ODEBijection(LinearVelocity(dim)).double()
    last = Affine.from_moments(x.new_zeros(dim), scale**2 * torch.eye(dim, dtype=x.dtype))
    flow = Flow(Chain(dim, [*parts, still, last])).eval()
    return Behind("jko", name, method, [Result(flow, TrainingHistory(), split_of(x), "", Path(), {})])


class Recorded(list):
    def add(self, id, values, **more):
        self.append((id, values, more))


def test_every_method_gets_the_same_points_and_preconditioners(home):
    group = jko_tables.contest("flights", TINY, COMMON, points=50)
    assert [s.method for s in group] == ["jko-iflow" + FIXED, "score-sde" + FIXED]
    first, second = (s.results[0].split for s in group)
    assert len(first.test) == 50 and torch.equal(first.test, second.test) and torch.equal(first.val, second.val)
    assert {tuple(row) for row in first.test.tolist()} < {tuple(row) for row in home.test.tolist()}
    assert torch.equal(first.train, home.train)
    assert all(isinstance(s.flow.bijection.blocks[0], Affine) for s in group)
    assert group[0].id("nll") == "jko/flights/jko-iflow-fixed-budget/nll"


def test_a_method_may_differ_from_what_is_common(home):
    own = {"jko-iflow": {**TINY["jko-iflow"], "precondition": ["affine", "radial"]}}
    (study,) = jko_tables.contest("flights", own, COMMON, points=50, suffix=FULL)
    assert isinstance(study.flow.bijection.blocks[1], Radial)
    assert study.id("nll") == "jko/flights/jko-iflow/nll"


def test_validation_points_are_few(home, monkeypatch):
    monkeypatch.setattr(jko_tables, "VALIDATION", 20)
    (study,) = jko_tables.contest("flights", {"score-sde": TINY["score-sde"]}, COMMON, points=10)
    assert len(study.results[0].split.val) == 20


def test_alone_is_what_stands_before_the_first_trained_part():
    inside = (torch.rand(300, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1) / 1.2
    logit = Logit.fit(inside)
    whitening = Affine.fit(logit(inside))
    study = behind(scale=2.0, parts=[logit, whitening], points=inside)
    expected = nll(Flow(Chain(2, [logit, whitening])), inside)
    assert study.alone == expected


def test_the_likelihood_is_that_of_every_density_and_its_level_the_mean():
    study = behind(scale=2.0)
    z = study.test / 2
    log_prob = -0.5 * z.square().sum(1) - math.log(2 * math.pi) - 2 * math.log(2)
    torch.testing.assert_close(study.log_probs[0], log_prob, rtol=1e-12, atol=1e-12)
    assert study.mean_nll == pytest.approx(-float(log_prob.mean()), rel=1e-12)
    assert study.nll[0].se == pytest.approx(float(log_prob.std()) / math.sqrt(500), rel=1e-12)


def test_the_lead_is_paired():
    ours, theirs = behind(scale=1.0), behind("ffjord" + FIXED, scale=1.5)
    (row,) = jko_tables.lead([[ours, theirs]])
    gap = -0.5 * ours.test.square().sum(1) * (1 - 1 / 1.5**2) + 2 * math.log(1.5)
    assert row["nats"] == pytest.approx(float(gap.mean()), rel=1e-9)
    assert row["se"] == pytest.approx(float(gap.std()) / math.sqrt(500), rel=1e-9)
    assert (row["case"], row["against"]) == ("flights", "ffjord-fixed-budget")


@pytest.mark.parametrize(("scale", "leader"), [(2.0, "jko-iflow"), (1.0, "neither"), (0.5, "jko-iflow")])
def test_who_leads_is_said_only_beyond_two_standard_errors(scale, leader):
    (row,) = jko_tables.lead([[behind(), behind("ffjord", scale)]])
    assert row["ahead"] == leader
    (row,) = jko_tables.lead([[behind("jko-iflow", scale), behind("ffjord")]])
    assert row["ahead"] == {"jko-iflow": "ffjord"}.get(leader, leader)


def test_the_recorded_lead_is_over_the_papers_best_baseline_alone():
    group = [behind(), behind("ffjord", 2.0), behind("ot-flow", 1.5), behind("nsf", 1.01)]
    record = Recorded()
    jko_tables.record_lead(group, record, "run", required=True)
    ((id, value, more),) = record
    assert id == "jko/flights/jko-iflow/lead-over-best-baseline"
    assert value == pytest.approx(group[2].mean_nll - group[0].mean_nll)
    assert more == {"better": "check", "at_least": 0.0, "run": "run"}
    record.clear()
    jko_tables.record_lead(group, record, "run")
    assert record[0][2] == {"better": "higher", "run": "run"}


def test_without_a_number_there_is_no_lead():
    lost = behind()
    lost.lost["nll"] = "NotInvertible: folds"
    record = Recorded()
    jko_tables.record_lead([lost, behind("ffjord")], record, "run")
    assert not record and jko_tables.lead([[lost, behind("ffjord")]]) == []
    assert lost.mean_nll is None
    assert [row["against"] for row in jko_tables.lead([[behind(), behind("ignn"), lost]])] == ["ignn"]


def test_the_gap_to_a_finer_solver_is_taken_on_few_points(monkeypatch):
    monkeypatch.setattr(jko_tables, "GAP_POINTS", 7)
    study, seen = behind(), []

    def spy(flow, x):
        seen.append(len(x))
        return log_probs(flow, x)

    monkeypatch.setattr("pushforward.catalogue.cases.metrics.log_probs", spy)
    assert study.solver_gap == pytest.approx([0.0], abs=1e-12)
    assert seen == [7, 7]


def test_sensitivity_has_every_rate_at_every_maximum(home):
    settings = {**COMMON, **TINY["score-sde"]}
    grid = jko_tables.sensitivity("flights", settings, ["linear", "constant"], [5, 20], points=20)
    assert {rate: list(line) for rate, line in grid.items()} == {"linear": ["5", "20"], "constant": ["5", "20"]}
    study = grid["constant"]["20"]
    assert study.flow.bijection.blocks[1].velocity.schedule.name == "vp-constant-20"
    assert study.id("nll") == "jko/flights/score-sde-constant-20/nll"
    record = Recorded()
    jko_tables.record_sensitivity(grid, record, "run")
    assert [id for id, *_ in record] == [
        f"jko/flights/score-sde-{rate}-{most}/nll" for rate in ("linear", "constant") for most in (5, 20)
    ]
    assert jko_tables.levels(grid)["constant"]["20"] == study.mean_nll


def test_references_are_the_gaussian_and_the_preconditioners():
    study = behind(parts=[Affine.fit(normal(500, 2))])
    rows = jko_tables.references([[study, behind("ffjord")]])
    assert [(row["method"], row["NLL"]) for row in rows] == [
        ("gaussian", study.gaussian.value),
        ("preconditioners alone", study.alone.value),
    ]


def test_curves_begin_before_training():
    study = behind()
    study.results[0].history.stages[:] = [{"val_nll": 3.0, "seconds": 0.0}, {"val_nll": 2.5, "seconds": 4.0}]
    study.results[0].history.fits["flow"] = FitHistory(
        [{"seconds": 1.0, "validation": 2.75}, {"seconds": 2.0}, {"seconds": 4.0, "validation": 2.5}]
    )
    assert jko_tables.curves([study]) == {"jko-iflow": [(0.0, 3.0), (1.0, 2.75), (4.0, 2.5)]}


def test_samples_that_overflow_are_a_lost_distance(monkeypatch):
    study = behind()
    draw = study.flow.sample
    monkeypatch.setattr(study.flow, "sample", lambda n, generator: draw(n, generator) / torch.arange(n)[:, None])
    assert study.found("mmd") is None
    assert study.lost["mmd"].startswith("NonFinite: 1 of 2000 samples")
    assert behind().samples[0].shape == (2000, 2)
