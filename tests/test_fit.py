import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from cases import normal
from pushforward.checkpoints import load_tensors, save_tensors
from pushforward.errors import CheckpointError, InputError, NonFinite
from pushforward.families import JKO
from pushforward.fit import FitConfig, fit
from pushforward.flows import ODEBijection
from pushforward.nets import MLP
from pushforward.numerics import FixedGrid, Hutchinson
from pushforward.objectives import JKOObjective, Loss

POINTS = normal(300, 2) * 2
CONFIG = FitConfig(iterations=12, batch=32, lr=1e-2, warmup=3, log_every=4)


def block(seed=0, width=6):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        velocity = MLP(2, (width,), "tanh").double()
    return ODEBijection(velocity, FixedGrid(2), divergence=Hutchinson())


def train(config=CONFIG, module=None, **settings):
    module = module or block()
    return module, fit(module, JKOObjective(module, 0.5), POINTS, config, seed=1, **settings)


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


class Distance(nn.Module):
    """A parameter θ at the origin, and the loss |θ − x|²/2 whose minimum is the mean of the points."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def __call__(self, x, random):
        return Loss({"distance": 0.5 * (self.theta - x).square().sum(1).mean()})


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_cosine_falls_from_lr_to_its_end_after_a_linear_warm_up():
    config = FitConfig(iterations=100, lr=0.1, lr_end=0.2, warmup=10)

    def cosine(i):
        return 0.1 * (0.2 + 0.8 * (1 + math.cos(math.pi * i / 100)) / 2)

    assert config.rate(0) == pytest.approx(0.1 * cosine(0))
    assert config.rate(4) == pytest.approx(0.5 * cosine(4))
    assert config.rate(9) == pytest.approx(cosine(9))
    assert config.rate(50) == pytest.approx(0.1 * 0.6)
    assert config.rate(100) == pytest.approx(0.1 * 0.2)


def test_the_constant_schedule_only_warms_up():
    config = FitConfig(iterations=100, lr=0.1, schedule="constant", warmup=4)
    assert [config.rate(i) for i in (0, 1, 3, 99)] == pytest.approx([0.025, 0.05, 0.1, 0.1])
    assert FitConfig(schedule="constant", warmup=0, lr=0.1).rate(0) == 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": 0}, "iterations=0"),
        ({"batch": 0}, "batch=0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"log_every": 0}, "log_every is 0"),
        ({"lr": math.nan}, "lr is nan"),
        ({"optimizer": "sgd"}, "optimizer 'sgd' is unknown, expected 'adam' or 'adamw'"),
        ({"ema": 1.0}, r"ema is 1.0, expected a decay in \[0, 1\)"),
        ({"schedule": "linear"}, "schedule 'linear' is unknown, expected 'constant' or 'cosine'"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        FitConfig(**settings)


# --- the loop ---------------------------------------------------------------------------------------------------------


def test_it_finds_the_minimum():
    module = Distance()
    fit(module, module, POINTS + 3, FitConfig(iterations=400, batch=300, lr=0.1), seed=0)
    torch.testing.assert_close(module.theta.detach(), (POINTS + 3).mean(0), rtol=0, atol=0.1)


def test_one_step_of_adam_has_the_size_of_the_rate():
    module = Distance()
    fit(module, module, POINTS + 50, FitConfig(iterations=1, batch=10, lr=0.1, warmup=1), seed=0)
    torch.testing.assert_close(module.theta.detach(), torch.full((2,), 0.1).double())
    module = Distance()
    fit(module, module, POINTS + 50, FitConfig(iterations=1, batch=10, lr=0.1, warmup=2), seed=0)
    torch.testing.assert_close(module.theta.detach(), torch.full((2,), 0.05).double())


def test_adamw_decays_weights_and_adam_does_not_decouple():
    theta = {}
    for optimizer in ("adam", "adamw"):
        module = Distance()
        with torch.no_grad():
            module.theta += 10.0
        config = FitConfig(iterations=1, batch=10, lr=0.1, warmup=1, optimizer=optimizer, weight_decay=0.5)
        fit(module, module, POINTS + 50, config, seed=0)
        theta[optimizer] = module.theta.detach()
    torch.testing.assert_close(theta["adam"], torch.full((2,), 10.1).double())
    torch.testing.assert_close(theta["adamw"], torch.full((2,), 10 * (1 - 0.1 * 0.5) + 0.1).double())


def test_the_gradient_norm_is_clipped():
    norms = []

    def watched(clip):
        module = Distance()
        module.theta.register_post_accumulate_grad_hook(lambda p: norms.append(p.grad.norm().item()))
        optimiser_step = torch.optim.Adam.step

        def step(self, *arguments, **settings):
            norms.append(module.theta.grad.norm().item())
            return optimiser_step(self, *arguments, **settings)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.Adam, "step", step)
            fit(module, module, POINTS + 50, FitConfig(iterations=1, batch=10, clip=clip), seed=0)

    watched(0.25)
    assert norms[0] > 60 and norms[1] == pytest.approx(0.25, rel=1e-4)
    norms.clear()
    watched(0.0)
    assert norms[0] == norms[1]


def test_rows_hold_the_terms_every_so_often_and_at_the_end():
    _, history = train(replace(CONFIG, iterations=10))
    assert [row["iteration"] for row in history.rows] == [4, 8, 10]
    assert history.iterations == 10
    for row in history.rows:
        assert row["total"] == pytest.approx(row["potential"] + row["volume"] + row["movement"], rel=1e-12)
    assert 0 < history.rows[0]["seconds"] < history.seconds


def test_validation_is_asked_in_evaluation_mode_and_does_not_change_the_training():
    module = block()
    seen = []

    def validate():
        seen.append(module.training)
        return module.forward_and_log_det(POINTS)[1].mean().item()

    _, history = train(replace(CONFIG, validate_every=5), module, validate=validate)
    assert seen == [False, False]
    assert [row["iteration"] for row in history.rows] == [4, 5, 8, 10, 12]  # one row where both fall together
    assert [row["iteration"] for row in history.rows if "validation" in row] == [5, 10]
    assert same(module, train()[0])


def test_the_average_follows_the_parameters():
    """Adam on a constant gradient walks by lr a step, so the average is a sum that can be written down."""
    decay, lr, steps, module = 0.6, 0.1, 8, Distance()
    seen = []

    def validate():
        seen.append(module.theta[0].item())
        return 0.0

    config = FitConfig(iterations=steps, batch=10, lr=lr, warmup=0, schedule="constant", ema=decay, validate_every=1)
    fit(module, lambda x, _: Loss({"drift": -module.theta.sum()}), POINTS, config, seed=0, validate=validate)
    average, expected = 0.0, []
    for k in range(1, steps + 1):
        kept = min(decay, k / (k + 9))
        average = kept * average + (1 - kept) * lr * k
        expected.append(average)
    assert seen == pytest.approx(expected, rel=1e-6)
    assert module.theta[0].item() == pytest.approx(expected[-1], rel=1e-6)


def test_afterwards_the_module_evaluates_and_holds_no_gradient():
    module, _ = train()
    assert not module.training
    assert all(p.grad is None for p in module.parameters())


def test_seed_and_purpose_decide_the_batches():
    module, history = train()
    again, _ = train()
    other, _ = train(purpose="block-2")
    assert same(module, again)
    assert not same(module, other)
    assert history.iterations == 12


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    train()
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_loss_that_is_not_finite_prints_its_terms():
    module = Distance()

    def objective(x, random):
        distance = module(x, random).total
        return Loss({"distance": distance, "volume": -torch.log(distance * 0)})

    with pytest.raises(NonFinite, match=r"iteration 0 is not finite \(distance \d.*, volume inf\).*learning rate"):
        fit(module, objective, POINTS, CONFIG, seed=0)


def test_nan_points_are_stopped_by_the_loss():
    with pytest.raises(NonFinite, match="potential nan, volume nan, movement nan"):
        fit(block(), JKOObjective(block(), 0.5), POINTS * math.nan, CONFIG, seed=0)


# --- switches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "gated", "lattice"])
@pytest.mark.parametrize("log_det", ["trace", "discrete"])
def test_bf16_trains_every_network_to_nearly_the_same_loss(kind, log_det):
    losses = []
    for bf16 in (False, True):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = JKO(velocity={"kind": kind}, log_det=log_det).block(2)
        config = FitConfig(iterations=3, batch=64, lr=1e-3, warmup=1, bf16=bf16, log_every=1)
        history = fit(module, JKOObjective(module, 0.5), POINTS.float(), config, seed=0)
        assert {p.dtype for p in module.parameters()} == {torch.float32}
        losses.append([row["total"] for row in history.rows])
    assert losses[0][0] == losses[1][0]  # at rest
    assert losses[1][2] == pytest.approx(losses[0][2], rel=1e-2)
    if kind != "lattice":  # which has no large products
        assert losses[1][2] != losses[0][2]


def test_a_compiled_objective_trains_to_the_same_loss(monkeypatch):
    """Tracing is tested everywhere; the code generator of a compiled run needs a compiler, so it is left to the GPU."""
    compile_, traced = torch.compile, []

    def eager(function, **settings):
        traced.append(function)
        return compile_(function, backend="eager", **settings)

    monkeypatch.setattr(torch, "compile", eager)
    _, history = train(replace(CONFIG, compile=True), module := block())
    assert len(traced) == 1
    assert history.rows[-1]["total"] == pytest.approx(train()[1].rows[-1]["total"], rel=1e-9)
    assert not module.training


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("switch", ["bf16", "compile"])
def test_switches_on_a_gpu(switch):
    module = block().float().to("cuda")
    config = replace(CONFIG, **{switch: True})
    history = fit(module, JKOObjective(module, 0.5), POINTS.float().to("cuda"), config, seed=1)
    assert history.rows[-1]["total"] == pytest.approx(train()[1].rows[-1]["total"], abs=0.05)


# --- checkpoints ------------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


def interrupted(path, config, after):
    """Train until ``after`` iterations and die, leaving the last checkpoint at ``path``."""
    module = block()
    calls = []

    def objective(x, random):
        calls.append(1)
        if len(calls) > after:
            raise Killed
        return JKOObjective(module, 0.5)(x, random)

    with pytest.raises(Killed):
        fit(module, objective, POINTS, config, seed=1, checkpoint=path)


@pytest.mark.parametrize("settings", [{"optimizer": "adam"}, {"optimizer": "adamw"}, {"ema": 0.9}])
def test_a_resumed_fit_ends_with_the_same_bits(tmp_path, settings):
    config = replace(CONFIG, **settings, checkpoint_seconds=0, clip=1.0)
    whole, expected = train(config)
    interrupted(tmp_path / "state.safetensors", config, after=7)
    resumed, history = train(config, block(seed=9), checkpoint=tmp_path / "state.safetensors")
    assert same(whole, resumed)
    drop = ("seconds",)
    assert [{k: v for k, v in row.items() if k not in drop} for row in history.rows] == [
        {k: v for k, v in row.items() if k not in drop} for row in expected.rows
    ]


def test_a_checkpoint_is_written_only_so_often(tmp_path):
    train(replace(CONFIG, checkpoint_seconds=100), checkpoint=tmp_path / "state.safetensors")
    assert not any(tmp_path.iterdir())


def test_how_often_may_change_between_runs(tmp_path):
    path = tmp_path / "state.safetensors"
    interrupted(path, replace(CONFIG, checkpoint_seconds=0), after=5)
    assert same(train(replace(CONFIG, checkpoint_seconds=60, log_every=3), checkpoint=path)[0], train()[0])


def test_another_configuration_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    interrupted(path, replace(CONFIG, checkpoint_seconds=0), after=5)
    with pytest.raises(CheckpointError, match='another configuration .*"lr": 0.01.*expected.*"lr": 0.5.*delete it'):
        train(replace(CONFIG, lr=0.5), checkpoint=path)


@pytest.mark.parametrize(("seed", "purpose"), [(2, "fit"), (1, "other")])
def test_another_seed_or_purpose_is_refused(tmp_path, seed, purpose):
    path = tmp_path / "state.safetensors"
    interrupted(path, replace(CONFIG, checkpoint_seconds=0), after=5)
    module = block()
    with pytest.raises(CheckpointError, match="another configuration"):
        fit(module, JKOObjective(module, 0.5), POINTS, CONFIG, seed, purpose=purpose, checkpoint=path)


def test_another_network_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    interrupted(path, replace(CONFIG, checkpoint_seconds=0), after=5)
    with pytest.raises(CheckpointError, match="(?s)does not fit this module .*size mismatch"):
        train(module=block(width=7), checkpoint=path)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    interrupted(path, replace(CONFIG, checkpoint_seconds=0), after=5)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="cannot be read"):
        train(checkpoint=path)


@pytest.mark.parametrize("lost", ["generator", "identity", "history", "module.velocity.layers.0.weight"])
def test_a_checkpoint_with_a_part_missing_is_refused(tmp_path, lost):
    path = tmp_path / "state.safetensors"
    interrupted(path, replace(CONFIG, checkpoint_seconds=0), after=5)
    tensors, note = load_tensors(path)
    tensors.pop(lost, None)
    note.pop(lost, None)
    save_tensors(path, tensors, note)
    with pytest.raises(CheckpointError, match="does not fit this module"):
        train(checkpoint=path)
