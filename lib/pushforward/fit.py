"""The one training loop: it knows points, an objective and an optimiser, and nothing of flows."""

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pushforward.checkpoints import load_tensors, save_tensors
from pushforward.errors import CheckpointError, InputError, NonFinite
from pushforward.objectives import Loss, Objective
from pushforward.seeds import stream
from pushforward.shapes import Points


@dataclass(frozen=True)
class FitConfig:
    """How to train.

    ``schedule`` is constant or a half cosine down to ``lr · lr_end``, after ``warmup`` linear iterations. ``clip`` is
    the largest gradient norm (0: none). ``ema`` > 0 is the decay of an exponential moving average of the parameters,
    which is what validation sees and what the module ends with. ``bf16`` runs matrix products in bfloat16 under
    autocast, ``compile`` compiles the objective. A checkpoint is written every ``checkpoint_seconds`` where a path is
    given.

    Raises:
        InputError: a setting out of its range.
    """

    iterations: int = 1000
    batch: int = 1000
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: float = 1e-3
    lr_end: float = 0.0
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: int = 20
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    clip: float = 0.0
    ema: float = 0.0
    validate_every: int = 0
    log_every: int = 50
    checkpoint_seconds: float = 30.0
    bf16: bool = False
    compile: bool = False

    MONITORING: ClassVar = ("validate_every", "log_every", "checkpoint_seconds")  # settings that change no number

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.batch < 1:
            raise InputError(f"iterations={self.iterations}, batch={self.batch}: expected both to be at least 1")
        if self.log_every < 1:
            raise InputError(f"log_every is {self.log_every}, expected at least 1")
        if not self.lr > 0:
            raise InputError(f"lr is {self.lr}, expected a positive number")
        if self.optimizer not in ("adam", "adamw"):
            raise InputError(f"optimizer {self.optimizer!r} is unknown, expected 'adam' or 'adamw'")
        if self.schedule not in ("constant", "cosine"):
            raise InputError(f"schedule {self.schedule!r} is unknown, expected 'constant' or 'cosine'")
        if not 0 <= self.ema < 1:
            raise InputError(f"ema is {self.ema}, expected a decay in [0, 1)")

    def rate(self, iteration: int) -> float:
        """The learning rate at an iteration counted from 0."""
        warm = min(1.0, (iteration + 1) / max(1, self.warmup))
        if self.schedule == "constant":
            return self.lr * warm
        fall = 0.5 * (1 + math.cos(math.pi * iteration / self.iterations))
        return self.lr * warm * (self.lr_end + (1 - self.lr_end) * fall)


@dataclass
class FitHistory:
    """What a fit saw: iteration, seconds, terms, total[, validation] of each iteration logged or validated."""

    rows: list[dict] = field(default_factory=list)
    iterations: int = 0
    seconds: float = 0.0  # CPU-seconds of optimiser steps, validation and checkpoints left out


def fit(
    module: nn.Module,
    objective: Objective,
    points: Points,
    config: FitConfig,
    seed: int,
    *,
    purpose: str = "fit",
    checkpoint: Path | None = None,
    validate: Callable[[], float | None] | None = None,
    after_step: Callable[[], None] | None = None,
) -> FitHistory:
    """Minimise ``objective`` over the parameters of ``module`` on minibatches of ``points`` [n, d].

    With ``checkpoint`` the state is saved on the way and a killed run goes on from it, to the same bits on the CPU.
    ``after_step`` is called after each step of the optimiser.

    Raises:
        NonFinite: the loss is NaN or infinite; the message prints its terms.
        CheckpointError: the checkpoint belongs to another configuration, seed or purpose, or cannot be read.
    """
    identity = _identity(config, seed, purpose)
    state = _State(module, config, seed, purpose, after_step or _nothing)
    if checkpoint is not None and checkpoint.is_file():
        state.restore(checkpoint, identity)
    history = state.history
    loss_of = torch.compile(objective) if config.compile else objective
    module.train()
    bar = tqdm(
        total=config.iterations, initial=history.iterations, desc=purpose, leave=False, disable=not sys.stderr.isatty()
    )
    saved = time.monotonic()
    while history.iterations < config.iterations:
        started = time.process_time()
        loss = _step(state, loss_of, points, config)
        history.seconds += time.process_time() - started
        history.iterations += 1
        bar.update()
        due = validate is not None and config.validate_every and history.iterations % config.validate_every == 0
        if due or history.iterations % config.log_every == 0 or history.iterations == config.iterations:
            history.rows.append(_row(loss, history) | ({"validation": state.validation(validate)} if due else {}))
        if checkpoint is not None and time.monotonic() - saved > config.checkpoint_seconds:
            state.save(checkpoint, identity)
            saved = time.monotonic()
    bar.close()
    state.finish()
    return history


