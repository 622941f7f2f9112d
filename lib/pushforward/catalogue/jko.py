"""The cases of "Normalizing flow neural networks by JKO scheme" (arXiv 2212.14424): trained, then measured."""

from collections.abc import Iterable, Mapping
from typing import Any

from pushforward import datasets, distributions
from pushforward.catalogue.cases import EXTENT, SOLVER_GAP, PlanarCase, RealCase, data_table, present
from pushforward.catalogue.settings import family
from pushforward.experiment import train_once
from pushforward.families import JKO

__all__ = ["EXTENT", "SOLVER_GAP", "data_table", "planar", "present", "real"]


def planar(
    name: str, settings: Mapping[str, Any], seeds: Iterable[int] = (0,), method: str = "jko-iflow"
) -> PlanarCase:
    """Train JKO-iFlow on a law of ``pushforward.distributions``, once a seed.

    Raises:
        InputError: unknown law or setting.
    """
    law = distributions.by_name(name)
    chosen = family(JKO, settings)
    return PlanarCase(
        "jko", name, method, law, [train_once(f"{name}-{method}", chosen, law, seed=seed) for seed in seeds]
    )


def real(
    name: str,
    settings: Mapping[str, Any],
    seeds: Iterable[int] = (0,),
    method: str = "jko-iflow",
    profile: str = "quick",
) -> RealCase:
    """Train JKO-iFlow on a data set of ``pushforward.datasets``, once a seed (the split is that of seed 0).

    Raises:
        InputError: unknown data set or setting.
        DataError: the data is absent or altered.
    """
    split = datasets.load(name, profile)
    chosen = family(JKO, settings)
    results = [train_once(f"{split.name}-{method}", chosen, split, seed=seed) for seed in seeds]
    return RealCase("jko", split.name, method, results)
