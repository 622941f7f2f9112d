"""Implicit flows and residual flows, learned (arXiv 2103.09527): equal parameters, equal time, every solve audited."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from statistics import fmean
from typing import Any

from pushforward import datasets, distributions, metrics
from pushforward.catalogue.cases import Case, PlanarCase, RealCase
from pushforward.catalogue.settings import family
from pushforward.datasets import Split
from pushforward.experiment import train_once
from pushforward.families import Implicit
from pushforward.implicit import Audit
from pushforward.report.results import Recorder

FLOAT32_ROUND_TRIP, FLOAT64_ROUND_TRIP = 1e-4, 1e-8  # the note's tolerances at coefficient 0.99
CERTIFIED = 1e-6  # largest certified error of a root, relative to max(1, ‖z‖)
TIGHT_POINTS = 100  # on images a solve in float64 takes a second for so many
SPAN = (-9.0, 9.0)  # of the integral: a flow of bounded slopes has the Gaussian's tails wherever it was not taught


class _Audited(Case):
    """What implicit blocks add to a case: the audit of every solve, and a round trip that needs no ODE solver."""

    @cached_property
    def audits(self) -> list[Audit]:
        """All solves of training and of its validation, a seed each, as they stood when training ended."""
        names = [f.name for f in fields(Audit)]
        return [Audit(**{name: r.history.stages[-1][name] for name in names}) for r in self.results]

    @property
    def parameters(self) -> int:
        """Trained numbers of the flow."""
        return sum(p.numel() for p in self.flow.parameters())

    def training_curve(self) -> list[tuple[float, float]]:
        """(CPU-seconds, ``level`` in nats on validation points) along the training of the first seed."""
        rows = self.results[0].history.fits["flow"].rows
        return [(row["seconds"], row["validation"] + self.shift) for row in rows if "validation" in row]

    def record_checks(self, record: Recorder, run: str) -> None:
        """The rows without which no other is believed: all solves certified, and the way back is the way there."""
        total = sum(self.audits, Audit())
        rows = [
            ("solves-unconverged", total.unconverged, 0),
            ("certified-error", total.worst, CERTIFIED),
            ("round-trip", max(self.round_trip), FLOAT32_ROUND_TRIP),
            ("round-trip-float64", self._double_round_trip(), FLOAT64_ROUND_TRIP),
        ]
        for quantity, value, bound in rows:
            record.add(self.id(quantity), value, unit="1", better="check", at_most=bound, run=run)

    def _double_round_trip(self) -> float:
        """Largest |T⁻¹(T(x)) − x| of the first flow in float64."""
        flow = copy.deepcopy(self.flow).double().eval()
        return metrics.round_trip(flow, self.test[:TIGHT_POINTS].double()).max_abs


class ImplicitPlanar(_Audited, PlanarCase):
    """A law in the plane."""

    span = SPAN

    def record_checks(self, record: Recorder, run: str, resolution: int = 400) -> None:
        """Those, and the integral of the density; ``resolution`` is that of its grid."""
        super().record_checks(record, run)
        integral = self.integral(resolution)
        record.add(self.id("integral"), integral, unit="1", better="check", at_least=0.999, at_most=1.001, run=run)


class ImplicitReal(_Audited, RealCase):
    """A real data set."""


def planar(
    name: str, settings: Mapping[str, Any], method: str, seeds: Iterable[int] = (0,), points: int = 20_000
) -> ImplicitPlanar:
    """Train implicit or residual blocks on a law of ``pushforward.distributions``, once a seed, as many test points.

    Raises:
        InputError: unknown law or setting.
        NotConverged: a root of the training could not be certified.
    """
    law, chosen = distributions.by_name(name), family(Implicit, settings)
    splits = {seed: Split.from_distribution(law, chosen.pool, points, points, seed) for seed in seeds}
    results = [train_once(f"{name}-implicit-{method}", chosen, split, seed=seed) for seed, split in splits.items()]
    return ImplicitPlanar("implicit", name, method, law, results)


def real(
    name: str | Split, settings: Mapping[str, Any], method: str, seeds: Iterable[int] = (0,), profile: str = "quick"
) -> ImplicitReal:
    """Train implicit or residual blocks on a data set, once a seed (the split is that of seed 0).

    Raises:
        InputError: unknown data set or setting.
        DataError: the data is absent or altered.
        NotConverged: a root of the training could not be certified.
    """
    split = name if isinstance(name, Split) else datasets.load(name, profile)
    chosen = family(Implicit, settings)
    results = [train_once(f"{split.name}-implicit-{method}", chosen, split, seed=seed) for seed in seeds]
    return ImplicitReal("implicit", split.name, method, results)


def record_lead(impflow: _Audited, resflow: _Audited, recorder: Recorder, run: str, required: bool = False) -> None:
    """By how many nats of NLL the implicit flow is ahead of the residual one, means over seeds."""
    ahead = fmean(e.value for e in resflow.nll) - fmean(e.value for e in impflow.nll)
    impflow.record_lead("resflow", ahead, recorder, run, required)


def compared(studies: Sequence[ImplicitPlanar | ImplicitReal]) -> list[dict[str, Any]]:
    """A row a study for the table: level is the KL to the truth where it is known, else the test NLL (nats).

    ``NLL``, ``nats`` and ``CPU s`` are means over seeds; ``se`` is that of the first seed's test points.
    """
    rows = []
    for study in studies:
        total = sum(study.audits, Audit())
        values = study.excess if isinstance(study, ImplicitPlanar) else study.nll
        row = {"case": study.name, "method": study.method, "NLL": fmean(e.value for e in study.nll)}
        if isinstance(study, ImplicitPlanar):
            row["KL"] = fmean(e.value for e in study.excess)
        row |= {"se": values[0].se, "seeds": len(values), "parameters": study.parameters}
        row |= {"CPU s": fmean(study.seconds), "solves": total.solves, "unconverged": total.unconverged}
        rows.append(row | {"steps a solve": total.iterations / max(1, total.solves)})
    return rows