class _Average:
    """Exponential moving average of a module's parameters, kept beside them."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = dict(module.named_parameters())
        self.values = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.updates = 0

    def update(self) -> None:
        """The first updates forget faster, or the initial weights would linger for 1 / (1 − decay) iterations."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 9))
        for name, value in self.values.items():
            value.lerp_(self.parameters[name].detach(), 1 - decay)

    def swap(self) -> None:
        """Exchange the parameters with their averages."""
        for name, value in self.values.items():
            parameter = self.parameters[name]
            parameter.data, self.values[name] = value, parameter.data


class _State:
    """What an iteration changes, and what a checkpoint holds."""

    def __init__(
        self, module: nn.Module, config: FitConfig, seed: int, purpose: str, after_step: Callable[[], None]
    ) -> None:
        self.module = module
        self.after_step = after_step
        self.optimizer = _optimizer(module, config)
        self.generator = stream(seed, purpose)
        self.history = FitHistory()
        self.average = _Average(module, config.ema) if config.ema else None

    def validation(self, validate: Callable[[], float | None]) -> float | None:
        """What ``validate`` says of the module as it would be returned now."""
        # Entering evaluation may renew buffers (spectral norms); looking must not change the training.
        before = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        if self.average:
            self.average.swap()
        self.module.eval()  # after the swap: what a module derives from its parameters then is theirs
        value = validate()
        self.module.train()
        if self.average:
            self.average.swap()
        for name, buffer in self.module.named_buffers():
            buffer.copy_(before[name])
        return value

    def finish(self) -> None:
        """Leave the module with its averaged parameters and without the memory of its last gradient."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.swap()
        self.module.eval()

    def save(self, path: Path, identity: str) -> None:
        """Write all of it, atomically."""
        tensors: dict[str, Tensor] = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in slots.items()}
        if self.average:
            tensors |= {f"average.{name}": value for name, value in self.average.values.items()}
        tensors["generator"] = self.generator.get_state()
        save_tensors(path, tensors, {"identity": identity, "history": asdict(self.history)})

    def restore(self, path: Path, identity: str) -> None:
        """Go on from ``path``.

        Raises:
            CheckpointError: it is of another configuration or network, or cannot be read.
        """
        tensors, note = load_tensors(path)
        try:
            if note["identity"] != identity:
                raise CheckpointError(
                    f"{path} was written under another configuration ({note['identity']}), expected "
                    f"{identity}: delete it to start afresh"
                )
            self.module.load_state_dict(_under("module.", tensors))
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in _under("optimizer.", tensors).items():
                index, name = key.split(".", 1)
                slots.setdefault(int(index), {})[name] = value
            self.optimizer.load_state_dict(
                {"state": slots, "param_groups": self.optimizer.state_dict()["param_groups"]}
            )
            self.generator.set_state(tensors["generator"])
            self.history.__dict__.update(note["history"])
            if self.average:
                self.average.updates = self.history.iterations
                for name, value in self.average.values.items():
                    value.copy_(tensors[f"average.{name}"])
        except CheckpointError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{path} does not fit this module ({error}), expected a state of the same network: delete it, start "
                "afresh"
            ) from error


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _step(state: _State, objective: Objective, points: Points, config: FitConfig) -> Loss:
    iteration = state.history.iterations
    for group in state.optimizer.param_groups:
        group["lr"] = config.rate(iteration)
    index = torch.randint(len(points), (config.batch,), generator=state.generator)
    with torch.autocast(points.device.type, torch.bfloat16, enabled=config.bf16):
        loss = objective(points[index.to(points.device)], state.generator)
    if not math.isfinite(loss.total.item()):
        terms = ", ".join(f"{name} {value.item():.4g}" for name, value in loss.terms.items())
        raise NonFinite(
            f"the loss at iteration {iteration} is not finite ({terms}): lower the learning rate (now "
            f"{config.rate(iteration):.2g}), clip gradients, or check the data for outliers"
        )
    state.optimizer.zero_grad(set_to_none=True)
    loss.total.backward()
    if config.clip:
        nn.utils.clip_grad_norm_(state.module.parameters(), config.clip)
    state.optimizer.step()
    state.after_step()
    if state.average:
        state.average.update()
    return loss


def _nothing() -> None:
    pass


def _row(loss: Loss, history: FitHistory) -> dict:
    terms = {name: value.item() for name, value in loss.terms.items()}
    return {"iteration": history.iterations, "seconds": history.seconds, **terms, "total": sum(terms.values())}


def _optimizer(module: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    return kind(module.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)


def _identity(config: FitConfig, seed: int, purpose: str) -> str:
    """What a checkpoint must agree with."""
    settings = {name: value for name, value in asdict(config).items() if name not in config.MONITORING}
    return json.dumps({**settings, "seed": seed, "purpose": purpose}, sort_keys=True)
