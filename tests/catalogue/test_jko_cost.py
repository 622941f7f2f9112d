"""Block by block against end to end: the same losses and minibatches, rows from the costs that were measured."""

import math

import pytest
import torch

from pushforward.catalogue import jko_cost
from pushforward.catalogue.jko_cost import WAYS, CostStudy, EndToEnd, WholeObjective
from pushforward.datasets import Split
from pushforward.errors import InputError
from pushforward.experiment import train
from pushforward.families import JKO
from pushforward.fit import FitConfig
from pushforward.flows import Chain, ODEBijection
from pushforward.nets import MLP
from pushforward.numerics import FixedGrid
from pushforward.objectives import JKOObjective
from pushforward.peak_memory import Cost, measure
from pushforward.report.published import load_published
from pushforward.report.results import Recorder

SETTINGS = {"stop_ratio": 0.0, "stop_on_rise": False, "fit": FitConfig(iterations=3, batch=20, lr=0.01)}
VELOCITY = {"kind": "mlp", "widths": (8,), "activation": "silu"}


def points(count=100):
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 + 1


def moving_block(seed):
    """A block of random weights in its last layer too."""
    torch.manual_seed(seed)
    velocity = MLP(3, (8,), "silu").double()
    torch.nn.init.normal_(velocity.layers[-1].weight, std=0.1)
    return ODEBijection(velocity, FixedGrid(2))


def test_the_whole_loss_of_blocks_at_rest_is_the_gaussian_nll():
    x = points()
    chain = Chain(3, [ODEBijection(MLP(3, (8,)).double(), FixedGrid(2)) for _ in range(2)])
    terms = WholeObjective(chain, [0.5, 0.5])(x).terms
    torch.testing.assert_close(terms["nll"], 0.5 * x.square().sum(1).mean() + 1.5 * math.log(2 * math.pi))
    assert float(terms["movement"].detach()) == 0.0


def test_the_whole_loss_is_the_sum_of_the_blocks_own_but_for_what_cancels():
    """Every block but the first begins where its predecessor ends: their potentials cancel in the sum."""
    x, h = points(), [0.25, 0.75]
    chain = Chain(3, [moving_block(seed) for seed in (0, 1)])
    y = chain.blocks[0](x)
    own = [JKOObjective(block, step)(at).terms for block, step, at in zip(chain.blocks, h, (x, y), strict=True)]
    terms = WholeObjective(chain, h)(x).terms
    wanted = own[1]["potential"] + own[0]["volume"] + own[1]["volume"] + 1.5 * math.log(2 * math.pi)
    torch.testing.assert_close(terms["nll"], wanted)
    torch.testing.assert_close(terms["movement"], own[0]["movement"] + own[1]["movement"])
    assert float(own[1]["movement"].detach()) > 1e-4


def test_a_free_block_has_no_movement_term():
    x, chain = points(), Chain(3, [moving_block(0)])
    assert float(WholeObjective(chain, [math.inf])(x).terms["movement"].detach()) == 0.0


def test_end_to_end_trains_every_block_and_counts_as_many_minibatches():
    split = Split.from_points(points())
    found = {way: train(cls(VELOCITY, blocks=2, steps=2, **SETTINGS), split)[1] for way, cls in WAYS.items()}
    assert found["block-wise"].minibatches == found["end-to-end"].minibatches == 6
    assert found["block-wise"].evaluations == 6 * 8
    assert found["end-to-end"].evaluations == 6 * 8 * 2
    flow, history = train(EndToEnd(VELOCITY, blocks=2, steps=2, **SETTINGS), split)
    blocks = [part for part in flow.modules() if isinstance(part, ODEBijection)]
    assert len(blocks) == 2 and all(float(b.velocity.layers[-1].weight.abs().max().detach()) > 0 for b in blocks)
    nll = -flow.log_prob(split.val).mean()
    torch.testing.assert_close(float(nll.detach()), history.stages[-1]["val_nll"])


def test_end_to_end_needs_its_own_fit_and_no_parent():
    for wrong in ({"fit": None}, {"parent": "other"}):
        with pytest.raises(InputError, match="expected a fit"):
            EndToEnd(VELOCITY, **SETTINGS | wrong)


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
    assert asked == [(JKO, 2, 30), (JKO, 4, 30), (EndToEnd, 2, 30), (EndToEnd, 4, 30)]
    assert {row["training"] for row in first.table()} == set(WAYS)


def test_no_number_of_blocks_is_an_error():
    with pytest.raises(InputError, match="numbers of blocks"):
        jko_cost.study("digits", {}, [])


def test_the_settings_make_both_ways_trainable_in_this_process(home):
    split = Split.from_points(points())
    fit = {"iterations": 1, "batch": 20}
    chosen = jko_cost.family(EndToEnd, {**jko_cost.SETTINGS, "blocks": 3, "fit": fit})
    assert measure(chosen, split, None, 0).evaluations == 3 * 3 * 8


def test_published_rows_of_reparameterisation_are_the_papers():
    published = load_published()
    values = [published[f"jko/reparameterisation/miniboone/nll-{when}"].value for when in ("before", "after")]
    assert values == [12.55, 10.55]
