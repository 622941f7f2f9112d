"""JKO-iFlow beside its baselines on real data (arXiv 2212.14424, Tables 2 and A.2 to A.4): every method, every set."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from statistics import fmean
from typing import Any

from pushforward import datasets, metrics
from pushforward.catalogue.cases import RealCase
from pushforward.catalogue.jko_baselines import OURS, RIVALS, MeasuredReal, real
from pushforward.datasets import Split
from pushforward.errors import NonFinite
from pushforward.families.pushing import some
from pushforward.families.whitening import PRECONDITIONERS
from pushforward.flows import Chain, Flow
from pushforward.metrics import Estimate
from pushforward.report.results import Recorder
from pushforward.shapes import Points

FIXED, FULL = "-fixed-budget", ""  # suffixes of a method: rows of Table 2, and of Table A.2
GAP_POINTS = 300  # in 63 dimensions the tightest solve costs a second or more for so many points
VALIDATION = 3000  # points on which trainings are watched; JKO-iFlow looks at them between blocks, and that takes time


class Behind(MeasuredReal):
    """A data set whose flow stands behind exact preconditioners: what they reach alone is the level to beat."""

    @cached_property
    def alone(self) -> Estimate:
        """Test NLL in nats of the preconditioners of the first flow, without what was trained."""
        parts = []
        for part in self.flow.bijection.blocks:
            if not isinstance(part, tuple(PRECONDITIONERS.values())):
                break
            parts.append(part)
        return metrics.nll(Flow(Chain(self.flow.dim, parts)), self.test)

    @cached_property
    def samples(self) -> list[Points]:
        """Draws from each flow; raises NonFinite where some overflow on their way back, as far tails of MAF do."""
        drawn = super().samples
        bad = sum(int((~points.isfinite().all(1)).sum()) for points in drawn)
        if bad:
            raise NonFinite(f"{bad} of {sum(map(len, drawn))} samples are NaN or infinite: no distance can be told")
        return drawn

    @cached_property
    def solver_gap(self) -> list[float]:
        """As of every case, on fewer points."""
        few = [replace(r, split=replace(r.split, test=r.split.test[:GAP_POINTS])) for r in self.results]
        return RealCase(self.topic, self.name, self.method, few).solver_gap

    @property
    def mean_nll(self) -> float | None:
        """Test NLL, mean over seeds (nats); None where the flow has none."""
        found = self.found("nll")
        return fmean(e.value for e in found) if found else None


def contest(
    name: str,
    methods: Mapping[str, Mapping[str, Any]],
    common: Mapping[str, Any] | None = None,
    points: int = 10_000,
    profile: str = "quick",
    suffix: str = FIXED,
) -> list[Behind]:
    """Every method on one data set, behind the same preconditioners, which ``common`` names.

    Args:
        methods: settings by method; what they repeat of ``common`` wins.
        points: test points at most: an adaptive solve with its divergence costs much for each.
        suffix: of the methods in their rows.

    Raises:
        InputError: unknown data set, method or setting.
        DataError: the data is absent or altered.
    """
    split = _fewer(datasets.load(name, profile), points)
    return [_trained(split, method, {**(common or {}), **own}, suffix) for method, own in methods.items()]


def sensitivity(
    name: str,
    settings: Mapping[str, Any],
    rates: Sequence[str],
    maxima: Sequence[float],
    points: int = 2000,
    profile: str = "quick",
) -> dict[str, dict[str, Behind]]:
    """ScoreSDE under every noise rate, by the rate's form and its maximum (Tables A.3, A.4); raises as ``contest``."""
    split, found = _fewer(datasets.load(name, profile), points), {rate: {} for rate in rates}
    for rate, most in product(rates, maxima):
        which = f"{rate}-{most:g}"
        chosen = {**settings, "schedule": f"vp-{which}"}
        found[rate][f"{most:g}"] = _trained(split, "score-sde", chosen, f"-{which}")
    return found


def _trained(split: Split, method: str, settings: Mapping[str, Any], suffix: str) -> Behind:
    study = real(split, method, settings, suffix=suffix)
    return Behind(study.topic, study.name, study.method, study.results)


def _fewer(split: Split, points: int) -> Split:
    val = some(split.val, VALIDATION, "validation points")
    return replace(split, val=val, test=some(split.test, points, "test points"))


def references(groups: Iterable[Sequence[Behind]]) -> list[dict[str, Any]]:
    """Rows of ``budget_table`` for the Gaussian and for the preconditioners of each group of methods alone."""
    rows = []
    for first, *_ in groups:
        for method, level in (("gaussian", first.gaussian), ("preconditioners alone", first.alone)):
            rows.append({"case": first.name, "method": method, "NLL": level.value, "se": level.se})
    return rows


def record_sensitivity(grid: Mapping[str, Mapping[str, Behind]], recorder: Recorder, run: str) -> None:
    """NLL and seconds under each noise rate."""
    for study in (study for line in grid.values() for study in line.values()):
        if study.found("nll"):
            recorder.add(study.id("nll"), [e.value for e in study.nll], seconds=study.seconds, run=run)


def lead(groups: Iterable[Sequence[Behind]]) -> list[dict[str, Any]]:
    """A row a case and other method: by how much JKO-iFlow is ahead (nats), with its paired standard error, and who is.

    ``neither`` where they differ by less than two standard errors. First seed; methods without a number are left out.
    """
    rows = []
    for group in groups:
        ours, others = _sides(group)
        for study in others:
            ahead, se, _ = metrics.mean_and_se(ours.log_probs[0].double() - study.log_probs[0].double())
            leader = "neither" if abs(ahead) <= 2 * se else ours.method if ahead > 0 else study.method
            row = {"case": study.name, "against": study.method, "nats": ahead, "se": se, "ahead": leader}
            rows.append(row)
    return rows


def record_lead(group: Sequence[Behind], recorder: Recorder, run: str, required: bool = False) -> None:
    """By how many nats of NLL JKO-iFlow is ahead of the best of the paper's baselines."""
    ours, others = _sides(group)
    rivals = [study.mean_nll for study in others if study.method.startswith(RIVALS)]
    if rivals:
        ours.record_lead("best-baseline", min(rivals) - ours.mean_nll, recorder, run, required)


def _sides(group: Sequence[Behind]) -> tuple[Behind | None, list[Behind]]:
    """JKO-iFlow and the other methods, those that have a test NLL; nobody where JKO-iFlow has none."""
    told = [study for study in group if study.mean_nll is not None]
    ours = next((study for study in told if study.method.startswith(OURS)), None)
    return ours, [study for study in told if study is not ours] if ours else []


def levels(grid: Mapping[str, Mapping[str, Behind]]) -> dict[str, dict[str, float | None]]:
    """Test NLL in nats by the rate's form and its maximum; None where there is none."""
    return {rate: {most: study.mean_nll for most, study in line.items()} for rate, line in grid.items()}


def curves(group: Sequence[Behind]) -> dict[str, list[tuple[float, float]]]:
    """By method, (CPU-seconds, NLL on validation points in nats) along the training, what it begins with first."""
    return {s.method: [(0.0, s.results[0].history.stages[0]["val_nll"]), *s.training_curve()] for s in group}
