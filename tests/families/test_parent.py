"""A JKO training that goes on from a parent: before it learns anything it is that parent."""

import os
from dataclasses import replace

import pytest
import torch

import pushforward as pf
from cases import exact_moments, jacobian, normal, randomised, split_of, walk
from pushforward import experiment, paths
from pushforward.errors import InputError
from pushforward.families import JKO, certify, pushing
from pushforward.families.parent import Parent, halves, inherit
from pushforward.fit import FitConfig
from pushforward.flows import ActNorm, Affine, Chain, Flow, ODEBijection
from pushforward.nets import MLP, Gated, Lattice, TimeLattice
from pushforward.numerics import FixedGrid

X = exact_moments(300, torch.tensor([1.0, -1.0]).double(), torch.tensor([2.0, 0.7]).double())
SMALL = {"kind": "mlp", "widths": (6,), "activation": "tanh"}
FIT = FitConfig(iterations=12, batch=40, lr=0.01, checkpoint_seconds=0)
FAMILY = JKO(SMALL, blocks=3, stop_ratio=0, stop_on_rise=False, fit=FIT)
VELOCITIES = {
    "mlp": lambda: MLP(2, (6, 5), "tanh"),
    "mlp in time": lambda: MLP(2, (6,), "silu", time=True),
    "lattice": lambda: Lattice(2, (10, 8), 4.0),
    "gated": lambda: Gated(2, 4),
}


pytestmark = pytest.mark.usefixtures("artifacts")


@pytest.fixture(autouse=True)
def few_points(monkeypatch):
    monkeypatch.setattr(certify, "PROBES", 150)
    monkeypatch.setattr(certify, "GAP", 1.0)  # no grid of a parent or child is made finer: the maps are compared
    monkeypatch.setattr(pushing, "PIECE", 150)


def still(stage):
    """Train nothing: every block stays as it started."""


def moved(stage):
    randomised(stage.module, 0.15, seed=int(stage.name[-1]))


def remembered(family=FAMILY, data=X, name="parent"):
    """A flow with random blocks in artifacts."""
    flow, history = walk(family, split_of(data), moved)
    flow.save(paths.artifacts() / name)
    return flow, history


def assert_same_law(a, b, tolerance=1e-12):
    with torch.no_grad():
        torch.testing.assert_close(a.bijection(X), b.bijection(X), rtol=0, atol=tolerance)
        torch.testing.assert_close(a.log_prob(X), b.log_prob(X), rtol=0, atol=tolerance)


# --- halves -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VELOCITIES)
@pytest.mark.parametrize("log_det", ["discrete", "trace"])
def test_two_halves_are_the_block(name, log_det):
    block = ODEBijection(randomised(VELOCITIES[name](), 0.3), FixedGrid(4), log_det).double().eval()
    before = {key: value.clone() for key, value in block.state_dict().items()}
    first, second = halves(block)
    assert (first.solver, second.solver) == (FixedGrid(2), FixedGrid(2))
    assert_same_law(Flow(Chain(2, [first, second])), Flow(block))
    assert {key: value.tolist() for key, value in block.state_dict().items()} == {
        key: value.tolist() for key, value in before.items()
    }
    with torch.no_grad():
        torch.testing.assert_close(first(X), block.path(X, 3)[1], rtol=0, atol=0.02)  # the middle of the way
        middle = replace(block.solver, steps=2)(block.velocity, X, 0.0, 0.5)
    torch.testing.assert_close(first(X).detach(), middle, rtol=0, atol=1e-12)


def test_the_log_det_of_a_half_is_that_of_its_own_jacobian():
    block = ODEBijection(randomised(VELOCITIES["mlp in time"](), 0.3), FixedGrid(2), "discrete").double().eval()
    for half in halves(block):
        _, log_det = half.forward_and_log_det(X[:9])
        torch.testing.assert_close(log_det.detach(), torch.linalg.slogdet(jacobian(half, X[:9]))[1])


