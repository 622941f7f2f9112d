"""JKO-iFlow beside its baselines (arXiv 2212.14424, Fig. 3, Tables 2 and A.2): one interface, one budget accounting."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np

from pushforward import datasets, distributions, metrics
from pushforward.catalogue.cases import PlanarCase
from pushforward.catalogue.measured import LOST, Measured, MeasuredPlanar, MeasuredReal
from pushforward.catalogue.settings import family
from pushforward.datasets import Split
from pushforward.errors import InputError
from pushforward.experiment import train_once
from pushforward.families import FFJORD, IGNN, JKO, Family, Implicit, OTFlow, ScoreSDE, Zuko
from pushforward.metrics import Estimate
from pushforward.peak_memory import training_peak
from pushforward.report.published import load_published
from pushforward.report.results import Recorder
from pushforward.seeds import stream

METHODS: dict[str, type[Family]] = {
    "jko-iflow": JKO,
    "ffjord": FFJORD,
    "ot-flow": OTFlow,
    "i-resnet": Implicit,
    "ignn": IGNN,
    "score-sde": ScoreSDE,
    "nsf": Zuko,
    "maf": Zuko,
}
# What makes a family of several the method; settings may say more (or another number of terms).
OWN: dict[str, dict[str, Any]] = {
    "i-resnet": {"kind": "resflow", "log_det": {"kind": "truncated", "terms": 10}},
    "nsf": {"kind": "nsf"},
    "maf": {"kind": "maf"},
}
OURS, STRONG = "jko-iflow", ("nsf", "maf")  # the strong ones are not in the paper's comparison
RIVALS = tuple(method for method in METHODS if method not in (OURS, *STRONG))  # those that are
PEAK_POINTS = 20_000


def family_of(method: str, settings: Mapping[str, Any]) -> Family:
    """The family of ``method`` from plain settings.

    Raises:
        InputError: an unknown method or setting.
    """
    if method not in METHODS:
        raise InputError(f"the method {method!r} is unknown, expected one of {', '.join(METHODS)}")
    return family(METHODS[method], OWN.get(method, {}) | dict(settings))


def planar(
    name: str, method: str, settings: Mapping[str, Any], seeds: Iterable[int] = (0,), suffix: str = ""
) -> MeasuredPlanar:
    """Train ``method`` on a law of ``pushforward.distributions``, once a seed; its rows are of ``method + suffix``.

    Raises:
        InputError: unknown law, method or setting.
    """
    law, chosen = distributions.by_name(name), family_of(method, settings)
    title = method + suffix
    results = [train_once(f"{name}-{title}", chosen, law, seed=seed) for seed in seeds]
    return MeasuredPlanar("jko", name, title, law, results)


def real(
    name: str | Split,
    method: str,
    settings: Mapping[str, Any],
    seeds: Iterable[int] = (0,),
    profile: str = "quick",
    suffix: str = "",
    points: int | None = None,
) -> MeasuredReal:
    """Train ``method`` on a data set, once a seed (the split is that of seed 0); its rows are of ``method + suffix``.

    At most ``points`` test points are used (None: all): an adaptive solve with its divergence costs much for each.

    Raises:
        InputError: unknown data set, method or setting.
        DataError: the data is absent or altered.
    """
    split = name if isinstance(name, Split) else datasets.load(name, profile)
    chosen, title = family_of(method, settings), method + suffix
    results = [train_once(f"{split.name}-{title}", chosen, split, seed=seed) for seed in seeds]
    shown = [replace(result, split=replace(result.split, test=result.split.test[:points])) for result in results]
    return MeasuredReal("jko", split.name, title, shown)


def merged(*parts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Settings where later parts go before earlier ones, those of ``fit`` one by one."""
    given = [part for part in parts if part]
    fits = [part["fit"] for part in given if "fit" in part]
    fit = {"fit": {name: value for one in fits for name, value in one.items()}} if fits else {}
    return {name: value for part in given for name, value in part.items()} | fit


