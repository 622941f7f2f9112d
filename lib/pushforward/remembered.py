"""Networks trained once: found again under a key, gone on with where a killed run stopped."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from torch import nn

from pushforward import paths
from pushforward.checkpoints import load_tensors, save_tensors
from pushforward.errors import CheckpointError
from pushforward.files import write_json
from pushforward.fit import FitHistory
from pushforward.surroundings import surroundings

# They change no number. Validation is none of them: where norms are estimated it makes them exact for a moment.
SILENT = ("log_every", "checkpoint_seconds")


class Settings(Protocol):
    """A frozen dataclass that says what is trained, and how."""

    name: ClassVar[str]
    algorithm_version: ClassVar[int]


class Data(Protocol):
    """What it is trained on: ``label`` for a reader, ``sha256`` of every number."""

    label: str
    sha256: str


@dataclass(frozen=True)
class Remembered:
    """A trained network in evaluation mode, what training saw, its data, and where and when it was made."""

    network: nn.Module
    history: FitHistory
    split: Data
    key: str
    folder: Path
    surroundings: dict


def remembered(
    name: str,
    settings: Settings,
    data: Data,
    new: Callable[[Settings, Data, int], nn.Module],
    train: Callable[..., tuple[nn.Module, FitHistory]],
    *,
    seed: int,
    device: str,
) -> Remembered:
    """The network of ``train``, kept in ``artifacts/<name>-<key>/``: the same question is answered once.

    Args:
        new: of settings, data and seed, an untrained network, for the weights of a cached one.
        train: of settings and data, and of ``seed``, ``device`` and ``checkpoint`` (where the state is saved on the
            way), the trained network, on the CPU, and its history. It is not called where the answer is known.

    Raises:
        CheckpointError: the folder holds something else.
    """
    question = key(settings, data, seed)
    folder = paths.artifacts() / f"{name}-{question}"
    if (folder / "result.json").is_file():
        network, history, made = _recall(folder, settings.name, new(settings, data, seed))
        print(f"{name}: found in the cache, trained in {history.seconds:.0f} CPU-seconds", flush=True)
        return Remembered(network, history, data, question, folder, made)
    partial = folder / f"{settings.name}.partial.safetensors"
    network, history = train(settings, data, seed=seed, device=device, checkpoint=partial)
    made = surroundings()
    save_tensors(folder / f"{settings.name}.safetensors", network.state_dict(), {"key": question})
    note = {"settings": asdict(settings), "seed": seed, "data": data.label, "data_sha256": data.sha256}
    write_json(folder / "result.json", note | {"history": asdict(history), "surroundings": made})
    partial.unlink(missing_ok=True)
    print(f"{name}: trained in {history.seconds:.0f} CPU-seconds", flush=True)
    return Remembered(network.eval(), history, data, question, folder, made)


def key(settings: Settings, data: Data, seed: int) -> str:
    """Twelve digits of a hash of the settings, the algorithm's version, the data and the seed."""
    plain = asdict(settings, dict_factory=lambda items: {k: v for k, v in items if k not in SILENT})
    question = json.dumps([settings.name, settings.algorithm_version, plain, data.sha256, seed], sort_keys=True)
    return hashlib.sha256(question.encode()).hexdigest()[:12]


def _recall(folder: Path, name: str, network: nn.Module) -> tuple[nn.Module, FitHistory, dict]:
    tensors, _ = load_tensors(folder / f"{name}.safetensors")
    try:
        record = json.loads((folder / "result.json").read_text())
        network.load_state_dict(tensors)
        return network.eval(), FitHistory(**record["history"]), record["surroundings"]
    except (ValueError, KeyError, TypeError, RuntimeError) as problem:
        raise CheckpointError(f"{folder} cannot be read ({problem}): delete the folder to train again") from problem
