"""Train a family on data; remember the result under a key, and go on from where a killed run stopped."""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pushforward import datasets, paths
from pushforward.checkpoints import load_tensors, save_tensors
from pushforward.datasets import Split
from pushforward.devices import pick_device
from pushforward.distributions import Distribution
from pushforward.errors import CheckpointError, InputError
from pushforward.families import Family, Stage, TrainingHistory
from pushforward.files import write_json
from pushforward.fit import FitConfig, FitHistory, fit
from pushforward.flows import Flow, load_flow, save_flow
from pushforward.surroundings import surroundings

HELD_OUT = 20_000  # validation points, and test points, drawn from a law
Data = str | np.ndarray | Tensor | Split | Distribution


@dataclass(frozen=True)
class Result:
    """A trained flow, what training saw, the points it was trained and is judged on, and where it was made."""

    flow: Flow
    history: TrainingHistory
    split: Split
    key: str
    folder: Path
    surroundings: dict  # commit, versions and machine of the training, which may be older than this process


def train(
    family: Family, data: Data, *, seed: int = 0, device: str = "auto", profile: str | None = None
) -> tuple[Flow, TrainingHistory]:
    """Train ``family`` on ``data`` and return the flow, in evaluation mode and on the data's device, with its history.

    Args:
        family: settings, e.g. ``pf.JKO()``.
        data: an array or tensor (n, d), a ``Split``, a distribution to draw from, or the name of a data set.
        seed: of the draws, the initial weights and the minibatches; one stream for each.
        device: ``auto`` takes the accelerator where there is one.
        profile: size of a data set given by name: smoke, quick (the default) or paper.

    Raises:
        InputError: data, name or device cannot be used.
        NonFinite: the loss is NaN or infinite.
    """
    return _train(family, as_split(family, data, seed, profile), seed, device, None, _quiet)


def train_once(
    name: str, family: Family, data: Data, *, seed: int = 0, device: str = "auto", profile: str | None = None
) -> Result:
    """``train``, remembered in ``artifacts/<name>-<key>/``: the same question is answered once.

    The key hashes the settings, the data, the seed and the family's algorithm version. Finished blocks, and a state
    every half minute, stand in the same folder; a killed run goes on from them to the numbers of an uninterrupted one.
    """
    split = as_split(family, data, seed, profile)
    key = _key(family, split, seed)
    folder = paths.artifacts() / f"{name}-{key}"
    if (folder / "result.json").is_file():
        flow, history, made = _recall(folder)
        print(f"{name}: found in the cache, trained in {history.seconds:.0f} CPU-seconds", flush=True)
    else:
        flow, history = _train(family, split, seed, device, folder / "training", _say(name))
        made = surroundings()
        save_flow(flow, folder)
        note = {"settings": _settings(family), "seed": seed, "data": split.label, "data_sha256": split.sha256}
        write_json(folder / "result.json", note | {"history": asdict(history), "surroundings": made})
        for part in (folder / "training").glob("*"):
            part.unlink()
    return Result(flow, history, split, key, folder, made)


def as_split(family: Family, data: Data, seed: int, profile: str | None) -> Split:
    """Any accepted form of data as train, validation and test points."""
    if isinstance(data, Split):
        return data
    if isinstance(data, str):
        return datasets.load(data, profile or "quick", seed)
    if isinstance(data, Distribution):
        return Split.from_distribution(data, getattr(family, "pool", 100_000), HELD_OUT, HELD_OUT, seed)
    if isinstance(data, np.ndarray | Tensor):
        return Split.from_points(data, seed)
    raise InputError(
        f"data is a {type(data).__name__}, expected an array or tensor (n, d), a Split, a distribution, or a name"
    )


def _train(
    family: Family, split: Split, seed: int, device: str, folder: Path | None, say: Callable[[str], None]
) -> tuple[Flow, TrainingHistory]:
    where, home = pick_device(device), split.train.device
    split = _moved(split, where)
    started = time.process_time()
    flow = family.build(split).to(where)
    build_seconds = time.process_time() - started
    history = TrainingHistory()
    for stage in family.stages(flow, split, history, seed):
        _report(history, say)  # of the stage before: a family measures it on the way to the next
        history.fits[stage.name] = _fit_stage(stage, seed, folder)
    history.stages[0]["seconds"] += build_seconds
    _report(history, say)
    return flow.to(home).eval(), history


def _fit_stage(stage: Stage, seed: int, folder: Path | None) -> FitHistory:
    done = folder / f"{stage.name}.safetensors" if folder else None
    if done and done.is_file():
        return _recall_stage(stage, done)
    partial = folder / f"{stage.name}.partial.safetensors" if folder else None
    history = fit(
        stage.module,
        stage.objective,
        stage.points,
        stage.config,
        seed,
        purpose=stage.name,
        checkpoint=partial,
        validate=stage.validate,
        after_step=stage.after_step,
    )
    if done and partial:
        save_tensors(done, stage.module.state_dict(), asdict(history))
        partial.unlink(missing_ok=True)
    return history


def _recall_stage(stage: Stage, path: Path) -> FitHistory:
    tensors, note = load_tensors(path)
    try:
        stage.module.load_state_dict(tensors)
        history = FitHistory(**note)
    except (RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not hold {stage.name} ({error}), expected the state of the same network: delete it"
        ) from error
    stage.module.eval()
    return history


def _moved(split: Split, device: torch.device) -> Split:
    if split.train.device == device:
        return split
    return replace(split, **{part: getattr(split, part).to(device) for part in ("train", "val", "test")})


def _settings(family: Family) -> dict:
    return {"family": family.name, "algorithm_version": family.algorithm_version, **asdict(family)}


def _key(family: Family, split: Split, seed: int) -> str:
    # How often training is looked at changes no number, so it is no part of the question.
    settings = asdict(family, dict_factory=lambda items: {k: v for k, v in items if k not in FitConfig.MONITORING})
    # A setting that came later is no part of it while unused, so that what was trained before is found again.
    unused = [f.name for f in fields(family) if f.metadata.get("later") and getattr(family, f.name) == f.default]
    settings = {name: value for name, value in settings.items() if name not in unused}
    what = [family.name, family.algorithm_version, settings, split.sha256, seed]
    if hasattr(family, "fingerprint"):  # of what its settings only name
        what.append(family.fingerprint())
    question = json.dumps(what, sort_keys=True, default=str)
    return hashlib.sha256(question.encode()).hexdigest()[:12]


def _recall(folder: Path) -> tuple[Flow, TrainingHistory, dict]:
    try:
        record = json.loads((folder / "result.json").read_text())
        history = TrainingHistory(
            record["history"]["stages"], {name: FitHistory(**rows) for name, rows in record["history"]["fits"].items()}
        )
        return load_flow(folder), history, record["surroundings"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder / 'result.json'} cannot be read ({error}): delete the folder to train again"
        ) from error


def _report(history: TrainingHistory, say: Callable[[str], None]) -> None:
    if history.stages:
        row = history.stages[-1]
        level = "the map folds, no validation NLL" if row["val_nll"] is None else f"validation NLL {row['val_nll']:.4f}"
        say(f"{row['stage']}: {level}, {history.seconds:.0f} CPU-seconds")


def _quiet(line: str) -> None:
    pass


def _say(name: str) -> Callable[[str], None]:
    # Standard output, not a log: papermill and jupyter show it as it comes.
    return lambda line: print(f"{name}: {line}", file=sys.stdout, flush=True)
