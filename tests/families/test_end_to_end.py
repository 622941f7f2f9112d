"""What the families that train one bijection as a whole have in common: FFJORD, OT-Flow, and zuko's baselines."""

import math

import pytest
import torch

import pushforward as pf
from cases import exact_moments, jacobian, minimise, normal, randomised, split_of, walk
from killed import killed_and_whole
from pushforward import experiment
from pushforward.errors import InputError
from pushforward.families import FFJORD, Family, OTFlow, TrainingHistory, Zuko
from pushforward.fit import FitConfig
from pushforward.flows import Affine, Flow, ODEBijection, ZukoFlow
from pushforward.metrics import integral
from pushforward.nets import MLP, Potential
from pushforward.numerics import Adaptive, FixedGrid, Hutchinson

SMALL = {"kind": "mlp", "widths": (8,), "activation": "tanh"}
FIT = FitConfig(iterations=12, batch=100, lr=0.02, warmup=1, ema=0.5, validate_every=6, checkpoint_seconds=0)
FAMILIES = {
    "ffjord": FFJORD(SMALL, tolerance=1e-4, fit=FIT),
    "ffjord-fixed": FFJORD(SMALL, steps=3, divergence="hutchinson-rademacher", fit=FIT),
    "ffjord-blocks": FFJORD(SMALL, steps=2, fit=FIT, blocks=3),
    "ot-flow": OTFlow(width=8, steps=2, test_steps=4, fit=FIT),
    "nsf": Zuko("nsf", 2, (8,), 4, fit=FIT),
    "maf": Zuko("maf", 2, (8,), fit=FIT),
}
X = torch.cat([normal(150, 2, seed=1) * 0.3 + 1, normal(150, 2, seed=2) * 0.3 - 1])  # two clusters
every = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


pytestmark = pytest.mark.usefixtures("artifacts")


def still(stage):
    """Train nothing."""


@every
def test_training_ends_with_a_density_and_counts_what_it_cost(family):
    assert isinstance(family, Family)
    split = split_of(X)
    flow, history = pf.train(family, split, seed=1)
    start, end = history.stages
    assert set(end) == {"stage", "minibatches", "evaluations", "seconds", "val_nll"}
    assert (start["stage"], end["stage"], end["minibatches"]) == ("start", "flow", 12)
    assert end["val_nll"] == pytest.approx(-flow.log_prob(split.val).mean().item(), abs=1e-9)
    # zuko's begin far from the identity: what they learn is measured against their own beginning.
    rows = [row["validation"] for row in history.fits["flow"].rows if "validation" in row]
    assert rows[-1] == pytest.approx(end["val_nll"]) and rows[-1] < rows[0]
    assert integral(flow, ((-4.0, 4.0), (-4.0, 4.0)), 160) == pytest.approx(1, abs=5e-3)


@every
def test_a_killed_training_ends_with_the_same_numbers(family, tmp_path):
    (killed, first), (whole, second) = killed_and_whole(family, split_of(X), tmp_path / "state.safetensors")
    with torch.no_grad():
        assert torch.equal(killed.log_prob(X[:50]), whole.log_prob(X[:50]))
    assert first.stages[-1]["evaluations"] == second.stages[-1]["evaluations"] > 0


def test_the_evaluations_are_those_of_the_solver_over_minibatches():
    calls = {}
    for name in ("ffjord", "ffjord-fixed", "ffjord-blocks", "ot-flow", "nsf"):
        _, history = pf.train(FAMILIES[name], X.float())
        calls[name] = history.stages[-1]["evaluations"]
    assert calls["ffjord-fixed"] == 12 * 3 * 4 and calls["ot-flow"] == 12 * 2 * 4
    assert calls["ffjord-blocks"] == 12 * 3 * 2 * 4 and calls["nsf"] == 12 * 2  # every block, every transform
    assert calls["ffjord"] >= 12 * 7  # dopri5 takes seven stages for its first step


def test_what_is_trained_once_is_remembered():
    first = experiment.train_once("case", FAMILIES["ot-flow"], X)
    again = experiment.train_once("case", FAMILIES["ot-flow"], X)
    assert again.history == first.history
    with torch.no_grad():
        assert torch.equal(again.flow.log_prob(X), first.flow.log_prob(X))


def test_ffjord_builds_what_it_says():
    ode = FFJORD().ode(3)
    assert isinstance(ode.velocity, MLP)
    assert ode.velocity.settings() == {"dim": 3, "widths": [64, 64, 64], "activation": "tanh", "time": True}
    assert ode.solver == Adaptive(1e-5, 1e-5) and ode.log_det == "trace"
    assert FFJORD(adjoint=True, tolerance=1e-3).ode(2).solver == Adaptive(1e-3, 1e-3, adjoint=True)
    ode = FFJORD({**SMALL, "time": False}, steps=5, divergence="hutchinson-gaussian").ode(2)
    assert not ode.velocity.time and ode.solver == FixedGrid(5) and ode.divergence == Hutchinson("gaussian")
    assert isinstance(FFJORD({"kind": "potential", "width": 4}).ode(2).velocity, Potential)
    flow, _ = walk(FAMILIES["ffjord"], split_of(X), still)
    whitening, ode = flow.bijection.blocks
    assert isinstance(whitening, Affine) and isinstance(ode, ODEBijection) and ode.solver == Adaptive(1e-4, 1e-4)