@pytest.mark.parametrize("steps", [1, 3])
def test_an_odd_grid_becomes_finer(steps):
    block = ODEBijection(randomised(VELOCITIES["mlp"](), 0.4), FixedGrid(steps), "discrete").double().eval()
    exact = ODEBijection(block.velocity, FixedGrid(400), "trace").eval()
    children = Chain(2, halves(block))
    with torch.no_grad():
        errors = [(bijection(X) - exact(X)).abs().max() for bijection in (children, block)]
    assert errors[0] < errors[1]


def test_a_velocity_that_cannot_be_cut_is_named():
    with pytest.raises(InputError, match="a TimeLattice has no method restrict_"):
        halves(ODEBijection(TimeLattice(2, ((8, 0.0, 1),))))


# --- the parent as it is read -----------------------------------------------------------------------------------------


def test_a_parent_that_is_not_there_is_named():
    with pytest.raises(InputError, match="parent 'nobody-0' is no flow in artifacts .*train it first"):
        walk(replace(FAMILY, parent="nobody-0"), split_of(X), still)


@pytest.mark.parametrize(
    "parts",
    [
        [Affine(2)],
        [Affine(2), ODEBijection(MLP(2, (3,))), ActNorm(2)],
        [ODEBijection(MLP(2, (3,)), t_data=1.0, t_latent=0.0)],
    ],
    ids=["no block", "something behind", "another clock"],
)
def test_a_flow_that_is_not_of_jko_blocks_is_named(parts):
    with pytest.raises(InputError, match="expected preconditioners, then ODE blocks from time 0 to 1"):
        Parent.of(Flow(Chain(2, parts)))


def test_a_parent_of_other_settings_or_data_is_named():
    remembered()
    child = replace(FAMILY, parent="parent")
    with pytest.raises(
        InputError, match=r"preconditions by \['affine'\] in dimension 2, expected \['affine', 'radial'\]"
    ):
        walk(replace(child, precondition=("affine", "radial")), split_of(X), still)
    with pytest.raises(InputError, match=r"expected \['affine'\] in dimension 3"):
        walk(child, split_of(normal(300, 3)), still)
    with pytest.raises(InputError, match=r"MLP of .*\[6\].*, expected a MLP of .*\[7\]"):
        walk(replace(child, velocity={**SMALL, "widths": (7,)}), split_of(X), still)
    with pytest.raises(InputError, match="'tanh'.* expected .*'silu'"):  # the same shapes, another network
        walk(replace(child, velocity={**SMALL, "activation": "silu"}), split_of(X), still)
    with pytest.raises(InputError, match="has 3 blocks and this training 4, expected as many, or two for each"):
        walk(replace(child, h=(1.0,) * 4), split_of(X), still)


def test_inherited_is_the_map_with_its_grid():
    start = ODEBijection(randomised(MLP(2, (4,))), FixedGrid(5), "discrete").double().eval()
    block = ODEBijection(MLP(2, (4,)), FixedGrid(2), "discrete").double().eval()
    inherit(block, start)
    assert block.solver.steps == 5
    assert_same_law(Flow(block), Flow(start), 0)


# --- before training the child is its parent --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "velocity", [SMALL, {**SMALL, "time": True}, {"kind": "lattice", "sizes": (10, 8)}, {"kind": "gated", "filters": 3}]
)
@pytest.mark.parametrize(
    "h", [None, (0.1, 0.2, 0.3), (0.1, 0.1, 0.2, 0.2, 0.3, 0.3)], ids=["as is", "new h", "refined"]
)
def test_an_untrained_child_is_its_parent(velocity, h):
    family = replace(FAMILY, velocity=velocity)
    parent, before = remembered(family)
    child, history = walk(replace(family, h=h, parent="parent"), split_of(X), still)
    assert_same_law(child, parent)
    assert [row["h"] for row in history.stages[1:]] == (list(h) if h else [0.25, 0.5, 1.0])
    nll = [row["val_nll"] for row in history.stages]
    whole = nll[2::2] if h and len(h) == 6 else nll[1:]
    assert whole == pytest.approx([row["val_nll"] for row in before.stages[1:]], abs=1e-12)


