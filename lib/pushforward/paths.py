"""The only file that spells a folder."""

import os
from pathlib import Path

from pushforward.errors import InputError


def root() -> Path:
    """The project root: the nearest folder at or above the working directory, or above this file, with notebooks/."""
    here = Path.cwd().resolve()
    for start in (here, Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / "pyproject.toml").is_file() and (folder / "notebooks").is_dir():
                return folder
    raise InputError(f"no pushforward checkout at or above {here}: run from inside the cloned repository")


def data_folders() -> list[Path]:
    """Where data is looked for, in order: the folders in ``PUSHFORWARD_DATA``, then ``data/cache``."""
    named = [Path(p).expanduser() for p in os.environ.get("PUSHFORWARD_DATA", "").split(os.pathsep) if p]
    return [*named, cache()]


def cache() -> Path:
    """Downloaded data: ``data/cache``."""
    return root() / "data" / "cache"


def manifest() -> Path:
    """Source, licence, checksum and shape of every file: ``data/manifest.toml``."""
    return root() / "data" / "manifest.toml"


def published() -> Path:
    """The papers' numbers, one CSV per BibTeX key: ``data/published``."""
    return root() / "data" / "published"


def artifacts() -> Path:
    """Trained flows and training checkpoints: ``artifacts`` (``PUSHFORWARD_ARTIFACTS`` overrides)."""
    return Path(os.environ.get("PUSHFORWARD_ARTIFACTS") or root() / "artifacts")


def results(profile: str) -> Path:
    """What a profile wrote: ``results/<profile>`` (``PUSHFORWARD_RESULTS`` overrides ``results``)."""
    return Path(os.environ.get("PUSHFORWARD_RESULTS") or root() / "results") / profile


def committed_results() -> Path:
    """The light part of clean runs, by profile, which the README shows: ``data/results``."""
    return root() / "data" / "results"


def params(profile: str) -> Path:
    """One YAML per run: ``notebooks/params/<profile>``."""
    return root() / "notebooks" / "params" / profile
