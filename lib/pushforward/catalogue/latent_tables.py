"""Which sets of images are here, and their FID beside the published ones."""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from pushforward import datasets
from pushforward.catalogue.latent import LatentCase
from pushforward.errors import DataError, InputError
from pushforward.report.published import load_published
from pushforward.report.results import Recorder


def published_sets() -> list[str]:
    """The sets of images for which the paper has a FID."""
    ids = (id.split("/") for id in load_published())
    return [case for topic, case, method, quantity in ids if (topic, method, quantity) == ("jko", "jko-iflow", "fid")]


def absent(name: str) -> str:
    """What stands in the place of numbers of a set that is absent."""
    return f"data absent: make data SETS={name}"


def data_table(names: Iterable[str], profile: str = "quick") -> list[dict[str, str]]:
    """Which sets of images are here, whole enough for the profile; an absent one names the command that fetches it."""
    return [
        {"images": name, "status": "present" if datasets.available(name, profile) else absent(name)} for name in names
    ]


def record_fids(
    cases: Mapping[str, LatentCase],
    record: Recorder,
    run: str,
    profile: str,
    count: int = 10_000,
    weights: str | None = None,
) -> list[dict[str, Any]]:
    """Record the FID of every case that the paper has, from ``count`` samples (0: none); a row a published set.

    What cannot be measured keeps its row, with the reason in the place of the number: trainings of days should not be
    lost for weights that cannot be fetched.
    """
    known = load_published()
    return [
        {
            "images": name,
            "FID": _fid(name, cases.get(name), record, run, profile, count, weights),
            "published": known[f"jko/{name}/jko-iflow/fid"].value,
        }
        for name in published_sets()
    ]


def _fid(
    name: str, case: LatentCase | None, record: Recorder, run: str, profile: str, count: int, weights: str | None
) -> float | str:
    if not datasets.available(name, profile):
        return absent(name)
    if case is None or count == 0:
        return f"not measured in the {profile} profile"
    try:
        return fmean(case.record_fid(record, run, count, weights))
    except (InputError, DataError) as error:
        return f"not measured: {error}"