def test_the_grid_that_the_parent_was_certified_on_is_the_child_s(monkeypatch):
    monkeypatch.setattr(certify, "GAP", 1e-9)
    parent, _ = remembered(replace(FAMILY, steps=1))
    monkeypatch.setattr(certify, "GAP", 1.0)
    steps = [block.solver.steps for block in parent.bijection.blocks[1:]]
    assert max(steps) > 1
    child, _ = walk(replace(FAMILY, steps=1, parent="parent"), split_of(X), still)
    assert [block.solver.steps for block in child.bijection.blocks[1:]] == steps
    assert_same_law(child, parent)


def test_a_free_block_is_never_cut():
    family = replace(FAMILY, free_block=True)
    parent, _ = remembered(family)
    child, history = walk(replace(family, h=(0.1, 0.2, 0.3, 0.4), parent="parent"), split_of(X), still)
    assert [row["h"] for row in history.stages[1:]] == [0.1, 0.2, 0.3, 0.4, None]
    assert_same_law(child, parent)
    again, _ = walk(replace(family, h=(0.1, 0.2), parent="parent"), split_of(X), still)
    assert_same_law(again, parent)


def test_a_child_is_of_the_dtype_of_its_points_and_spares_its_parent():
    parent, _ = remembered(data=X.float())

    def nudge(stage):
        with torch.no_grad():
            stage.module.velocity.layers[-1].bias += 0.1

    child, _ = walk(replace(FAMILY, parent="parent"), split_of(X), nudge)
    assert {p.dtype for p in child.parameters()} == {torch.float64}
    assert (child.bijection(X) - parent.double().bijection(X)).abs().max() > 0.1
    assert_same_law(walk(replace(FAMILY, parent="parent"), split_of(X), still)[0], parent)


# --- trained, remembered, resumed -------------------------------------------------------------------------------------


def test_training_goes_on_from_the_parent():
    first = pf.train_once("case", FAMILY, split_of(X), device="cpu")
    starts = []
    family = replace(FAMILY, h=(0.5, 0.5, 0.5), parent=first.folder.name)
    flow, _ = walk(family, split_of(X), lambda stage: starts.append(stage.module.velocity.layers[0].weight.clone()))
    for start, block in zip(starts, first.flow.bijection.blocks[1:], strict=True):
        assert torch.equal(start, block.velocity.layers[0].weight)
    second = pf.train_once("case", family, split_of(X), device="cpu")
    assert second.key != first.key
    assert not torch.equal(second.flow.bijection(X), first.flow.bijection(X))


def test_a_child_that_was_killed_ends_with_the_same_bits(monkeypatch):
    name = pf.train_once("case", FAMILY, split_of(X), device="cpu").folder.name
    family = replace(FAMILY, h=(0.2,) * 6, parent=name)
    whole = pf.train_once("whole", family, split_of(X), device="cpu")
    step = experiment.fit

    def until(module, objective, *arguments, **settings):
        calls = []

        def dies(x, random):
            calls.append(1)
            if settings["purpose"] == "block-4" and len(calls) > 7:
                raise KeyboardInterrupt
            return objective(x, random)

        return step(module, dies, *arguments, **settings)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(experiment, "fit", until)
        pf.train_once("killed", family, split_of(X), device="cpu")
    left = os.listdir(paths.artifacts() / f"killed-{whole.key}" / "training")
    assert sorted(left) == [f"block-{k}.safetensors" for k in (1, 2, 3)] + ["block-4.partial.safetensors"]
    resumed = pf.train_once("killed", family, split_of(X), device="cpu")
    assert resumed.key == whole.key
    for key, value in resumed.flow.state_dict().items():
        assert torch.equal(value, whole.flow.state_dict()[key]), key
