"""W2 of trained networks on the line: golden numbers for a known error, bounds that hold, a verdict that can fail."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pushforward import metrics
from pushforward.catalogue import gif_stability
from pushforward.catalogue.gif_stability import Checkpoint
from pushforward.errors import InputError
from pushforward.interpolation import by_name
from pushforward.interpolation.stability import Perturbed
from pushforward.report.results import Recorder
from pushforward.seeds import stream

FIT = {"batch": 256, "lr": 0.005}
HELD = Checkpoint("linear", 100, excess=0.5, w2=0.2, refined=0.7, crude=0.9, seconds=3.0)


class Wrong(nn.Module):
    """The exact velocity of the target plus a tenth of u."""

    def __init__(self, schedule, u):
        super().__init__()
        self.dim, self.field = 1, Perturbed(gif_stability.TARGET.make(by_name(schedule)), 0.1, u)

    def forward(self, t, x):
        return self.field(t, x)

    def velocity_and_jacobian(self, t, x):
        return self.field.velocity_and_jacobian(t, x)


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """The results of every training of a test, as they came from ``train_once``."""
    results, train_once = [], gif_stability.train_once
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path))

    def remembered(*arguments, **options):
        results.append(train_once(*arguments, **options))
        return results[-1]

    monkeypatch.setattr(gif_stability, "train_once", remembered)
    return results


GOLDEN = [  # the note's stability table: W2, refined bound, crude bound
    ("linear", torch.ones_like, 0.01, 0.137789, 0.338283, 2.3777),
    ("trigonometric", lambda x: torch.sin(2 * x), None, 0.060920, 0.220054, 0.9791),
]


@pytest.mark.parametrize(("schedule", "u", "excess", "w2", "refined", "crude"), GOLDEN, ids=[row[0] for row in GOLDEN])
def test_a_known_error_has_the_golden_distance_and_bounds(monkeypatch, schedule, u, excess, w2, refined, crude):
    asked = []

    def train_once(name, family, law, seed):
        asked.append((name, family, law, seed))
        flow = SimpleNamespace(bijection=SimpleNamespace(blocks=[SimpleNamespace(velocity=Wrong(schedule, u))]))
        return SimpleNamespace(flow=flow, history=SimpleNamespace(seconds=1.5))

    monkeypatch.setattr(gif_stability, "train_once", train_once)
    c = gif_stability.checkpoint(schedule, 70, FIT, seed=3)
    assert (c.schedule, c.iterations, c.seconds) == (schedule, 70, 1.5)
    assert c.w2 == pytest.approx(w2, rel=2e-5)
    assert (c.refined, c.crude) == (pytest.approx(refined, rel=1e-3), pytest.approx(crude, rel=1e-3))
    if excess:
        assert c.excess == pytest.approx(excess, rel=1e-12)
    ((_, family, law, seed),) = asked
    assert (family.schedule, family.prediction, family.precondition) == (schedule, "velocity", ())
    assert (family.fit.iterations, family.fit.batch, family.fit.lr) == (70, 256, 0.005)
    assert law is gif_stability.TARGET.law and seed == 3


def test_a_trained_network_stays_below_both_bounds_and_its_loss_falls(trained):
    early, late = (gif_stability.checkpoint("linear", iterations, FIT) for iterations in (20, 300))
    for c in (early, late):
        assert 0 < c.w2 <= c.refined <= c.crude
    assert late.excess < early.excess / 4 and late.w2 < early.w2
    assert late.seconds == trained[1].history.seconds > 0
    flow, law = trained[0].flow, gif_stability.TARGET.law
    draws = law.sample(20_000, stream(0, "truth")).double()
    measured = metrics.w2(draws, flow.sample(20_000, stream(0, "flow")).double())
    assert measured == pytest.approx(early.w2, abs=0.02)  # that of 20,000 draws, which differ by 1/√n or so


@pytest.mark.parametrize("schedule", ["vp", "ve", "ve-linear"])
def test_a_schedule_that_starts_from_another_source_is_refused(schedule):
    with pytest.raises(InputError, match=rf"schedule '{schedule}' starts from a0=.*expected noise"):
        gif_stability.checkpoint(schedule, 10, FIT)


def verdicts(*checkpoints):
    recorder = Recorder("06-interpolation-learned", "smoke")
    gif_stability.record(checkpoints, recorder, "06-run")
    return {row.id: row for row in recorder.rows}


def test_rows_hold_where_the_bounds_do():
    rows = verdicts(HELD, replace(HELD, iterations=300))
    assert len(rows) == 8
    stem = "gif/line/linear-100"
    values = {quantity: rows[f"{stem}/{quantity}"].value for quantity in ("w2", "excess-loss")}
    assert values == {"w2": 0.2, "excess-loss": 0.5}
    assert rows[f"{stem}/slack-refined"].value == pytest.approx(0.5)
    assert rows[f"{stem}/slack-crude"].value == pytest.approx(0.2)
    assert {rows[f"{stem}/slack-{bound}"].verdict for bound in ("refined", "crude")} == {"holds"}
    assert rows[f"{stem}/w2"].seconds == 3.0
    assert {row.unit for row in rows.values()} == {"1"} and {row.run for row in rows.values()} == {"06-run"}


@pytest.mark.parametrize(
    ("doctored", "refined", "crude"),
    [({"w2": 0.71}, "fails", "holds"), ({"crude": 0.69}, "holds", "fails"), ({"w2": 0.95}, "fails", "holds")],
)
def test_a_bound_that_is_broken_fails(doctored, refined, crude):
    rows = verdicts(replace(HELD, **doctored))
    assert rows["gif/line/linear-100/slack-refined"].verdict == refined
    assert rows["gif/line/linear-100/slack-crude"].verdict == crude
