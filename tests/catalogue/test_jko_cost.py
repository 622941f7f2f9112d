"""Block by block against end to end: the same blocks and minibatches, rows from the costs that were measured."""

import pytest
import torch

from pushforward.catalogue import jko_cost
from pushforward.catalogue.jko_cost import WAYS, CostStudy, all_at_once
from pushforward.datasets import Split
from pushforward.errors import InputError
from pushforward.experiment import train
from pushforward.families import FFJORD, JKO
from pushforward.fit import FitConfig
from pushforward.flows import ODEBijection
from pushforward.peak_memory import Cost, measure
from pushforward.report.published import load_published
from pushforward.report.results import Recorder

SETTINGS = {
    "log_det": "trace",
    "stop_ratio": 0.0,
    "stop_on_rise": False,
    "fit": FitConfig(iterations=3, batch=20, lr=0.01),
}
VELOCITY = {"kind": "mlp", "widths": (8,), "activation": "silu"}


def points(count=100):
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 + 1


def test_both_ways_train_the_same_blocks_on_as_many_minibatches():
    split = Split.from_points(points())
    blocks = JKO(VELOCITY, blocks=2, steps=2, divergence="hutchinson-rademacher", precondition=(), pool=30, **SETTINGS)
    found = {way: train(trained(blocks), split) for way, trained in WAYS.items()}
    histories = {way: history for way, (_, history) in found.items()}
    assert histories["block-wise"].minibatches == histories["end-to-end"].minibatches == 6
    assert histories["block-wise"].evaluations == 6 * 8
    assert histories["end-to-end"].evaluations == 6 * 8 * 2
    assert (all_at_once(blocks).pool, all_at_once(blocks).precondition) == (30, ())
    odes = [[part for part in flow.modules() if isinstance(part, ODEBijection)] for flow, _ in found.values()]
    for one, other in zip(*odes, strict=True):
        assert one.velocity.settings() == other.velocity.settings()
        assert (one.solver, one.log_det, one.divergence) == (other.solver, other.log_det, other.divergence)
        assert float(other.velocity.layers[-1].weight.abs().max().detach()) > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"fit": None},
        {"velocity": None},
        {"method": "midpoint"},
        {"log_det": "discrete"},
        {"log_det": None},
        {"diffusion": 0.1},
        {"target": {"kind": "labelled-shift", "nodes": 1}, "precondition": ()},
    ],
    ids=str,
)
def test_what_ffjord_does_not_have_is_an_error(wrong):
    with pytest.raises(InputError, match="FFJORD has nothing else"):
        all_at_once(JKO(**{"velocity": VELOCITY, **SETTINGS, **wrong}))


# --- the study --------------------------------------------------------------------------------------------------------


def costs():
    def cost(blocks, way):
        scale = 1 if way == "block-wise" else blocks
        return Cost(40.0 * scale + 0.1 * blocks, 0.5 * blocks * scale, 8 * blocks * scale, blocks)

    return CostStudy({way: {blocks: cost(blocks, way) for blocks in (2, 16)} for way in WAYS}, 2000)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("PUSHFORWARD_RESULTS", str(tmp_path / "results"))


def test_rows_are_those_of_the_issue_and_the_growth_is_checked(home):
    record = Recorder("14-jko-steps-and-cost", "smoke")
    costs().record(record, "run")
    rows = {row.id.removeprefix("jko/cost/"): row for row in record.rows}
    assert rows["block-wise/memory-16"].value == pytest.approx(41.6)
    assert rows["end-to-end/seconds-16"].value == 128.0
    assert rows["end-to-end/nfe-2"].value == 32.0
    growth = rows["block-wise/memory-growth"]
    assert growth.value == pytest.approx(41.6 / 40.2) and growth.verdict == "holds"
    assert len(rows) == 2 * 2 * 3 + 2


def test_memory_that_grows_fails(home, capsys):
    study = costs()
    study.check()
    assert capsys.readouterr().out.count("ok:") == 2
    study.costs["block-wise"][16] = Cost(80.0, 1.0, 1, 1)
    with pytest.raises(AssertionError, match="growth of the memory of block-wise"):
        study.check()
    record = Recorder("14-jko-steps-and-cost", "smoke")
    study.record(record, "run")
    assert [row.verdict for row in record.rows if row.id.endswith("block-wise/memory-growth")] == ["fails"]


def test_a_cost_is_measured_once(home, monkeypatch):
    asked = []

    def counted(chosen, points, iterations):
        asked.append((type(chosen), chosen.blocks, len(points)))
        return Cost(1.0, 2.0, 3, 4)

    monkeypatch.setattr(jko_cost, "training_cost", counted)
    first = jko_cost.study("digits", {"pool": 30}, [4, 2])
    again = jko_cost.study("digits", {"pool": 30}, [2, 4])
    assert first.table() == again.table()
    assert asked == [(JKO, 2, 30), (JKO, 4, 30), (FFJORD, 2, 30), (FFJORD, 4, 30)]
    assert {row["training"] for row in first.table()} == set(WAYS)


def test_no_number_of_blocks_is_an_error():
    with pytest.raises(InputError, match="numbers of blocks"):
        jko_cost.study("digits", {}, [])


def test_the_settings_make_both_ways_trainable_in_this_process(home):
    split = Split.from_points(points())
    fit = {"iterations": 1, "batch": 20}
    chosen = all_at_once(jko_cost.family(JKO, {**jko_cost.SETTINGS, "blocks": 3, "fit": fit}))
    assert measure(chosen, split, None, 0).evaluations == 3 * 3 * 8


def test_published_rows_of_reparameterisation_are_the_papers():
    published = load_published()
    values = [published[f"jko/reparameterisation/miniboone/nll-{when}"].value for when in ("before", "after")]
    assert values == [12.55, 10.55]
