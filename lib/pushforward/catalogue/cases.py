"""What is measured on one case: a flow of any family, trained once a seed, on a law in the plane or on real data."""

import copy
import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import torch

from pushforward import datasets, metrics
from pushforward.distributions import Distribution
from pushforward.experiment import Result
from pushforward.families import preconditioned
from pushforward.flows import Flow, ODEBijection, with_solver
from pushforward.numerics import Adaptive
from pushforward.report.results import Recorder
from pushforward.seeds import stream
from pushforward.shapes import PerPoint, Points

MMD_POINTS = 2000
W2_POINTS = 1000
ROUND_TRIP_POINTS = 2000
GAP_POINTS = 1000  # of a difference point by point, whose error is far below that of either NLL
NFE_POINTS, NFE_TOLERANCE = 1000, 1e-5
TIGHT_POINTS, TIGHT = 100, 1e-13  # of the round trip in float64 under dopri5
EXTENT = 4.5  # half the side of the figures' square
INTEGRAL_SPAN = (-6.0, 6.0)  # along both axes; the laws fill [-4, 4]
FLOAT32_ROUND_TRIP, FLOAT64_ROUND_TRIP = 1e-5, 1e-10
GAUSSIAN_TOLERANCE = 0.5  # nats: which patches of the test images are drawn moves a Gaussian's NLL by some tenths
SOLVER_GAP = 0.02  # nats between the reported NLL and that of the same ODE at tolerance 1e-7


class Case:
    """One case trained once a seed, and what is measured on it. Measurements are made when they are first asked for."""

    mmd_bandwidth = "mmd-m"
    level, shift = "NLL", 0.0  # of the curve: its name, and what it adds to the NLL

    def __init__(self, topic: str, name: str, method: str, results: Sequence[Result]) -> None:
        self.topic, self.name, self.method, self.results = topic, name, method, list(results)

    @property
    def flow(self) -> Flow:
        """The flow of the first seed, for figures."""
        return self.results[0].flow

    @property
    def test(self) -> Points:
        """The held-out test points of the first seed."""
        return self.results[0].split.test

    @cached_property
    def samples(self) -> list[Points]:
        """Draws from each flow, as many as the MMD compares."""
        return [r.flow.sample(MMD_POINTS, stream(seed, "samples")) for seed, r in enumerate(self.results)]

    @cached_property
    def log_probs(self) -> list[PerPoint]:
        """log p of the test points [n] in nats, a seed each: what an adaptive flow takes long to say, it says once."""
        return [metrics.log_probs(r.flow, r.split.test) for r in self.results]

    @cached_property
    def nll(self) -> list[metrics.Estimate]:
        """Test NLL in nats, a seed each."""
        return [metrics.mean_and_se(-values) for values in self.log_probs]

    @cached_property
    def mmd(self) -> list[metrics.MMDTest]:
        """Unbiased MMD² of test points against samples, with its permutation threshold, a seed each."""
        return [self._mmd(r, s, self.mmd_bandwidth) for r, s in zip(self.results, self.samples, strict=True)]

    def mmd_table(self) -> list[dict[str, Any]]:
        """Both estimators and all bandwidths of the first seed."""
        rows = []
        for bandwidth in metrics.BANDWIDTHS:
            for test in self._mmds(self.results[0], self.samples[0], bandwidth):
                row = {"case": self.name, "kernel": bandwidth, "estimator": "unbiased" if test.unbiased else "biased"}
                row |= {"bandwidth": test.bandwidth, "mmd²": test.value, "threshold": test.threshold}
                rows.append(row | {"n": test.n, "m": test.m, "distinguishable": "yes" if test.rejects else "no"})
        return rows

    @staticmethod
    def _mmd(result: Result, samples: Points, bandwidth: str, unbiased: bool = True) -> metrics.MMDTest:
        return Case._mmds(result, samples, bandwidth)[0 if unbiased else 1]

    @staticmethod
    def _mmds(result: Result, samples: Points, bandwidth: str) -> tuple[metrics.MMDTest, metrics.MMDTest]:
        test = result.split.test[:MMD_POINTS]
        return metrics.mmd_tests(test, samples[: len(test)], bandwidth, generator=stream(0, "permutations"))

    @cached_property
    def round_trip(self) -> list[float]:
        """Root mean square of |T⁻¹(T(x)) − x| in float32, a seed each."""
        return [metrics.round_trip(r.flow, r.split.test[:ROUND_TRIP_POINTS]).rms for r in self.results]

    def round_trip_at(self, tolerances: Iterable[float]) -> list[tuple[float, float]]:
        """(tolerance, rms round trip) of the first flow's ODEs in float64 under dopri5 at these tolerances."""
        flow, x = copy.deepcopy(self.flow).double(), self.test[:TIGHT_POINTS].double()
        return [(tol, metrics.round_trip(with_solver(flow, Adaptive(tol, tol)), x).rms) for tol in tolerances]

    @cached_property
    def solver_gap(self) -> list[float]:
        """|NLL on the reported grid − NLL of the same ODEs under dopri5 at 1e-7 in float64|, a seed each."""
        gaps = []
        for r, reported in zip(self.results, self.log_probs, strict=True):
            tight = with_solver(copy.deepcopy(r.flow).double(), Adaptive(1e-7, 1e-7))
            exact = metrics.log_probs(tight, r.split.test[:GAP_POINTS].double())
            gaps.append(abs(float((reported[: len(exact)].double() - exact).mean())))
        return gaps

    def curve(self) -> list[dict[str, float]]:
        """``level`` after each block kept, on validation points, with seconds so far and movement (first seed)."""
        stages, shift = self.results[0].history.stages, self.shift
        return [
            {self.level: row["val_nll"] + shift, "seconds": seconds, "movement": row.get("movement", math.nan)}
            for row, seconds in zip(stages, accumulate(row["seconds"] for row in stages), strict=True)
            if row.get("kept", True) and row["val_nll"] is not None
        ]

    @cached_property
    def nfe(self) -> list[int]:
        """Velocity evaluations of dopri5 at 1e-5 that bring 1000 points of noise to the data, a seed each."""
        return [_evaluations(r.flow, stream(seed, "nfe")) for seed, r in enumerate(self.results)]

    @property
    def seconds(self) -> list[float]:
        """CPU-seconds of training, a seed each."""
        return [r.history.seconds for r in self.results]

    def id(self, quantity: str) -> str:
        """Of a row of results.csv."""
        return f"{self.topic}/{self.name}/{self.method}/{quantity}"

    def record(self, record: Recorder, run: str) -> None:
        """Put every measured number into the results table."""
        self.record_quality(record, run)
        self.record_checks(record, run)

    def record_quality(self, record: Recorder, run: str) -> None:
        """The rows that compare methods."""
        seconds = self.seconds
        record.add(self.id("nll"), [e.value for e in self.nll], seconds=seconds, run=run)
        record.add(self.id("seconds"), seconds, unit="s", run=run)
        record.add(self.id("mmd"), [t.value for t in self.mmd], unit="1", run=run)
        record.add(self.id("mmd-threshold"), [t.threshold for t in self.mmd], unit="1", run=run)

    def record_lead(self, over: str, nats: float, record: Recorder, run: str, required: bool = False) -> None:
        """The row ``lead-over-<over>``: by how many nats of NLL this case is ahead, at least 0 where ``required``."""
        judged = {"better": "check", "at_least": 0.0} if required else {"better": "higher"}
        record.add(self.id(f"lead-over-{over}"), nats, run=run, **judged)

    def record_checks(self, record: Recorder, run: str) -> None:
        """The rows without which no other is believed."""
        trip = max(self.round_trip)
        record.add(self.id("round-trip"), trip, unit="1", better="check", at_most=FLOAT32_ROUND_TRIP, run=run)
        gap = max(self.solver_gap)
        record.add(self.id("nll-solver-gap"), gap, better="check", at_most=SOLVER_GAP, run=run)


