"""Where a number comes from: one JSON per run, with nothing in it that names a person, a host or a folder."""

import os
import re
import resource
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from pushforward import paths
from pushforward.errors import InputError
from pushforward.files import write_json
from pushforward.surroundings import gpu_model, surroundings

NAME = re.compile(r"\d\d-[a-z0-9]+(-{1,2}[a-z0-9]+)*")
STATUS = Path("/proc/self/status")  # Linux alone has it
_ABSOLUTE = re.compile(r"(?<![\w.:/~-])~?/(?:[^\s/]+/)*([^\s/]+)/?")  # not in a/b, ../a, https://a/b


def run_name(notebook: str) -> str:
    """``notebook``, or the variant ``<notebook>--<variant>`` of it that ``pushforward.run`` is executing."""
    running = os.environ.get("PUSHFORWARD_NOTEBOOK", "")
    return running if running.startswith(f"{notebook}--") else notebook


def check_name(name: str) -> str:
    """``name`` if it is a notebook's number and lower-case words, like ``01-rose-blocks``; InputError otherwise."""
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a result: expected the notebook's number and words, 01-rose-blocks")
    return name


class Data(Protocol):
    """What is told of a data set: ``pushforward.datasets.Split`` has it."""

    name: str
    source: str
    licence: str
    stand_in_for: str | None

    @property
    def sha256(self) -> str:
        """Of the points."""


class Trained(Protocol):
    """What is told of a training, which may be older than this process: ``pushforward.experiment.Result`` has it."""

    key: str
    split: Data
    surroundings: dict[str, Any]

    @property
    def history(self) -> Any:
        """Has ``seconds``, the CPU-seconds of training."""


class Run:
    """The record of one run. Make it before the work, for its clocks start here; ``save`` after the work.

    Args:
        name: ``<notebook number>-<words>``; rows name their run by it.
        profile: smoke, quick or paper.
        parameters: every parameter of the notebook.
        seeds: all seeds used.
        dtype: of training.
        device: ``cpu`` or ``cuda``; None: the one that training takes by itself.
    """

    def __init__(
        self,
        name: str,
        profile: str,
        *,
        parameters: Mapping[str, Any],
        seeds: Iterable[int] = (),
        dtype: str = "float32",
        device: str | None = None,
    ) -> None:
        self.name = check_name(name)
        self.profile = profile
        self._given = {"parameters": dict(parameters), "seeds": list(seeds), "dtype": dtype}
        self._given["device"] = device or ("cuda" if gpu_model() else "cpu")
        self._started = datetime.now(timezone.utc)
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def save(
        self,
        trained: Iterable[Trained] = (),
        *,
        data: Iterable[Data] = (),
        solver: Mapping[str, Any] | None = None,
        function_evaluations: int | None = None,
        **facts: Any,
    ) -> str:
        """Write ``results/<profile>/runs/<name>.json``, atomically; returns the name.

        Args:
            trained: every training that the numbers rest on, also those whose flows came out of the cache.
            data: data sets beside those of ``trained``.
            solver: method, steps or tolerances.
            function_evaluations: of the velocity, in training.
            facts: anything else that JSON can hold.
        """
        trained = list(trained)
        record = {
            "name": self.name,
            "profile": self.profile,
            **self._given,
            "solver": dict(solver or {}),
            "function_evaluations": function_evaluations,
            "data": _told([*data, *(each.split for each in trained)]),
            "training_seconds": round(sum(each.history.seconds for each in trained), 3),
            "trained": [{"key": each.key, **each.surroundings} for each in trained],
            **facts,
            "started": self._started.isoformat(timespec="seconds"),
            "wall_seconds": round(time.monotonic() - self._wall, 3),
            "cpu_seconds": round(time.process_time() - self._cpu, 3),
            "peak_memory_mib": peak_memory(),
            "gpu_peak_memory_mib": gpu_peak_memory(),
            **surroundings(),
        }
        write_json(paths.results(self.profile) / "runs" / f"{self.name}.json", public(record))
        return self.name


def _told(data: Iterable[Data]) -> list[dict[str, Any]]:
    """Each data set once, whatever the number of seeds trained on it."""
    names = ("name", "source", "licence", "stand_in_for", "sha256")
    by_hash = {item.sha256: {name: getattr(item, name) for name in names} for item in data}
    return list(by_hash.values())


def gpu_peak_memory() -> float | None:
    """MiB that torch held on the accelerator at most, None without one."""
    torch = sys.modules.get("torch")
    return round(torch.cuda.max_memory_allocated() / 2**20, 1) if torch and torch.cuda.is_available() else None


def peak_memory() -> float:
    """MiB that this program held at most.

    Linux hands ``ru_maxrss`` on through fork and exec, so that a child begins with the memory of its parent; VmHWM
    belongs to the program alone.
    """
    own = re.search(r"^VmHWM:\s+(\d+) kB", STATUS.read_text() if STATUS.is_file() else "", re.MULTILINE)
    if own:
        return round(int(own[1]) / 2**10, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # macOS counts bytes, Linux KiB


def public(value: Any) -> Any:
    """``value`` for JSON, with every absolute path cut to its last part."""
    if isinstance(value, Mapping):
        return {str(key): public(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [public(item) for item in value]
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        return _ABSOLUTE.sub(r"\1", value)
    return value.item() if hasattr(value, "item") else value
