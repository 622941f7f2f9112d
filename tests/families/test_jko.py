import math
from dataclasses import replace

import pytest
import torch

from cases import exact_moments, normal, split_of, student, walk
from pushforward.errors import InputError, NonFinite
from pushforward.experiment import train
from pushforward.families import JKO, Family, certify, jko, pushing
from pushforward.families.jko import LATTICE_FIT, NETWORK_FIT
from pushforward.fit import FitConfig
from pushforward.flows import Affine, Flow, Radial
from pushforward.nets import MLP, Gated, Lattice
from pushforward.numerics import Exact, FiniteDifference, FixedGrid, Hutchinson

SMALL = {"kind": "mlp", "widths": (6,), "activation": "tanh"}
X = exact_moments(400, torch.tensor([1.0, -1.0]).double(), torch.tensor([2.0, 0.7]).double())


@pytest.fixture(autouse=True)
def few_probes(monkeypatch):
    monkeypatch.setattr(certify, "PROBES", 150)
    monkeypatch.setattr(pushing, "PIECE", 150)


def still(stage):
    """Train nothing: every block stays what it was built as."""


# --- settings ---------------------------------------------------------------------------------------------------------


def test_step_sizes_grow_to_their_cap():
    paper = JKO(blocks=8, h0=0.25, growth=1.4)
    assert paper.step_sizes() == pytest.approx([0.25, 0.35, 0.49, 0.686, 0.9604, 1.34456, 1.882384, 2.6353376])
    assert JKO(blocks=4, h0=0.5, growth=2.0, h_max=1.5).step_sizes() == [0.5, 1.0, 1.5, 1.5]
    assert JKO(blocks=3, h0=1.0, growth=1.0, free_block=True).step_sizes() == [1.0, 1.0, math.inf]
    assert JKO(h=(0.5, 0.2)).step_sizes() == [0.5, 0.2]
    assert JKO(h=[0.5, 0.2], free_block=True).step_sizes() == [0.5, 0.2, math.inf]
    assert JKO(h=[0.5, 0.2]) == JKO(h=(0.5, 0.2))  # a YAML file has lists


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": 0}, "blocks is 0"),
        ({"h0": 0.0}, "h0=0.0.*expected positive step sizes"),
        ({"growth": -1.0}, "growth=-1.0"),
        ({"h_max": 0.0}, "h_max=0.0"),
        ({"divergence": "exakt"}, "divergence 'exakt' is unknown, expected one of .*finite-difference.*hutchinson"),
        ({"precondition": ("affine", "spline")}, r"precondition \['spline'\] is unknown"),
        ({"velocity": {"kind": "resnet"}}, "velocity kind 'resnet' is unknown, expected one of .*gated.*lattice.*mlp"),
        ({"velocity": {}}, "velocity kind None is unknown"),
        ({"velocity": "mlp"}, "velocity is 'mlp', expected None or a dict"),
        ({"diffusion": -0.1}, "diffusion is -0.1"),
        ({"pool": 0}, "pool is 0"),
        ({"h": ()}, r"h is \(\), expected a tuple of positive, finite step sizes"),
        ({"h": (0.5, 0.0)}, r"h is \(0.5, 0.0\)"),
        ({"h": (0.5, math.inf)}, r"h is \(0.5, inf\)"),
        ({"h": 0.5}, "h is 0.5, expected a tuple"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        JKO(**settings)


@pytest.mark.parametrize(
    ("settings", "dim", "message"),
    [
        ({"velocity": {"kind": "mlp", "colour": "red"}}, 2, "'colour': 'red'.* has a setting that 'mlp' does not know"),
        ({"velocity": {"kind": "gated", "widths": (3,)}}, 2, "has a setting that 'gated' does not know"),
        ({"velocity": {"kind": "lattice"}}, 3, "dim is 3, but a lattice velocity is planar"),
        ({"log_det": "exact"}, 2, "log_det is 'exact'"),
        ({"method": "euler"}, 2, "solver method 'euler' is unknown"),
        ({"steps": 0}, 2, "steps is 0"),
    ],
)
def test_settings_that_only_a_block_can_judge(settings, dim, message):
    with pytest.raises(InputError, match=message):
        JKO(**settings).block(dim)


def test_defaults_suit_the_dimension():
    assert isinstance(JKO(), Family)
    plane, solid, many = (JKO().block(dim) for dim in (2, 3, 4))
    assert isinstance(plane.velocity, Lattice) and plane.log_det == "discrete"
    assert isinstance(solid.velocity, MLP) and solid.log_det == "discrete"
    assert isinstance(many.velocity, MLP) and many.log_det == "trace"
    assert many.velocity.settings() == {"dim": 4, "widths": [128, 128], "activation": "silu", "time": False}
    assert many.divergence == Exact()


def test_a_block_has_the_settings_asked_for():
    velocity = {"kind": "gated", "filters": 7}
    family = JKO(velocity, steps=3, method="midpoint", log_det="trace", divergence="finite-difference")
    block = family.block(3)
    assert isinstance(block.velocity, Gated) and block.velocity.filters == 7
    assert block.solver == FixedGrid(3, "midpoint")
    assert block.divergence == FiniteDifference(0.02)
    assert JKO(divergence="hutchinson-gaussian").block(9).divergence == Hutchinson("gaussian")
    assert JKO(divergence="hutchinson-rademacher").block(9).divergence == Hutchinson("rademacher")
    assert (block.t_data, block.t_latent) == (0.0, 1.0)


# --- before the first block -------------------------------------------------------------------------------------------


def test_preconditioners_are_fitted_one_after_the_other():
    data = student(600, 3)
    flow = JKO(precondition=("affine", "radial")).build(split_of(data))
    affine, radial = flow.bijection.blocks
    expected = Affine.fit(data)
    torch.testing.assert_close(affine.matrix, expected.matrix, rtol=0, atol=0)
    torch.testing.assert_close(radial.inputs, Radial.fit(expected(data)).inputs, rtol=0, atol=0)
    assert len(JKO(precondition=()).build(split_of(data)).bijection.blocks) == 0


def test_training_starts_from_the_preconditioned_points():
    stages = []
    held_out = normal(300, 2, seed=8)
    flow, history = walk(JKO(velocity=SMALL, blocks=1), split_of(X, held_out), stages.append)
    affine = Affine.fit(X)
    torch.testing.assert_close(stages[0].points, affine(X))
    start = history.stages[0]
    assert start["stage"] == "start"
    assert start["val_nll"] == pytest.approx(-Flow(affine).log_prob(held_out).mean().item(), abs=1e-12)


def test_the_pool_limits_the_points_that_are_pushed():
    stages = []
    walk(JKO(velocity=SMALL, blocks=1, pool=70), split_of(X), stages.append)
    torch.testing.assert_close(stages[0].points, Affine.fit(X)(X)[:70])


def test_a_short_diffusion_has_the_moments_of_ornstein_uhlenbeck_and_spares_the_held_out_points():
    t, mean, sd = 0.3, torch.tensor([3.0, 0.0]).double(), torch.tensor([0.1, 2.0]).double()
    x = exact_moments(200_000, mean, sd)
    stages, plain = [], []
    family = JKO(velocity=SMALL, blocks=1, precondition=(), diffusion=t)
    _, history = walk(family, split_of(x, X), stages.append)
    _, without = walk(replace(family, diffusion=0.0), split_of(x, X), plain.append)
    diffused = stages[0].points
    torch.testing.assert_close(diffused.mean(0), math.exp(-t) * mean, rtol=0, atol=0.01)
    variance = math.exp(-2 * t) * sd**2 + 1 - math.exp(-2 * t)
    torch.testing.assert_close(diffused.var(0), variance, rtol=0.01, atol=0)
    assert torch.equal(plain[0].points, x)
    assert history.stages[0]["val_nll"] == without.stages[0]["val_nll"]
    again = []
    walk(family, split_of(x, X), again.append)
    assert torch.equal(again[0].points, diffused)


# --- block after block ------------------------------------------------------------------------------------------------


def test_block_k_sees_what_the_blocks_before_have_pushed():
    stages = []

    def nudge(stage):
        stages.append(stage)
        with torch.no_grad():
            for parameter in stage.module.parameters():
                parameter += 0.05

    flow, history = walk(JKO(velocity=SMALL, blocks=3, stop_ratio=0, stop_on_rise=False), split_of(X), nudge)
    with torch.no_grad():
        x = flow.bijection.blocks[0](X)
        for stage, block in zip(stages, flow.bijection.blocks[1:], strict=True):
            assert stage.module is block
            torch.testing.assert_close(stage.points, x)
            x = block(x)
    assert [row["stage"] for row in history.stages] == ["start", "block-1", "block-2", "block-3"]
    assert history.stages[-1]["val_nll"] == pytest.approx(-flow.log_prob(X).mean().item(), abs=1e-12)
    assert [stage.objective.h for stage in stages] == JKO(blocks=3).step_sizes()
    assert all(stage.objective.block is stage.module for stage in stages)
    assert all(stage.config == NETWORK_FIT for stage in stages)


def test_the_optimiser_suits_the_velocity():
    for dim, velocity, expected in [(2, None, LATTICE_FIT), (2, SMALL, NETWORK_FIT), (3, None, NETWORK_FIT)]:
        stages = []
        walk(JKO(velocity=velocity, blocks=1), split_of(normal(50, dim)), stages.append)
        assert stages[0].config == expected


def test_a_block_that_raises_the_validation_loss_is_dropped_and_is_the_last():
    """Each block moves the mean: the first towards the origin, the second away again."""
    moves = iter([-0.5, 1.5, -0.5])

    def shift(stage):
        with torch.no_grad():
            stage.module.velocity.layers[-1].bias += next(moves)

    held_out = split_of(X, X + 1)
    flow, history = walk(JKO(velocity=SMALL, precondition=(), blocks=3, stop_ratio=0), held_out, shift)
    assert [row.get("kept") for row in history.stages] == [None, True, False]
    assert history.stages[2]["val_nll"] > history.stages[1]["val_nll"]
    assert len(flow.bijection.blocks) == 1
    assert history.stages[1]["val_nll"] == pytest.approx(-flow.log_prob(X + 1).mean().item(), abs=1e-12)


def test_a_stage_validates_on_the_held_out_points():
    found = []

    def nudge(stage):
        with torch.no_grad():
            stage.module.velocity.layers[-1].bias += 0.3
        found.append(stage.validate())

    _, history = walk(JKO(velocity=SMALL, blocks=2, stop_ratio=0), split_of(X, normal(300, 2, seed=3)), nudge)
    assert found == pytest.approx([row["val_nll"] for row in history.stages[1:]], abs=1e-12)


def test_a_row_has_the_cost_of_its_training():
    family = JKO(
        velocity=SMALL, blocks=2, stop_ratio=0, stop_on_rise=False, steps=3, fit=FitConfig(iterations=7, batch=20)
    )
    _, history = train(family, X, device="cpu")
    assert [row["minibatches"] for row in history.stages[1:]] == [7, 7]
    assert [row["evaluations"] for row in history.stages[1:]] == [7 * 3 * 4] * 2  # four slopes a step of rk4
    assert (history.minibatches, history.evaluations) == (14, 168)
    traces = replace(family, log_det="trace", divergence="finite-difference")
    assert train(traces, X, device="cpu")[1].evaluations == 2 * 168  # each of its slopes is two passes


def test_only_the_block_in_training_has_gradients_and_a_graph():
    """Memory stays that of one block: nothing that earlier blocks did hangs on to the loss of a later one."""
    earlier = []

    def watched(stage):
        assert not stage.points.requires_grad
        loss = stage.objective(stage.points, torch.Generator()).total
        mine = {id(p) for p in stage.module.parameters()}
        assert leaves(loss.grad_fn) <= mine and leaves(loss.grad_fn)
        loss.backward()
        assert all(p.grad is None for block in earlier for p in block.parameters())
        stage.module.zero_grad()
        earlier.append(stage.module)

    walk(JKO(velocity=SMALL, blocks=3, stop_ratio=0), split_of(X), watched)
    assert len(earlier) == 3


def leaves(node):
    """The parameters that a graph accumulates gradients into."""
    found, queue, seen = set(), [node], set()
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        queue += [parent for parent, _ in node.next_functions]
    return found


def test_a_block_that_hardly_moves_is_the_last():
    shifts = iter([0.5, 0.5, 0.05, 0.5])

    def shift(stage):
        with torch.no_grad():
            stage.module.velocity.layers[-1].bias += next(shifts)

    _, history = walk(JKO(velocity=SMALL, blocks=4, stop_ratio=0.01, stop_on_rise=False), split_of(X), shift)
    assert [row["stage"] for row in history.stages] == ["start", "block-1", "block-2", "block-3"]
    ratios = [row["ratio"] for row in history.stages[1:]]
    assert ratios[1] > 0.01 > ratios[2]
    # Whitened points (mean square 2), shifted by (½, ½): mean square 2.5, movement ½.
    assert ratios[0] == pytest.approx(0.5 / 2.5, abs=1e-9)
    assert history.stages[1]["movement"] == pytest.approx(0.5, abs=1e-9)
    _, on = walk(JKO(velocity=SMALL, blocks=2, stop_ratio=0), split_of(X), still)
    assert len(on.stages) == 3


def test_the_last_block_alone_is_judged_by_a_sample_of_the_pool(monkeypatch):
    stages = []

    def nudge(stage):
        stages.append(stage)
        with torch.no_grad():
            for parameter in stage.module.parameters():
                parameter += 0.05

    monkeypatch.setattr(jko, "MOVERS", 40)
    _, history = walk(JKO(velocity=SMALL, blocks=2, stop_ratio=0, stop_on_rise=False), split_of(X), nudge)
    points = [stages[0].points, pushing.some(stages[1].points, 40, "movement")]
    assert len(points[1]) == 40
    for stage, x, row in zip(stages, points, history.stages[1:], strict=True):
        with torch.no_grad():
            moved = (stage.module(x) - x).square().sum(1).mean()
        assert row["movement"] == pytest.approx(float(moved), rel=1e-12)


def test_a_free_block_has_no_movement_term_and_its_step_is_not_a_number():
    terms = []

    def look(stage):
        terms.append(list(stage.objective(stage.points, None).terms))

    _, history = walk(JKO(velocity=SMALL, blocks=2, stop_ratio=0, free_block=True), split_of(X), look)
    assert terms == [["potential", "volume", "movement"], ["potential", "volume"]]
    assert [row["h"] for row in history.stages[1:]] == [0.25, None]


def test_the_free_block_comes_after_the_last_step_also_when_that_is_early():
    _, history = walk(JKO(velocity=SMALL, blocks=4, free_block=True), split_of(X), still)
    assert [row["h"] for row in history.stages[1:]] == [0.25, None]


def weights(warm_start, seed=0):
    """The first layers that three blocks start from, and end with after a nudge."""
    starts, ends = [], []

    def nudge(stage):
        layer = stage.module.velocity.layers[0].weight
        starts.append(layer.detach().clone())
        with torch.no_grad():
            layer += 0.1
        ends.append(layer.detach().clone())

    walk(JKO(velocity=SMALL, blocks=3, stop_ratio=0, warm_start=warm_start), split_of(X), nudge, seed)
    return starts, ends


def test_warm_start_copies_the_block_before():
    starts, ends = weights(warm_start=True)
    assert torch.equal(starts[1], ends[0]) and torch.equal(starts[2], ends[1])
    cold, _ = weights(warm_start=False)
    assert torch.equal(cold[0], starts[0]) and not torch.equal(cold[1], ends[0])


def test_initial_weights_depend_on_seed_and_block_and_on_nothing_else():
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first, _ = weights(warm_start=False)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(6)
    again, _ = weights(warm_start=False)
    other, _ = weights(warm_start=False, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[0], other[0])


@pytest.mark.parametrize("divergence", ["hutchinson-gaussian", "hutchinson-rademacher", "finite-difference"])
def test_estimated_divergences_leave_no_noise_in_what_is_reported(divergence):
    def nudge(stage):
        with torch.no_grad():
            for parameter in stage.module.parameters():
                parameter += 0.05
        stage.objective(stage.points, torch.Generator())

    family = JKO(velocity=SMALL, blocks=2, stop_ratio=0, log_det="trace")
    _, exact = walk(family, split_of(X), nudge)
    flow, found = walk(replace(family, divergence=divergence), split_of(X), nudge)
    assert [row["val_nll"] for row in found.stages] == [row["val_nll"] for row in exact.stages]
    assert torch.equal(flow.log_prob(X), flow.log_prob(X))


@pytest.mark.parametrize(
    ("log_det", "message"), [("trace", "the validation NLL is nan"), ("discrete", "velocity that is NaN")]
)
def test_weights_that_became_nan_are_an_error(log_det, message):
    def spoil(stage):
        with torch.no_grad():
            next(stage.module.parameters()).fill_(math.nan)

    with pytest.raises(NonFinite, match=message):
        walk(JKO(velocity=SMALL, blocks=1, log_det=log_det), split_of(X), spoil)