@torch.no_grad()
def _evaluations(flow: Flow, generator: torch.Generator) -> int:
    flow = with_solver(flow, Adaptive(NFE_TOLERANCE, NFE_TOLERANCE))
    calls = []
    for part in flow.modules():
        if isinstance(part, ODEBijection):
            part.velocity.register_forward_hook(lambda *_: calls.append(1))
    flow.sample(NFE_POINTS, generator)
    return len(calls)


class PlanarCase(Case):
    """A law in the plane, whose density is known: every NLL also as KL to the truth."""

    mmd_bandwidth, level = "mmd-c", "KL"
    span = INTEGRAL_SPAN

    def __init__(self, topic: str, name: str, method: str, law: Distribution, results: Sequence[Result]) -> None:
        super().__init__(topic, name, method, results)
        self.law = law
        self._integrals: dict[int, float] = {}

    @cached_property
    def excess(self) -> list[metrics.Estimate]:
        """KL(truth ‖ flow) on the test points, a seed each; below zero by more than 3 standard errors is an error."""
        truths = (metrics.log_probs(self.law, r.split.test) for r in self.results)
        return [
            metrics.check_excess(metrics.paired_kl(truth, learned))
            for truth, learned in zip(truths, self.log_probs, strict=True)
        ]

    def integral(self, resolution: int) -> float:
        """∫ exp(log p) of the first flow over a square that holds practically all its mass."""
        if resolution not in self._integrals:
            self._integrals[resolution] = metrics.integral(self.flow, (self.span, self.span), resolution)
        return self._integrals[resolution]

    @property
    def shift(self) -> float:
        """Mean true log density of the first seed's validation points: NLL + shift is their KL to the truth."""
        return float(self.law.log_prob(self.results[0].split.val).double().mean())

    def density_grids(self, resolution: int = 200) -> tuple[np.ndarray, np.ndarray]:
        """True and learned density at the cell centres of a square grid over the figures' square, rows upwards."""
        box = ((-EXTENT, EXTENT),) * 2
        ticks = (torch.arange(resolution) + 0.5) / resolution * 2 * EXTENT - EXTENT
        with torch.no_grad():
            true = self.law.log_prob(torch.cartesian_prod(ticks, ticks).flip(1)).double().exp()
        learned = metrics.density_grid(self.flow, box, resolution).T
        return true.reshape(resolution, resolution).numpy(), learned.numpy()

    @torch.no_grad()
    def paths(self, points: int, stops: int = 9) -> tuple[np.ndarray, np.ndarray]:
        """Data on the way to noise, and fresh noise on the way to data, [stops, points, 2]."""
        chain = self.flow.bijection
        forward = chain.path(self.test[:points], stops)
        noise = torch.randn(points, 2, generator=stream(0, "noise"))
        backward = chain.path(chain.inverse(noise), stops).flip(0)
        return forward.numpy(), backward.numpy()

    def record(self, record: Recorder, run: str, resolution: int = 400) -> None:
        """Put every measured number into the results table; ``resolution`` is that of the integral's grid."""
        self.record_quality(record, run)
        self.record_checks(record, run, resolution)

    def record_quality(self, record: Recorder, run: str) -> None:
        """The rows that compare methods."""
        super().record_quality(record, run)
        tests = [r.split.test[:W2_POINTS] for r in self.results]
        distances = [metrics.w2(x, s[: len(x)]) for x, s in zip(tests, self.samples, strict=True)]
        record.add(self.id("w2"), distances, unit="1", run=run)
        record.add(self.id("nll-excess"), [e.value for e in self.excess], seconds=self.seconds, run=run)

    def record_checks(self, record: Recorder, run: str, resolution: int = 400) -> None:
        """The rows without which no other is believed."""
        super().record_checks(record, run)
        integral = self.integral(resolution)
        record.add(self.id("integral"), integral, unit="1", better="check", at_least=0.999, at_most=1.001, run=run)
        tight, bound = self.round_trip_at([TIGHT])[0][1], FLOAT64_ROUND_TRIP
        record.add(self.id("round-trip-float64"), tight, unit="1", better="check", at_most=bound, run=run)


