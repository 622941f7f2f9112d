"""A case in the accounting of the JKO comparison: what a flow cost and what it is worth, whatever its family."""

from functools import cached_property
from typing import Any

import numpy as np
import torch

from pushforward import metrics
from pushforward.catalogue.cases import (
    EXTENT,
    NFE_POINTS,
    NFE_TOLERANCE,
    ROUND_TRIP_POINTS,
    SOLVER_GAP,
    Case,
    PlanarCase,
    RealCase,
)
from pushforward.catalogue.network_calls import sampling_calls
from pushforward.errors import NonFinite, NotConverged, NotInvertible
from pushforward.flows import ODEBijection, with_solver
from pushforward.metrics import RoundTrip
from pushforward.numerics import Adaptive
from pushforward.report.results import Recorder
from pushforward.seeds import stream

LOST = (NotConverged, NotInvertible, NonFinite)  # a flow that folds, or a solve that fails
DOPRI5 = Adaptive(NFE_TOLERANCE, NFE_TOLERANCE)  # the paper's solver for samples and inversion checks
ROUND_TRIP = 1e-4  # in float32, of an inverse refined to rounding
TOLERANCES = 1000  # so many times its tolerance for an adaptive solver: a flow stretches what a step leaves
INVERSION_POINTS = 1000  # of the paper's norm
INTEGRAL = 0.01  # how far ∫ exp(log p) may be from 1 on a coarse grid
SPAN = (-7.0, 7.0)  # of that grid, along both axes


class Measured(Case):
    """A case in the accounting. Where a flow folds or a solve fails there is no number, and ``lost`` says why."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.lost: dict[str, str] = {}

    def found(self, name: str) -> Any:
        """The measurement ``name`` (an attribute), or None where it cannot be made."""
        if name in self.lost:
            return None
        try:
            return getattr(self, name)
        except LOST as error:
            self.lost[name] = f"{type(error).__name__}: {error}"
            return None

    @property
    def parameters(self) -> int:
        """Trained numbers of the flow."""
        return sum(p.numel() for p in self.flow.parameters())

    @property
    def follows_ode(self) -> bool:
        """Whether the flow is the solution of ODEs."""
        return any(isinstance(part, ODEBijection) for part in self.flow.modules())

    @property
    def trip_bound(self) -> float:
        """What the round trip may be: an adaptive solver inverts to its tolerance alone, all others to rounding."""
        solvers = [getattr(part, "solver", None) for part in self.flow.modules()]
        return max([ROUND_TRIP, *(TOLERANCES * s.rtol for s in solvers if isinstance(s, Adaptive))])

    @cached_property
    def nfe(self) -> list[float]:
        """Network calls that sample 1000 points, a seed each: see ``sampling_calls``; ODEs by dopri5 at 1e-5."""
        return [sampling_calls(r.flow, NFE_POINTS, stream(seed, "nfe"), DOPRI5) for seed, r in enumerate(self.results)]

    @cached_property
    def trips(self) -> list[RoundTrip]:
        """T⁻¹(T(x)) − x on test points in float32, a seed each."""
        return [metrics.round_trip(r.flow, r.split.test[:ROUND_TRIP_POINTS]) for r in self.results]

    @property
    def round_trip(self) -> list[float]:
        """Root mean square of |T⁻¹(T(x)) − x|, a seed each."""
        return [trip.rms for trip in self.trips]

    @cached_property
    def published_norm(self) -> float | None:
        """½ mean |T⁻¹(T(x)) − x|² under dopri5 at 1e-5, as the authors' code prints it; None without an ODE."""
        if not self.follows_ode:
            return None
        return metrics.round_trip(with_solver(self.flow, DOPRI5), self.test[:INVERSION_POINTS]).half_mean_square

    @property
    def gap(self) -> float:
        """Largest |NLL as reported − NLL in float64|, in which ODEs are solved by dopri5 at 1e-7; nats."""
        return max(self.solver_gap)

    def training_curve(self) -> list[tuple[float, float]]:
        """(CPU-seconds, ``level`` on validation points) along the training of the first seed; JKO has a row a block."""
        history, shift = self.results[0].history, self.shift
        if len(history.fits) > 1:
            return [(row["seconds"], row[self.level]) for row in self.curve() if row["seconds"] > 0]
        rows = next(iter(history.fits.values())).rows
        points = [(row["seconds"], row["validation"] + shift) for row in rows if row.get("validation") is not None]
        end = history.stages[-1]["val_nll"]
        return points or ([] if end is None else [(history.seconds, end + shift)])

    def record(self, record: Recorder, run: str) -> None:
        """Put every measured number into the results table."""
        self.record_quality(record, run)
        self.record_checks(record, run)
        self.record_budget(record, run)

    def record_quality(self, record: Recorder, run: str) -> None:
        """The rows that compare methods, those that there are."""
        seconds = self.seconds
        record.add(self.id("seconds"), seconds, unit="s", run=run)
        if self.found("nll"):
            record.add(self.id("nll"), [e.value for e in self.nll], seconds=seconds, run=run)
        if self.found("mmd"):
            record.add(self.id("mmd"), [t.value for t in self.mmd], unit="1", run=run)
            record.add(self.id("mmd-threshold"), [t.threshold for t in self.mmd], unit="1", run=run)

    def record_checks(self, record: Recorder, run: str) -> None:
        """The way back is the way there, and the likelihood is not the solver's."""
        if self.found("trips"):
            trip, bound = max(self.round_trip), self.trip_bound
            record.add(self.id("round-trip"), trip, unit="1", better="check", at_most=bound, run=run)
        if self.found("gap") is not None:
            record.add(self.id("nll-solver-gap"), self.gap, better="check", at_most=SOLVER_GAP, run=run)

    def record_budget(self, record: Recorder, run: str) -> None:
        """Parameters, network calls of sampling, and the error of the way back as the paper's Table 1 prints it."""
        record.add(self.id("parameters"), self.parameters, unit="1", run=run)
        if self.found("nfe"):
            record.add(self.id("nfe"), self.nfe, unit="1", run=run)
        if self.found("published_norm") is not None:
            record.add(self.id("inversion-error"), self.published_norm, unit="1", run=run)