def chosen(
    common: Mapping[str, Any],
    settings: Mapping[str, Mapping[str, Any]],
    own: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    """By method, the settings common to all, then the method's, then those of ``own``, which belong to one case."""
    titles = list(dict.fromkeys([*settings, *(own or {})]))
    return {title: merged(common, settings.get(title), (own or {}).get(title)) for title in titles}


def compared(name: str, settings: Mapping[str, Mapping[str, Any]]) -> list[MeasuredPlanar]:
    """Every method of ``settings`` on one law, one seed, but those that fold in training, which is printed.

    A title that goes on behind a method's name is that method with other settings: ``ffjord-lattice``.

    Raises:
        InputError: unknown law, method or setting.
    """
    cases = []
    for title, own in settings.items():
        method = _method(title)
        try:
            cases.append(planar(name, method, own, suffix=title.removeprefix(method)))
        except LOST as error:
            print(f"{name}-{title}: lost in training, {type(error).__name__}: {error}")
    return cases


def budget_table(cases: Iterable[Measured], peaks: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """A row a case and method: what it cost, and what it reached. Means over seeds; a lost number is None.

    ``evaluations`` are those of ``TrainingHistory``, of i-ResNet the minibatches; ``nfe`` those of sampling 1000
    points; ``round trip`` is the root mean square of |T⁻¹(T(x)) − x| over so many test points in float32; ``peak
    MiB`` is what ``peaks`` has of the method.
    """
    rows = []
    for case in cases:
        histories = [r.history for r in case.results]
        row = {"case": case.name, "method": case.method, "parameters": case.parameters}
        row |= {"minibatches": fmean(h.minibatches for h in histories)}
        row |= {"evaluations": fmean(h.evaluations for h in histories), "CPU s": fmean(case.seconds)}
        row |= {"peak MiB": peaks.get(case.method)} if peaks else {}
        nfe, trips, mmd = (case.found(name) for name in ("nfe", "trips", "mmd"))
        row |= {"nfe": fmean(nfe) if nfe else None, "round trip": fmean(t.rms for t in trips) if trips else None}
        row |= {"of points": trips[0].n if trips else None, "NLL": _mean(case.found("nll"))}
        if isinstance(case, PlanarCase):
            row |= {"KL": _mean(case.found("excess"))}
        row |= {"se": _se(case)}
        row |= {"mmd²": fmean(t.value for t in mmd) if mmd else None}
        rows.append(row | {"threshold": fmean(t.threshold for t in mmd) if mmd else None})
    return rows


def inversion_table(cases: Iterable[Measured]) -> list[dict[str, Any]]:
    """A row a case and method: e = T⁻¹(T(x)) − x in three norms, first seed, float32.

    ``½ mean |e|², dopri5`` is the number of the authors' code, whose solver is dopri5 at 1e-5; None without an ODE.
    """
    rows = []
    for case in cases:
        trips = case.found("trips")
        if not trips:
            rows.append({"case": case.name, "method": case.method, "lost": case.lost["trips"]})
            continue
        row = {"case": case.name, "method": case.method, "points": trips[0].n, "√ mean |e|²": trips[0].rms}
        row |= {"max |e_i|": trips[0].max_abs, "½ mean |e|²": trips[0].half_mean_square}
        rows.append(row | {"½ mean |e|², dopri5": case.found("published_norm")})
    return rows


def pictures(cases: Sequence[MeasuredPlanar], resolution: int) -> dict[str, np.ndarray]:
    """The true density and that of each method on the figures' square; a flow that is lost has none.

    ``resolution`` is that of the grid over the square of the integral, of which this is a part.
    """
    found = {case.method: case.picture(resolution) for case in cases if case.whole(resolution)}
    return {"true": cases[0].true_picture(resolution)} | found


def discrepancies(cases: Sequence[Measured]) -> dict[str, tuple[float, float]]:
    """By method, unbiased MMD² of the first seed and its threshold; none where a flow cannot be sampled."""
    return {case.method: (case.mmd[0].value, case.mmd[0].threshold) for case in cases if case.found("mmd")}


def record(cases: Sequence[MeasuredPlanar], recorder: Recorder, run: str, resolution: int) -> None:
    """Every row of one law: of JKO-iFlow the budget and its lead, for its own notebook records the rest."""
    for case in cases:
        if not case.method.startswith(OURS):
            case.record_quality(recorder, run)
            case.record_checks(recorder, run, resolution)
        case.record_budget(recorder, run)
    record_lead(cases, recorder, run)


def beside(cases: Sequence[MeasuredPlanar]) -> list[dict[str, Any]]:
    """A row a method: its KL to the truth, and the paper's on its own drawing of such a law (nats)."""
    rows = []
    for case in cases:
        excess, published = case.found("excess"), published_excess(case.name).get(case.method)
        row = {"case": case.name, "method": case.method, "CPU s": fmean(case.seconds), "KL": _mean(excess)}
        row |= {"se": excess[0].se if excess else None, "published": published}
        rows.append(row | {"lost": next(iter(case.lost.values()), "")})
    return rows


def peaks(
    name: str, settings: Mapping[str, Mapping[str, Any]], points: int = PEAK_POINTS, iterations: int = 2
) -> dict[str, float]:
    """MiB by which the peak of a fresh process grows in a few iterations of each method on so many points of a law.

    Raises:
        InputError: unknown law, method or setting.
    """
    x = distributions.by_name(name).sample(points, stream(0, "peaks"))
    return {title: training_peak(family_of(_method(title), s), x, iterations) for title, s in settings.items()}


def record_lead(cases: Sequence[Measured], recorder: Recorder, run: str) -> None:
    """By how many nats of KL JKO-iFlow is ahead of the best of the paper's baselines (below 0: it is not)."""
    told = {case.method: case for case in cases if case.found("excess")}
    others = [_mean(told[method].excess) for method in RIVALS if method in told]
    if OURS in told and others:
        ahead = min(others) - _mean(told[OURS].excess)
        told[OURS].record_lead("best-baseline", ahead, recorder, run)


def record_biased(cases: Sequence[MeasuredPlanar], points: int, recorder: Recorder, run: str) -> None:
    """The paper's estimator, biased MMD² with a tenth of the median distance, of so many points a side."""
    for case in cases:
        result = case.results[0]
        try:
            samples = result.flow.sample(points, stream(0, "samples/biased"))
        except LOST:
            continue
        test = result.split.test[:points]
        value = metrics.mmd(test, samples, metrics.BANDWIDTHS["mmd-c"](test), unbiased=False)
        recorder.add(case.id("mmd-biased"), value, unit="1", run=run)


def published_excess(name: str) -> dict[str, float]:
    """By method, the paper's NLL minus the entropy on the law ``name``, nats; empty where it has none."""
    found = {method: load_published().get(f"jko/{name}/{method}/nll-excess") for method in METHODS}
    return {method: number.value for method, number in found.items() if number is not None}


def _method(title: str) -> str:
    """The method that a title names, or begins with."""
    return max((known for known in METHODS if f"{title}-".startswith(f"{known}-")), key=len, default=title)


def _mean(estimates: Sequence[Estimate] | None) -> float | None:
    return fmean(e.value for e in estimates) if estimates else None


def _se(case: Measured) -> float | None:
    values = case.found("excess" if isinstance(case, PlanarCase) else "nll")
    return values[0].se if values else None
