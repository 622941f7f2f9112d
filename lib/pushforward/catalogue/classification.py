"""Classifiers of implicit, residual and plain blocks at equal parameters, under Lipschitz coefficients (Table 1)."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from statistics import fmean
from typing import Any

from pushforward import datasets
from pushforward.catalogue.implicit import CERTIFIED
from pushforward.catalogue.implicit_real import dashed
from pushforward.catalogue.settings import family
from pushforward.classification import Classifier, Trained, train_once
from pushforward.implicit import Audit
from pushforward.report.results import Recorder

BOUNDED = ("impflow", "resflow")
UNBOUNDED = "vanilla"  # has no coefficient, and is shown at 1


class ClassifierStudy:
    """One method at one coefficient on one data set, trained once a seed; each seed has its own split."""

    def __init__(self, name: str, method: str, coeff: float | None, results: Sequence[Trained]) -> None:
        self.name, self.kind, self.coeff, self.results = f"{name}-classification", method, coeff, list(results)

    @property
    def method(self) -> str:
        """``impflow-0-99``, as ids have it."""
        return self.kind if self.coeff is None else f"{self.kind}-{dashed(self.coeff)}"

    @cached_property
    def error(self) -> list[float]:
        """Wrong classes among the test points in percent, a seed each."""
        return [result.error("test") for result in self.results]

    @cached_property
    def validation_error(self) -> list[float]:
        """The same on the validation points, by which settings were chosen."""
        return [result.error("val") for result in self.results]

    @property
    def seconds(self) -> list[float]:
        """CPU-seconds of training, a seed each."""
        return [result.history.seconds for result in self.results]

    @property
    def parameters(self) -> int:
        """Trained numbers of the network."""
        return sum(p.numel() for p in self.results[0].network.parameters())

    @property
    def audit(self) -> Audit:
        """All solves of all seeds' trainings and of their validations."""
        return sum((result.audit for result in self.results), Audit())

    def id(self, quantity: str) -> str:
        """Of a row of results.csv."""
        return f"implicit/{self.name}/{self.method}/{quantity}"

    def record(self, record: Recorder, run: str) -> None:
        """The rows of this study; those of the solves are judged."""
        record.add(self.id("error"), self.error, unit="%", seconds=self.seconds, run=run)
        record.add(self.id("validation-error"), self.validation_error, unit="%", run=run)
        record.add(self.id("seconds"), self.seconds, unit="s", run=run)
        if self.kind == UNBOUNDED:
            return
        for quantity, value, bound in (
            ("solves-unconverged", self.audit.unconverged, 0),
            ("certified-error", self.audit.worst, CERTIFIED),
        ):
            record.add(self.id(quantity), value, unit="1", better="check", at_most=bound, run=run)


def studies(
    name: str, settings: Mapping[str, Any], coeffs: Iterable[float], seeds: Iterable[int] = (0,), profile: str = "quick"
) -> list[ClassifierStudy]:
    """``impflow`` and ``resflow`` at each coefficient, and ``vanilla``, of the same ``settings`` and size.

    Args:
        name: of ``datasets.labelled``.
        settings: of ``Classifier``, without its method and coefficient.

    Raises:
        InputError: unknown data set or setting.
        DataError: the data is absent or altered.
        NotConverged: a root of the training could not be certified.
    """
    data = {seed: datasets.labelled(name, profile, seed) for seed in seeds}
    plan = [(method, coeff) for coeff in coeffs for method in BOUNDED] + [(UNBOUNDED, None)]
    found = []
    for method, coeff in plan:
        chosen = family(Classifier, {**settings, "method": method} | ({} if coeff is None else {"coeff": coeff}))
        title = f"{name}-classifier-{method}" + ("" if coeff is None else f"-{dashed(coeff)}")
        results = [train_once(title, chosen, data[seed], seed=seed) for seed in data]
        found.append(ClassifierStudy(name, method, coeff, results))
    return found


def compared(found: Iterable[ClassifierStudy]) -> list[dict[str, Any]]:
    """A row a study: test and validation error in percent (means over seeds), parameters, time, audited solves."""
    rows = []
    for study in found:
        row = {"case": study.name, "method": study.kind, "c": study.coeff, "error %": fmean(study.error)}
        row |= {"validation %": fmean(study.validation_error), "seeds": len(study.results)}
        row |= {"parameters": study.parameters, "CPU s": fmean(study.seconds)}
        total = study.audit
        row |= {"solves": total.solves, "unconverged": total.unconverged, "worst bound": total.worst}
        rows.append(row | {"steps a solve": total.iterations / max(1, total.solves)})
    return rows


def lines(found: Iterable[ClassifierStudy]) -> dict[str, list[tuple[float, float]]]:
    """By method, (c, mean test error in percent), for the figure."""
    points: dict[str, list[tuple[float, float]]] = {}
    for study in found:
        points.setdefault(study.kind, []).append((study.coeff or 1.0, fmean(study.error)))
    return points


def record_lead(found: Sequence[ClassifierStudy], record: Recorder, run: str) -> None:
    """Error of ``impflow`` minus that of ``resflow`` in percent, a number a seed, its mean over the coefficients."""
    errors = {(study.kind, study.coeff): study.error for study in found}
    coeffs = [study.coeff for study in found if study.kind == "impflow"]
    seeds = range(len(found[0].results))
    ahead = [fmean(errors["impflow", c][s] - errors["resflow", c][s] for c in coeffs) for s in seeds]
    record.add(f"implicit/{found[0].name}/impflow/error-over-resflow", ahead, unit="%", run=run)
