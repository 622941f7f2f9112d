"""What a training needs: memory, seconds and velocity evaluations, measured in a process of its own.

A process's peak never falls, so every training that is measured begins a new one, by ``python -m`` of this module.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path

import torch

from pushforward.checkpoints import load_tensors, save_tensors
from pushforward.datasets import Split
from pushforward.devices import pick_device
from pushforward.errors import InputError, PushforwardError
from pushforward.families import Family, Stage, TrainingHistory
from pushforward.fit import FitConfig, FitHistory, fit
from pushforward.report.provenance import peak_memory
from pushforward.shapes import Points, check_points

WARM_BATCH, WARM_ITERATIONS = 16, 2  # the libraries' own memory is there before the measurement begins
LAST_LINE = -1


@dataclass(frozen=True)
class Cost:
    """MiB by which the peak grew; CPU-seconds; velocity evaluations, each over a minibatch; and the minibatches."""

    memory: float
    seconds: float
    evaluations: int
    minibatches: int


def training_peak(
    family: Family, points: Points, iterations: int | None = 2, *, seed: int = 0, device: str = "auto"
) -> float:
    """MiB by which the peak of a fresh process grows while ``family`` trains on ``points`` [n, d].

    Every iteration needs the same memory, and from the second on the optimiser's moments are there too. Arguments and
    errors are those of ``training_cost``.
    """
    return training_cost(family, points, iterations, seed=seed, device=device).memory


def training_cost(
    family: Family, points: Points, iterations: int | None = 2, *, seed: int = 0, device: str = "auto"
) -> Cost:
    """What ``family`` needs to train on ``points`` [n, d], of which a tenth validates, on one thread.

    The first stage is fitted to tiny minibatches beforehand, so that what grows belongs to the training: its graph,
    its parameters and moments, and whatever the family holds while it checks and pushes. On an accelerator the memory
    is what torch allocated there.

    Args:
        family: settings, a dataclass of a module that can be imported.
        points: training, validation and test points together.
        iterations: of every stage; None: as many as the family says.
        seed: of the split, the initial weights and the minibatches.
        device: ``auto`` takes the accelerator where there is one.

    Raises:
        InputError: points that cannot be used, or a family whose settings are not plain.
        PushforwardError: the training failed; the message ends with what it said.
    """
    where = pick_device(device).type
    question = {"family": _described(family), "iterations": iterations, "seed": seed, "device": where}
    with tempfile.TemporaryDirectory() as folder:
        path = save_tensors(Path(folder) / "question.safetensors", {"points": check_points(points)}, question)
        return Cost(**_asked(path))


def _asked(path: Path) -> dict:
    """The answer of a new interpreter to the question in ``path``."""
    # glibc keeps in its heap, by chance, more or less of what was freed; large blocks in maps of their own go back
    modules = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "PYTHONPATH": modules}
    command = [sys.executable, "-m", "pushforward.peak_memory", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[LAST_LINE]
        raise PushforwardError(f"the training to be measured ended with status {done.returncode}: {said}")
    return json.loads(done.stdout.splitlines()[LAST_LINE])


def _described(family: Family) -> dict:
    cls = type(family)
    if not is_dataclass(family) or "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
        raise InputError(f"family is {family!r}, expected a dataclass of a module that another process can import")
    settings = {field.name: getattr(family, field.name) for field in fields(family) if field.init}
    if isinstance(settings.get("fit"), FitConfig):
        settings["fit"] = asdict(settings["fit"])
    try:
        json.dumps(settings, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the settings of {family!r} are not plain ({error}), expected numbers, texts, lists"
        ) from error
    return {"module": cls.__module__, "name": cls.__qualname__, "settings": settings}


def _rebuilt(module: str, name: str, settings: dict) -> Family:
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    if isinstance(plain.get("fit"), dict):
        plain["fit"] = FitConfig(**plain["fit"] | {"betas": tuple(plain["fit"]["betas"])})
    return getattr(importlib.import_module(module), name)(**plain)


def measure(family: Family, split: Split, iterations: int | None, seed: int) -> Cost:
    """``training_cost`` in this process, whose peak must not yet be above what the training needs."""
    _warm_up(family, split, seed)
    before = _peak(split)
    flow, history = family.build(split), TrainingHistory()
    flow.to(split.train)
    for stage in family.stages(flow, split, history, seed):
        config = stage.config if iterations is None else replace(stage.config, iterations=iterations)
        history.fits[stage.name] = _fit(stage, config, seed)
    return Cost(_peak(split) - before, history.seconds, history.evaluations, history.minibatches)


def _warm_up(family: Family, split: Split, seed: int) -> None:
    flow = family.build(split)
    flow.to(split.train)
    with closing(family.stages(flow, split, TrainingHistory(), seed)) as stages:
        first = next(stages)
        _fit(first, replace(first.config, iterations=WARM_ITERATIONS, batch=WARM_BATCH), seed)


def _fit(stage: Stage, config: FitConfig, seed: int) -> FitHistory:
    parts = {"purpose": stage.name, "validate": stage.validate, "after_step": stage.after_step}
    return fit(stage.module, stage.objective, stage.points, config, seed, **parts)


def _peak(split: Split) -> float:
    """MiB at most so far: of the accelerator where the points are, else of the process."""
    if split.train.is_cuda:
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_memory()


def main(path: str) -> None:
    """Print the cost of the question in ``path``; the parent reads it."""
    torch.set_num_threads(1)
    tensors, question = load_tensors(Path(path))
    family = _rebuilt(**question["family"])
    split = Split.from_points(tensors["points"].to(question["device"]), question["seed"])
    print(json.dumps(asdict(measure(family, split, question["iterations"], question["seed"]))))


if __name__ == "__main__":
    main(sys.argv[1])