def test_a_chain_of_blocks_is_a_flow_that_can_be_inverted_and_saved(tmp_path):
    flow, _ = walk(FFJORD(SMALL, tolerance=1e-9, blocks=2), split_of(X), lambda stage: randomised(stage.module, 0.4))
    flow.eval()
    first, second = flow.bijection.blocks[1:]
    assert isinstance(first, ODEBijection) and isinstance(second, ODEBijection)
    assert not torch.equal(first.velocity.layers[0].weight, second.velocity.layers[0].weight)
    x = X[:20]
    z, log_det = flow.bijection.forward_and_log_det(x)
    exact = jacobian(flow.bijection, x).det().log()
    torch.testing.assert_close(log_det, exact, rtol=0, atol=1e-6)  # of the adaptive solver
    torch.testing.assert_close(flow.bijection.inverse(z), x, rtol=0, atol=1e-6)
    again = pf.load(flow.save(tmp_path / "flow"))
    with torch.no_grad():
        assert torch.equal(again.log_prob(x), flow.log_prob(x))


def test_the_key_of_one_block_is_what_it_was():
    """Recorded before there was the setting."""
    split = pf.Split.from_points(torch.arange(24, dtype=torch.float64).reshape(12, 2), 0)
    keys = [experiment._key(FFJORD(blocks=blocks), split, 0) for blocks in (1, 2)]
    assert keys[0] == "f26a73770a78" != keys[1]


def test_ot_flow_is_trained_on_its_coarse_grid_and_stands_on_the_fine_one():
    family = OTFlow(8, 3, 2, weights=(0.5, 2.0, 3.0), steps=3, test_steps=7)
    stage = next(family.stages(family.build(split_of(X)), split_of(X), TrainingHistory(), 0))
    assert stage.objective.weights == (0.5, 2.0, 3.0)
    stage.module.train()
    stage.objective(stage.points[:4], None)
    assert int(stage.module.evaluations) == 3 * 4
    flow, _ = walk(family, split_of(X), still)
    ode = flow.bijection.blocks[-1]
    assert ode.solver == FixedGrid(7) and ode.log_det == "trace"
    assert ode.velocity.settings() == {"dim": 2, "width": 8, "layers": 3, "rank": 2}


def test_a_quadratic_potential_whitens_a_gaussian():
    """The best of all flows there, in closed form: no network is needed, and the loss ends at the entropy."""
    mean, sd = torch.tensor([1.0, -1.0]).double(), torch.tensor([2.0, 1.3]).double()
    x = exact_moments(60, mean, sd)

    def minimise_quadratic(stage):
        for name, parameter in stage.module.named_parameters():
            parameter.requires_grad_(name.endswith((".quadratic", ".linear")))
        minimise(stage)

    family = OTFlow(2, weights=(0.0, 1.0, 0.0), steps=4, test_steps=8, precondition=())
    flow, history = walk(family, split_of(x), minimise_quadratic)
    entropy = math.log(2 * math.pi * math.e) + sd.log().sum().item()
    assert history.stages[-1]["val_nll"] == pytest.approx(entropy, abs=2e-5)  # that of the training grid's RK4
    with torch.no_grad():
        torch.testing.assert_close(flow.bijection(x), (x - mean) / sd, rtol=0, atol=0.01)


def test_zuko_is_the_bijection_of_its_settings():
    flow, _ = walk(Zuko("maf", 2, (5,), 4, 2, True), split_of(X), still)
    _, found = flow.bijection.blocks
    assert isinstance(found, ZukoFlow)
    settings = {"dim": 2, "model": "maf", "transforms": 2, "hidden": [5], "bins": 4, "passes": 2, "shuffled": True}
    assert found.settings() == settings


def test_the_seed_gives_the_weights():
    flows = [walk(FAMILIES["nsf"], split_of(X), still, seed)[0] for seed in (0, 0, 1)]
    values = [flow.log_prob(X[:5]) for flow in flows]
    assert torch.equal(values[0], values[1]) and not torch.isclose(values[0], values[2]).any()
    assert isinstance(flows[0], Flow)


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        (FFJORD, {"velocity": {"kind": "unet"}}, "velocity is {'kind': 'unet'}, expected a dict whose kind is one of"),
        (FFJORD, {"velocity": "mlp"}, "velocity is 'mlp'"),
        (FFJORD, {"tolerance": 0.0}, "tolerance=0.0"),
        (FFJORD, {"steps": -1}, "steps=-1"),
        (FFJORD, {"steps": 4, "adjoint": True}, "adjoint with steps=4"),
        (FFJORD, {"divergence": "skilling"}, "divergence 'skilling' is unknown"),
        (FFJORD, {"blocks": 0}, "blocks is 0, expected a number of ODEs, at least 1"),
        (FFJORD, {"blocks": 1.5}, "blocks is 1.5"),
        (FFJORD, {"pool": 0}, "pool is 0"),
        (FFJORD, {"precondition": ("spline",)}, r"precondition \['spline'\] is unknown"),
        (OTFlow, {"width": 0}, "width=0"),
        (OTFlow, {"layers": 1}, "layers is 1"),
        (OTFlow, {"weights": (1.0, 0.0, 0.0)}, "weights is"),
        (OTFlow, {"steps": 9, "test_steps": 8}, "steps=9, test_steps=8"),
        (OTFlow, {"pool": 0}, "pool is 0"),
        (OTFlow, {"precondition": ("spline",)}, "is unknown"),
        (Zuko, {"kind": "glow"}, "the model 'glow' is unknown"),
        (Zuko, {"bins": 1}, "bins is 1"),
        (Zuko, {"pool": 0}, "pool is 0"),
        (Zuko, {"precondition": ("spline",)}, "is unknown"),
    ],
)
def test_bad_settings_are_named(family, settings, message):
    with pytest.raises(InputError, match=message):
        family(**settings)


def test_a_setting_that_only_a_network_can_judge():
    with pytest.raises(InputError, match="'width': 6.* has a setting that 'mlp' does not know"):
        FFJORD({"kind": "mlp", "width": 6}).ode(2)
