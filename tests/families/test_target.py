"""JKO-iFlow towards a target that labels choose: every number of the training is that of the conditional law."""

import math

import pytest
import torch
from torch import nn

import pushforward as pf
from cases import PATH_GRAPH, generator, jacobian, normal, randomised, split_of, walk
from pushforward import experiment, paths
from pushforward.errors import InputError
from pushforward.families import JKO, certify, pushing
from pushforward.families.target import check_labels_stay, end_target
from pushforward.fit import FitConfig
from pushforward.flows import Chain, Flow, LabelledShift, ODEBijection, log_prob_given_labels, sample_given_labels
from pushforward.nets import ChebyshevNet
from pushforward.objectives import JKOObjective

TARGET = {"kind": "labelled-shift", "nodes": 3, "gap": 1.5}
NET = {"kind": "chebyshev", "adjacency": PATH_GRAPH, "widths": (6, 5), "labels": True}
LABELS = torch.randint(2, (300, 3), generator=generator(1)).double()
X = torch.cat([0.7 * normal(300, 6) + 0.4 * LABELS.repeat_interleave(2, 1), LABELS], 1)
FIT = FitConfig(iterations=12, batch=40, lr=0.01, checkpoint_seconds=0)
SHIFT = LabelledShift(3, gap=1.5)


pytestmark = pytest.mark.usefixtures("artifacts")


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    monkeypatch.setattr(certify, "PROBES", 150)
    monkeypatch.setattr(pushing, "PIECE", 150)


def family(**settings):
    chosen = {"velocity": NET, "target": TARGET, "precondition": (), "stop_ratio": 0.0, "stop_on_rise": False}
    return JKO(**{**chosen, "blocks": 2, "fit": FIT, **settings})


def still(stage):
    """Train nothing."""


