"""The one training loop: it knows points, an objective and an optimiser, and nothing of flows."""

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

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
    the largest gradient norm (0: none). ``bf16`` runs matrix products in bfloat16 under autocast, ``compile`` compiles
    the objective. A checkpoint is written every ``checkpoint_seconds`` where a path is given.
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
    validate_every: int = 0
    log_every: int = 50
    checkpoint_seconds: float = 30.0
    bf16: bool = False
    compile: bool = False

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

    def rate(self, iteration: int) -> float:
        """The learning rate at an iteration counted from 0."""
        warm = min(1.0, (iteration + 1) / max(1, self.warmup))
        if self.schedule == "constant":
            return self.lr * warm
        fall = 0.5 * (1 + math.cos(math.pi * iteration / self.iterations))
        return self.lr * warm * (self.lr_end + (1 - self.lr_end) * fall)


@dataclass
class FitHistory:
    """What a fit saw: a row every ``log_every`` iterations (iteration, seconds, terms, total[, validation])."""

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
) -> FitHistory:
    """Minimise ``objective`` over the parameters of ``module`` on minibatches of ``points`` [n, d].

    With ``checkpoint`` the state is saved on the way and a killed run goes on from it, to the same bits on the CPU.

    Raises:
        NonFinite: the loss is NaN or infinite; the message prints its terms.
        CheckpointError: the checkpoint belongs to another configuration, seed or purpose, or cannot be read.
    """
    identity = _identity(config, seed, purpose)
    generator = stream(seed, purpose)
    optimizer = _optimizer(module, config)
    history = FitHistory()
    if checkpoint is not None and checkpoint.is_file():
        _restore(checkpoint, module, optimizer, generator, history, identity)
    loss_of = torch.compile(objective) if config.compile else objective
    module.train()
    bar = tqdm(
        total=config.iterations, initial=history.iterations, desc=purpose, leave=False, disable=not sys.stderr.isatty()
    )
    saved = time.monotonic()
    while history.iterations < config.iterations:
        started = time.process_time()
        loss = _step(module, loss_of, points, config, optimizer, generator, history.iterations)
        history.seconds += time.process_time() - started
        history.iterations += 1
        bar.update()
        if history.iterations % config.log_every == 0 or history.iterations == config.iterations:
            history.rows.append(_row(loss, history))
        if validate is not None and config.validate_every and history.iterations % config.validate_every == 0:
            module.eval()
            history.rows.append(_row(loss, history) | {"validation": validate()})
            module.train()
        if checkpoint is not None and time.monotonic() - saved > config.checkpoint_seconds:
            _save(checkpoint, module, optimizer, generator, history, identity)
            saved = time.monotonic()
    bar.close()
    optimizer.zero_grad(set_to_none=True)  # or every finished block would keep the memory of its last gradient
    module.eval()
    return history


def _step(
    module: nn.Module,
    objective: Objective,
    points: Points,
    config: FitConfig,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    iteration: int,
) -> Loss:
    for group in optimizer.param_groups:
        group["lr"] = config.rate(iteration)
    index = torch.randint(len(points), (config.batch,), generator=generator)
    with torch.autocast(points.device.type, torch.bfloat16, enabled=config.bf16):
        loss = objective(points[index.to(points.device)], generator)
    if not math.isfinite(loss.total.item()):
        terms = ", ".join(f"{name} {value.item():.4g}" for name, value in loss.terms.items())
        raise NonFinite(
            f"the loss at iteration {iteration} is not finite ({terms}): lower the learning rate (now "
            f"{config.rate(iteration):.2g}), clip gradients, or check the data for outliers"
        )
    optimizer.zero_grad(set_to_none=True)
    loss.total.backward()
    if config.clip:
        nn.utils.clip_grad_norm_(module.parameters(), config.clip)
    optimizer.step()
    return loss


def _row(loss: Loss, history: FitHistory) -> dict:
    terms = {name: value.item() for name, value in loss.terms.items()}
    return {"iteration": history.iterations, "seconds": history.seconds, **terms, "total": sum(terms.values())}


def _optimizer(module: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    return kind(module.parameters(), lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)


def _identity(config: FitConfig, seed: int, purpose: str) -> str:
    """What a checkpoint must agree with; how often one is written changes no number."""
    return json.dumps({**asdict(config), "checkpoint_seconds": None, "seed": seed, "purpose": purpose}, sort_keys=True)


def _save(
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    history: FitHistory,
    identity: str,
) -> None:
    tensors: dict[str, Tensor] = {f"module.{name}": value for name, value in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["generator"] = generator.get_state()
    save_tensors(path, tensors, {"identity": identity, "history": asdict(history)})


def _restore(
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    history: FitHistory,
    identity: str,
) -> None:
    tensors, note = load_tensors(path)
    try:
        if note["identity"] != identity:
            raise CheckpointError(
                f"{path} was written under another configuration ({note['identity']}), expected "
                f"{identity}: delete it to start afresh"
            )
        module.load_state_dict({k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")})
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, name = key.split(".", 2)
                state.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        generator.set_state(tensors["generator"])
        history.__dict__.update(note["history"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path} does not fit this module ({error}), expected a state of the same network: delete it, start afresh"
        ) from error
