"""The data sets by name."""

import dataclasses
from collections.abc import Callable

from pushforward.datasets import bsds300, digits, manifest, patches
from pushforward.datasets.split import Split
from pushforward.errors import InputError

PROFILES = ("smoke", "quick", "paper")
LOADERS: dict[str, Callable[[str, int], Split]] = {
    "bsds300": bsds300.load,
    "digits": digits.load,
    "patches": patches.load,
}
STAND_INS = {"bsds300": "patches"}  # the sets that come as files; every other one is embedded


def names() -> tuple[str, ...]:
    """The names that ``load`` knows."""
    return tuple(LOADERS)


def available(name: str) -> bool:
    """Whether the data set itself can be loaded: it is embedded, or its folder is found (not yet verified).

    Raises:
        InputError: the name is unknown.
    """
    _check_known("data set", name, names())
    return name not in STAND_INS or manifest.find(name) is not None


def load(name: str, profile: str = "quick", seed: int = 0) -> Split:
    """Points of a data set, float32; the same name, profile and seed give the same points.

    Where the files are absent, the smoke and quick profiles give the embedded stand-in, whose ``stand_in_for`` and
    ``label`` say so; the paper profile never does.

    Raises:
        InputError: the name or the profile is unknown.
        DataError: the files are absent in the paper profile; or files are missing, truncated or altered in any.
    """
    _check_known("profile", profile, PROFILES)
    if available(name) or profile == "paper":
        return LOADERS[name](profile, seed)
    return dataclasses.replace(load(STAND_INS[name], profile, seed), stand_in_for=name)


def _check_known(what: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise InputError(f"unknown {what} {found!r}, expected one of {', '.join(known)}")