def moved(stage):
    randomised(stage.module, 0.2, seed=int(stage.name[-1]))


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": {"nodes": 3}}, r"target is {'nodes': 3}, expected None or a dict whose kind is one of \['labelled"),
        ({"target": "labelled-shift"}, "target is 'labelled-shift', expected None or a dict"),
        ({"target": TARGET | {"nodes": 0}}, "nodes=0"),
        ({"target": TARGET | {"sites": 3}}, "has a setting LabelledShift does not know"),
        ({"precondition": ("affine",)}, r"precondition is \('affine',\) beside a target, expected \(\)"),
        ({"diffusion": 0.1}, "diffusion is 0.1 beside a target, expected 0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        family(**settings)


def test_settings_that_only_a_block_can_judge():
    with pytest.raises(InputError, match="points have dimension 6, expected 9: the target is {'nodes': 3"):
        family(velocity={"kind": "mlp", "widths": (4,)}).block(6)
    with pytest.raises(InputError, match="the network is a MLP, expected one that leaves the labels of 3 nodes"):
        family(velocity=None).block(9)
    other = ChebyshevNet(9, PATH_GRAPH, features=3)
    with pytest.raises(InputError, match="the network is a ChebyshevNet, expected one that leaves the labels"):
        check_labels_stay(SHIFT, other, 9)
    pair = ChebyshevNet(9, [[0.0]], features=8, labels=True)
    with pytest.raises(InputError, match="leaves the labels of 3 nodes"):
        check_labels_stay(SHIFT, pair, 9)


def test_no_target_is_the_normal_law_and_no_part_of_the_key(monkeypatch):
    assert end_target(None, ("affine",)) is None and JKO().target is None
    points, plain = split_of(X), family(target=None)
    key = experiment._key(plain, points, 0)
    assert experiment._key(family(), points, 0) != key
    monkeypatch.setattr(JKO.__dataclass_fields__["target"], "metadata", {})  # as of a setting that was always there
    assert experiment._key(plain, points, 0) != key


# --- the conditional law ----------------------------------------------------------------------------------------------


def test_without_a_velocity_the_density_is_that_of_the_target():
    flow, history = walk(family(), split_of(X), still)
    mean, sd = (1.5 * (LABELS - 0.5)).repeat_interleave(2, 1), math.sqrt(1.5 * math.sqrt(2) / 8)
    closed = torch.distributions.Normal(mean, sd).log_prob(X[:, :6]).sum(1)
    torch.testing.assert_close(log_prob_given_labels(flow, X, 3).detach(), closed, rtol=0, atol=1e-12)
    labels = -torch.distributions.Normal(0.0, 1.0).log_prob(LABELS).sum(1).mean()
    for row in history.stages:
        assert row["val_nll"] == pytest.approx(float(labels - closed.mean()), abs=1e-12)


def test_the_target_stands_behind_the_last_block_and_every_row_is_the_flows():
    validated = []

    def watched(stage):
        moved(stage)
        validated.append(stage.validate())

    held_out = X[:100].flip(0)
    flow, history = walk(family(), split_of(X, held_out), watched)
    assert [type(block) for block in flow.bijection.blocks] == [ODEBijection, ODEBijection, LabelledShift]
    assert flow.bijection.blocks[-1].settings() == SHIFT.settings()
    assert history.stages[-1]["val_nll"] == pytest.approx(-flow.log_prob(held_out).mean().item(), abs=1e-12)
    first = Flow(Chain(9, [flow.bijection.blocks[0], SHIFT]))
    assert history.stages[1]["val_nll"] == pytest.approx(-first.log_prob(held_out).mean().item(), abs=1e-12)
    assert validated == pytest.approx([row["val_nll"] for row in history.stages[1:]], abs=1e-12)


def test_a_rise_is_judged_towards_the_target():
    """The first block brings points to the target's means and so away from N(0, I); the second takes them back."""
    away = torch.cat([SHIFT.means(LABELS) * 0 + 3.0, LABELS], 1) + torch.cat([0.1 * normal(300, 6), 0 * LABELS], 1)
    ones = torch.cat([away[:, :6], torch.ones_like(LABELS)], 1)
    shifts = iter([-2.25, -0.75])  # to 0.75, the mean of label 1; then on to 0

    def shift(stage):
        with torch.no_grad():
            stage.module.velocity.outer_bias += next(shifts)

    flow, history = walk(family(stop_on_rise=True), split_of(ones), shift)
    assert [row.get("kept") for row in history.stages] == [None, True, False]
    assert len(flow.bijection.blocks) == 2 and isinstance(flow.bijection.blocks[-1], LabelledShift)


def test_the_loss_is_minus_log_p_and_its_gradient():
    stage = next(iter(_stages(family(h=(0.7,)))))
    randomised(stage.module, 0.3)
    terms = stage.objective(X, generator()).terms
    flow = Flow(Chain(9, [stage.module, SHIFT]))
    constant = 6 * (math.log(SHIFT.sigma) + 0.5 * math.log(2 * math.pi))
    nll = -log_prob_given_labels(flow, X, 3).mean()
    found = terms["potential"] + terms["volume"]
    torch.testing.assert_close(found, nll - constant, rtol=0, atol=1e-12)
    y = stage.module(X)
    torch.testing.assert_close(terms["movement"], (y - X)[:, :6].square().sum(1).mean() / 1.4, rtol=1e-12, atol=0)
    parameters = list(stage.module.parameters())
    for mine, exact in zip(torch.autograd.grad(found, parameters), torch.autograd.grad(nll, parameters), strict=True):
        torch.testing.assert_close(mine, exact, rtol=0, atol=1e-12)


def test_the_log_determinant_is_that_of_autograd():
    flow, _ = walk(family(steps=40), split_of(X), moved)
    expected = torch.linalg.slogdet(jacobian(flow.bijection, X[:16])).logabsdet
    with torch.no_grad():
        torch.testing.assert_close(flow.bijection.forward_and_log_det(X[:16])[1], expected, rtol=0, atol=1e-7)


def test_labels_do_not_move_and_no_movement_counts_them():
    flow, history = walk(family(blocks=1), split_of(X), moved)
    with torch.no_grad():
        y = flow.bijection.blocks[0](X)
    assert torch.equal(y[:, 6:], LABELS)
    moving = (y - X)[:, :6].square().sum(1).mean()
    assert history.stages[1]["movement"] == pytest.approx(float(moving), rel=1e-12)
    assert history.stages[1]["ratio"] == pytest.approx(float(moving / y[:, :6].square().sum(1).mean()), rel=1e-12)


def test_the_solvers_error_is_measured_towards_the_target():
    coarse = randomised(ODEBijection(ChebyshevNet(9, PATH_GRAPH, widths=(6, 5), labels=True)), 0.7).double().eval()
    finer = certify.with_solver(coarse, certify.replace(coarse.solver, steps=2 * coarse.solver.steps))
    with torch.no_grad():
        a, b = (Flow(Chain(9, [block, SHIFT])).log_prob(X).mean().item() for block in (coarse, finer))
        assert certify._solver_gap(coarse, X, SHIFT) == pytest.approx(abs(a - b), abs=1e-12)
    assert certify._solver_gap(coarse, X, None) != pytest.approx(abs(a - b), rel=1e-3)


# --- storage and resuming ---------------------------------------------------------------------------------------------


def test_a_saved_flow_keeps_its_target(tmp_path):
    flow, _ = walk(family(), split_of(X), moved)
    again = pf.load(flow.save(tmp_path / "flow"))
    assert isinstance(again.bijection.blocks[-1], LabelledShift) and again.bijection.blocks[-1].gap == 1.5
    labels = LABELS[:20]
    with torch.no_grad():
        assert torch.equal(again.log_prob(X), flow.log_prob(X))
    drawn = sample_given_labels(again, labels, generator())
    assert torch.equal(drawn, sample_given_labels(flow, labels, generator()))
    assert torch.equal(drawn[:, 6:], labels)


def test_training_nears_the_law_and_a_killed_one_ends_with_the_same_numbers(tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    whole = experiment.train_once("case", family(), X)
    start, end = whole.history.stages[0]["val_nll"], whole.history.stages[-1]["val_nll"]
    assert end < start
    again = experiment.train_once("case", family(), X)
    assert again.history == whole.history
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path / "other"))
    call, calls = JKOObjective.__call__, []

    def dying(self, x, random=None):
        calls.append(1)
        if len(calls) == 18:  # in the middle of block 2
            raise Killed
        return call(self, x, random)

    monkeypatch.setattr(JKOObjective, "__call__", dying)
    with pytest.raises(Killed):
        experiment.train_once("case", family(), X)
    assert not list(paths.artifacts().glob("*/result.json"))
    resumed = experiment.train_once("case", family(), X)
    assert len(calls) < 2 * 12 + 2  # it went on, it did not begin again
    assert isinstance(resumed.flow.bijection.blocks[-1], LabelledShift)
    with torch.no_grad():
        assert torch.equal(resumed.flow.log_prob(X), whole.flow.log_prob(X))


def _stages(chosen):
    split = split_of(X)
    return chosen.stages(chosen.build(split), split, pf.experiment.TrainingHistory(), 0)


def test_it_is_a_module_without_numbers():
    assert isinstance(end_target(TARGET, ()), nn.Module) and not list(end_target(TARGET, ()).parameters())