class RealCase(Case):
    """A real data set: the flow beside what its preconditioners reach alone."""

    @property
    def label(self) -> str:
        """The data's name, which says so when it is a stand-in."""
        return self.results[0].split.label

    @cached_property
    def gaussian(self) -> metrics.Estimate:
        """Test NLL of the full-covariance Gaussian of the training points."""
        return self._preconditioned("affine")

    @cached_property
    def radial(self) -> metrics.Estimate:
        """Test NLL of the best elliptical law: whitening, then an exact radial map."""
        return self._preconditioned("affine", "radial")

    def _preconditioned(self, *names: str) -> metrics.Estimate:
        split = self.results[0].split
        return metrics.nll(preconditioned(names, split.train), split.test)

    def pictures(self, points: Points) -> np.ndarray:
        """Points of 8 × 8 pictures as pictures [n, 8, 8], in grey values."""
        return self.results[0].split.preprocessing.inverse(points).reshape(-1, 8, 8).numpy()

    @torch.no_grad()
    def there_and_back(self, count: int = 16) -> dict[str, np.ndarray]:
        """Test pictures, the noise they are sent to (drawn as if it were pictures), and what comes back."""
        x = self.test[:count]
        z = self.flow.bijection(x)
        return {
            name: self.pictures(p) for name, p in (("data", x), ("noise", z), ("back", self.flow.bijection.inverse(z)))
        }

    def record_references(self, record: Recorder, run: str) -> None:
        """The rows of the Gaussian and of the elliptical law on the same test points."""
        record.add(f"{self.topic}/{self.name}/gaussian/nll", self.gaussian.value, tolerance=GAUSSIAN_TOLERANCE, run=run)
        record.add(f"{self.topic}/{self.name}/elliptical/nll", self.radial.value, run=run)


def present(names: Iterable[str], profile: str = "quick") -> list[str]:
    """The data sets that are here themselves, whole enough for the profile."""
    return [name for name in names if datasets.available(name, profile)]


def data_table(names: Iterable[str], profile: str = "quick") -> list[dict[str, str]]:
    """Which data sets are here, whole enough for the profile; an absent one names the command that fetches it."""
    return [
        {"data set": name, "status": "present" if datasets.available(name, profile) else "data absent: make data"}
        for name in names
    ]
