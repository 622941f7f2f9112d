"""The data sets by name."""

import dataclasses
from collections.abc import Callable
from functools import partial

from pushforward.datasets import bsds300, cifar, digits, flights, imagenet, manifest, mnist, patches, raw_files, tabular
from pushforward.datasets.labelled import Labelled
from pushforward.datasets.split import Split
from pushforward.errors import InputError

PROFILES = ("smoke", "quick", "paper")
LOADERS: dict[str, Callable[[str, int], Split]] = {
    "bsds300": bsds300.load,
    "digits": digits.load,
    "patches": patches.load,
    "flights": flights.load,
    **{name: partial(tabular.load, name) for name in tabular.READERS},
    "mnist": mnist.load,
    "cifar-10": cifar.TEN.load,
    "cifar-100": cifar.HUNDRED.load,
    imagenet.KIND.name: imagenet.load,
}
LABELLED: dict[str, Callable[[str, int], Labelled]] = {
    "digits": digits.labelled,
    "mnist": mnist.labelled,
    "cifar-10": cifar.TEN.labelled,
    "cifar-100": cifar.HUNDRED.labelled,
    imagenet.KIND.name: imagenet.labelled,
}
EMBEDDED = ("digits", "patches", "flights")  # these come with packages; the others as files, by `make data`
STAND_INS = {"bsds300": "patches"}  # what takes the place of absent files; of the others nothing does


def names() -> tuple[str, ...]:
    """The names that ``load`` knows."""
    return tuple(LOADERS)


def available(name: str, profile: str = "quick") -> bool:
    """Whether the data set itself can be loaded: it is embedded, or its files are found (not yet verified).

    Of mnist the paper profile asks for more files than the others.

    Raises:
        InputError: the name or the profile is unknown.
    """
    _check_known("data set", name, names())
    _check_known("profile", profile, PROFILES)
    if name in EMBEDDED:
        return True
    if name == bsds300.NAME:
        return manifest.find(name) is not None
    return raw_files.present(name, mnist.needed(profile) if name == mnist.KIND.name else None)


def load(name: str, profile: str = "quick", seed: int = 0) -> Split:
    """Points of a data set, float32; the same name, profile and seed give the same points.

    Where the files of a set with a stand-in are absent, the smoke and quick profiles give the embedded stand-in, whose
    ``stand_in_for`` and ``label`` say so; the paper profile never does.

    Raises:
        InputError: the name or the profile is unknown.
        DataError: the files are absent and nothing stands in; or files are truncated or altered.
    """
    _check_known("data set", name, names())
    _check_known("profile", profile, PROFILES)
    if name not in STAND_INS or profile == "paper" or available(name, profile):
        return LOADERS[name](profile, seed)
    return dataclasses.replace(load(STAND_INS[name], profile, seed), stand_in_for=name)


def labelled(name: str, profile: str = "quick", seed: int = 0) -> Labelled:
    """Images with their labels, float32 in [0, 1]; the rows are those of ``load`` of the same name, profile and seed.

    Raises:
        InputError: the name or the profile is unknown, or the data set has no labels.
        DataError: the files are absent (nothing stands in for images with labels), truncated or altered.
    """
    _check_known("labelled data set", name, tuple(LABELLED))
    _check_known("profile", profile, PROFILES)
    return LABELLED[name](profile, seed)


def _check_known(what: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise InputError(f"unknown {what} {found!r}, expected one of {', '.join(known)}")