class MeasuredPlanar(Measured, PlanarCase):
    """A law in the plane. The density is taken once, on one grid, for its integral and for its picture."""

    span = SPAN

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._grids: dict[int, torch.Tensor] = {}

    def density(self, resolution: int) -> torch.Tensor:
        """Density of the first flow at the cell centres of a grid over ``span``², rows upwards, float64."""
        if resolution not in self._grids:
            self._grids[resolution] = metrics.density_grid(self.flow, (self.span, self.span), resolution).T
        return self._grids[resolution]

    def whole(self, resolution: int) -> bool:
        """Whether there is a density wherever ``metrics.density_grid`` looks; a flow may fold beside the data."""
        if "density" not in self.lost:
            try:
                self.density(resolution)
            except LOST as error:
                self.lost["density"] = f"{type(error).__name__}: {error}"
        return "density" not in self.lost

    def integral(self, resolution: int) -> float:
        """∫ exp(log p) of the first flow over ``span``²."""
        low, high = self.span
        return float(self.density(resolution).sum()) * ((high - low) / resolution) ** 2

    def picture(self, resolution: int) -> np.ndarray:
        """The part of that grid which the figures' square holds."""
        return self._shown(self.density(resolution))

    @torch.no_grad()
    def true_picture(self, resolution: int) -> np.ndarray:
        """The law's density on the same part of the grid."""
        low, high = self.span
        ticks = (torch.arange(resolution) + 0.5) * ((high - low) / resolution) + low
        values = self.law.log_prob(torch.cartesian_prod(ticks, ticks).flip(1))
        return self._shown(values.double().exp().reshape(resolution, resolution))

    def _shown(self, density: torch.Tensor) -> np.ndarray:
        low, high = self.span
        margin = round((high - low - 2 * EXTENT) / 2 * len(density) / (high - low))
        return density[margin : len(density) - margin, margin : len(density) - margin].numpy()

    def record_quality(self, record: Recorder, run: str) -> None:
        """Those of every case, and the KL to the truth."""
        super().record_quality(record, run)
        if self.found("excess"):
            record.add(self.id("nll-excess"), [e.value for e in self.excess], seconds=self.seconds, run=run)

    def record_checks(self, record: Recorder, run: str, resolution: int = 280) -> None:
        """Those of every case, and whether the density is one; ``resolution`` is that of the grid."""
        super().record_checks(record, run)
        if not self.whole(resolution):
            return
        value, low, high = self.integral(resolution), 1 - INTEGRAL, 1 + INTEGRAL
        record.add(self.id("integral"), value, unit="1", better="check", at_least=low, at_most=high, run=run)


class MeasuredReal(Measured, RealCase):
    """A real data set."""
