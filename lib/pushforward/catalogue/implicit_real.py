"""Implicit and residual flows on real data, at equal parameters and equal time: tables of numbers, and images."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np

from pushforward import datasets, metrics
from pushforward.catalogue.implicit import ImplicitReal, real
from pushforward.experiment import Result
from pushforward.families.pushing import some
from pushforward.flows import with_log_det
from pushforward.flows.implicit import EXACT_UP_TO
from pushforward.implicit import Audit, Poisson, Roulette
from pushforward.metrics import DrawnEstimate, Estimate
from pushforward.report.results import Recorder
from pushforward.seeds import stream
from pushforward.shapes import Points

EVALUATION = Roulette(Poisson(2.0), 20)  # of test points above d = 64, as the paper evaluates
DRAWS = 4


class ImageCase(ImplicitReal):
    """A data set of grey or coloured pictures; likelihoods in nats and in bits a dimension."""

    def __init__(self, name: str, method: str, results: Sequence[Result], shape: Sequence[int]) -> None:
        super().__init__("implicit", name, method, results)
        self.shape = tuple(shape)

    @cached_property
    def nll(self) -> list[Estimate | DrawnEstimate]:
        """Test NLL in nats, a seed each: exact up to d = 64, a mean over draws of the roulette above."""
        if self.test.shape[1] <= EXACT_UP_TO:
            return [metrics.nll(r.flow, r.split.test) for r in self.results]
        return [
            metrics.nll_over_draws(with_log_det(r.flow, EVALUATION), r.split.test, DRAWS, stream(seed, "evaluation"))
            for seed, r in enumerate(self.results)
        ]

    @cached_property
    def bits(self) -> list[Estimate]:
        """Bits a dimension of the grey values, a seed each."""
        scale = self.results[0].split.preprocessing.log_det
        return [metrics.bits_per_dim(e, self.test.shape[1], scale) for e in self.nll]

    def pictures(self, points: Points) -> np.ndarray:
        """Points as pictures: [n, h, w] in grey values, or [n, h, w, channels] in [0, 1]."""
        channels, height, width = self.shape
        raw = self.results[0].split.preprocessing.inverse(points)
        images = raw.reshape(-1, channels, height, width).permute(0, 2, 3, 1)
        return images[..., 0].numpy() if channels == 1 else (images / 255).clamp(0, 1).numpy()

    def gallery(self, count: int = 16) -> dict[str, np.ndarray]:
        """Test pictures, the noise they are sent to, what comes back, and samples."""
        samples = self.flow.sample(count, stream(0, "gallery"))
        return self.there_and_back(count) | {"samples": self.pictures(samples)}

    def record_quality(self, record: Recorder, run: str) -> None:
        """The rows that compare methods."""
        seconds = self.seconds
        record.add(self.id("nll"), [e.value for e in self.nll], seconds=seconds, run=run)
        record.add(self.id("bits"), [e.value for e in self.bits], unit="bits/dim", seconds=seconds, run=run)
        record.add(self.id("seconds"), seconds, unit="s", run=run)
        if isinstance(self.nll[0], DrawnEstimate):
            record.add(self.id("nll-draw-se"), [e.draw_se for e in self.nll], run=run)


def split(name: str, profile: str, points: int) -> datasets.Split:
    """The data set, named as in an id, with at most ``points`` test points: large sets have more than an error needs.

    Raises:
        InputError, DataError: as ``datasets.load``.
    """
    whole = datasets.load(name, profile)
    return replace(whole, test=some(whole.test, points, "test points"), name=_words(whole.name))


def _words(name: str) -> str:
    """A data set's name as an id has it: mnist-test-images."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


def equal(settings: Mapping[str, Any], methods: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By method, the common settings with the method's own, those of ``fit`` one by one: equal parameters, equal time.

    A method is its kind unless it names another, as ``impflow-20-blocks`` does.
    """
    return {
        method: {**settings, "kind": method, **own, "fit": {**settings["fit"], **own.get("fit", {})}}
        for method, own in methods.items()
    }


def tabular(
    name: str,
    settings: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
    profile: str = "quick",
    points: int = 20_000,
    seeds: Iterable[int] = (0,),
) -> dict[str, ImplicitReal]:
    """Each method of ``equal`` on one data set, once a seed.

    Raises:
        InputError, DataError, NotConverged: as ``catalogue.implicit.real``.
    """
    data, seeds = split(name, profile, points), list(seeds)
    chosen = equal(settings, methods)
    return {method: real(data, chosen[method], method, seeds, profile) for method in methods}


def images(
    name: str,
    settings: Mapping[str, Any],
    methods: Mapping[str, Mapping[str, Any]],
    coeffs: Iterable[float],
    profile: str = "quick",
    points: int = 1000,
) -> list[ImageCase]:
    """Each method of ``equal`` at each Lipschitz coefficient on one set of images, as ``<method>-<coefficient>``.

    Raises:
        InputError, DataError, NotConverged: as ``catalogue.implicit.real``.
    """
    data, studies = split(name, profile, points), []
    for coeff in coeffs:
        for method, chosen in equal(settings, methods).items():
            net = {**chosen["net"], "coeff": coeff}
            found = real(data, {**chosen, "net": net}, f"{method}-{dashed(coeff)}", profile=profile)
            studies.append(ImageCase(found.name, found.method, found.results, net["shape"]))
    return studies


def dashed(coeff: float) -> str:
    """0.9 as 0-9, for an id."""
    return f"{coeff:g}".replace(".", "-")


def compared(studies: Iterable[ImageCase]) -> list[dict[str, Any]]:
    """A row a study: NLL (nats) and bits a dimension with their standard errors, parameters, time, audited solves.

    ``of draws`` is the part of the NLL's error that the estimated log-determinant has, where it is one.
    """
    rows = []
    for study in studies:
        total = sum(study.audits, Audit())
        row = {"case": study.name, "method": study.method, "NLL": fmean(e.value for e in study.nll)}
        row |= {"se": study.nll[0].se, "of draws": getattr(study.nll[0], "draw_se", None)}
        row |= {"bits/dim": fmean(e.value for e in study.bits), "se of bits": study.bits[0].se}
        row |= {"parameters": study.parameters, "CPU s": fmean(study.seconds)}
        rows.append(row | {"solves": total.solves, "unconverged": total.unconverged})
    return rows


def references(pairs: Mapping[str, Mapping[str, ImplicitReal]]) -> list[dict[str, Any]]:
    """Rows of the same table for the Gaussian and the elliptical law, which need no training to speak of."""
    rows = []
    for name, pair in pairs.items():
        study = next(iter(pair.values()))
        for method, level in (("gaussian", study.gaussian), ("elliptical", study.radial)):
            rows.append({"case": name, "method": method, "NLL": level.value, "se": level.se})
    return rows
