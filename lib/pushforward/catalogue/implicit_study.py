"""Bias and spread of the log-determinant estimators against κ, of their values and of their gradients.

Two maps: g(x) = −κ x on the line, the worst there is (every term of the series has the same sign, and its trace needs
no probe), and networks on R^8 that contract as much as their layers' bounds let them. The gradient is that in the scale
of the map: with J → s J it is tr((I + J)⁻¹ J) at s = 1.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.catalogue.implicit_maps import contracting_network
from pushforward.errors import InputError
from pushforward.implicit import (
    Exact,
    Geometric,
    LogDet,
    Neumann,
    Poisson,
    Roulette,
    Tail,
    Truncated,
    second_moment,
)
from pushforward.report.check import check_below
from pushforward.report.results import Recorder
from pushforward.seeds import stream
from pushforward.shapes import Points

DIM, WIDTHS = 8, (64, 64)  # of the networks
POINTS, SPREAD = 16, 0.2  # normal draws at which they are taken, and their standard deviation
SIGMAS = 4.0  # standard errors that the mean of an unbiased estimator may be off
TERMS = 1000  # of the sum that is E[S²]
ROUNDING = 1e-9  # nats, beyond any rounding of a float64 series

Estimators = Callable[[float], LogDet]
ESTIMATORS: dict[str, Estimators] = {
    "truncated": lambda kappa: Truncated(10),
    "roulette-geometric": lambda kappa: Roulette(Geometric(0.5), 2),
    "roulette-adapted": lambda kappa: Roulette(Geometric((1 - kappa**2) / 2), 2),  # p < 1 − κ²: a finite variance
    "roulette-poisson": lambda kappa: Roulette(Poisson(2.0), 10),
    "neumann": lambda kappa: Neumann(Geometric(0.5), 2),
}
MAPS = ("worst", "network")
QUANTITIES = ("value", "gradient")


@dataclass(frozen=True)
class Moments:
    """How one estimator errs on one map, in nats: ``bias`` ± ``se``, the ``sd`` of one draw, and both as ``rms``.

    ``allowed`` is the bias that theory allows it (what a truncation cuts off, else 0); ``finite`` says whether its
    second moment is, without which neither ``se`` nor ``sd`` means much. ``theory`` is the sd by ``second_moment``, of
    the roulette's value on the worst map where it is finite, else NaN.
    """

    estimator: str
    map: str
    quantity: str
    kappa: float
    exact: float
    bias: float
    se: float
    sd: float
    allowed: float
    finite: bool
    theory: float = math.nan

    @property
    def rms(self) -> float:
        """Root mean square error of one draw."""
        return math.hypot(self.bias, self.sd)

    @property
    def margin(self) -> float:
        """The largest bias that passes: what is allowed, and ``SIGMAS`` standard errors."""
        return self.allowed + SIGMAS * self.se + ROUNDING


@dataclass(frozen=True)
class Scaled:
    """x ↦ s g(x) with a scale s a row, [n, 1], whose gradient is the one studied."""

    g: Callable[[Points], Points]
    s: Tensor

    def __call__(self, x: Points) -> Points:
        return self.s * self.g(x)


@dataclass(frozen=True)
class Drawn:
    """A tail whose length has been drawn: the estimator's weights stay those of its law."""

    tail: Tail
    length: int

    def draw(self, generator: torch.Generator | None = None) -> int:
        return self.length

    def at_least(self, k: int) -> float:
        return self.tail.at_least(k)


def moments(estimator: str, map: str, kappa: float, draws: int) -> list[Moments]:
    """Value and gradient of one estimator on one map over ``draws`` independent draws of its length and its probe.

    Raises:
        InputError: an unknown estimator or map.
    """
    if estimator not in ESTIMATORS or map not in MAPS:
        raise InputError(f"{estimator!r} on {map!r}: expected one of {list(ESTIMATORS)} on one of {list(MAPS)}")
    g, points = _map(map, kappa)
    chosen = ESTIMATORS[estimator](kappa)
    exact = _value_and_gradient(Exact(), g, points, None)
    which = torch.arange(draws) % len(points)
    found = _draws(chosen, g, points[which], stream(0, f"study/{estimator}/{map}/{kappa:g}"))
    rows = []
    for quantity, truth, estimate in zip(QUANTITIES, exact, found, strict=True):
        error = estimate - truth[which]
        sd = float(error.std())
        rows.append(
            Moments(
                estimator=estimator,
                map=map,
                quantity=quantity,
                kappa=kappa,
                exact=float(truth.mean()),
                bias=float(error.mean()),
                se=sd / math.sqrt(draws),
                sd=sd,
                allowed=_cut(chosen, quantity, points.shape[1], kappa),
                finite=_finite(chosen, kappa),
                theory=_theory(chosen, kappa) if (map, quantity) == ("worst", "value") else math.nan,
            )
        )
    return rows


def partial_second_moments(kappas: Iterable[float], terms: int = 60) -> dict[str, dict[str, np.ndarray]]:
    """Partial sums of E[S²] on the worst map [terms], nats², by law and κ."""
    kappas = list(kappas)
    laws: dict[str, Callable[[float], tuple[Tail, int]]] = {
        "geometric, p = 0.5": lambda kappa: (Geometric(0.5), 2),
        "Poisson(2), 10 exact terms": lambda kappa: (Poisson(2.0), 10),
        "geometric, p = (1 − κ²)/2": lambda kappa: (Geometric((1 - kappa**2) / 2), 2),
    }
    return {
        name: {f"{kappa:g}": second_moment(law(kappa)[0], kappa, law(kappa)[1], terms).numpy() for kappa in kappas}
        for name, law in laws.items()
    }


class EstimatorStudy:
    """Every estimator on both maps over some κ.

    Args:
        kappas: Lipschitz bounds in (0, 1).
        draws: of each estimator, map and κ.

    Raises:
        InputError: a κ out of range, or fewer than 100 draws, of which no standard error could be told.
    """

    def __init__(self, kappas: Sequence[float], draws: int) -> None:
        if not kappas or not all(0 < kappa < 1 for kappa in kappas):
            raise InputError(f"kappas is {list(kappas)}, expected numbers in (0, 1)")
        if draws < 100:
            raise InputError(f"draws is {draws}, expected at least 100")
        self.kappas, self.draws = list(kappas), draws

    @cached_property
    def moments(self) -> list[Moments]:
        """All of them, measured when first asked for."""
        cases = ((name, map, kappa) for name in ESTIMATORS for map in MAPS for kappa in self.kappas)
        return [row for name, map, kappa in cases for row in moments(name, map, kappa, self.draws)]

    def worst(self, estimator: str, map: str, quantity: str) -> float | None:
        """The largest |bias| as a part of what passes, over all κ with a finite second moment; None without any."""
        chosen = (m for m in self.moments if (m.estimator, m.map, m.quantity) == (estimator, map, quantity))
        return max((abs(m.bias) / m.margin for m in chosen if m.finite), default=None)

    def check(self) -> None:
        """Print a line an estimator and map: its mean is right, wherever its second moment is finite.

        Raises:
            AssertionError: a bias beyond 4 standard errors and what is cut off.
        """
        for name in ESTIMATORS:
            for map in MAPS:
                found = [self.worst(name, map, quantity) for quantity in QUANTITIES]
                if None not in found:
                    check_below(f"{name}, {map}: |bias| over 4 standard errors and what is cut off", found, 1.0)

    def table(self) -> list[dict[str, Any]]:
        """A row an estimator, map, quantity and κ."""
        return [
            {
                "estimator": m.estimator,
                "map": m.map,
                "quantity": m.quantity,
                "κ": m.kappa,
                "exact": m.exact,
                "bias": m.bias,
                "standard error": m.se,
                "sd of a draw": m.sd,
                "sd in theory": m.theory,
                "E[S²]": "finite" if m.finite else "infinite",
            }
            for m in self.moments
        ]

    def curves(self) -> dict[str, dict[str, np.ndarray]]:
        """By map and quantity, then by estimator: rows (κ, rms error, 1 where the second moment is finite, theory)."""
        panels: dict[str, dict[str, np.ndarray]] = {}
        for map in MAPS:
            for quantity in QUANTITIES:
                by_name = {name: [] for name in ESTIMATORS}
                for m in (m for m in self.moments if (m.map, m.quantity) == (map, quantity)):
                    by_name[m.estimator].append((m.kappa, m.rms, float(m.finite), m.theory))
                panels[f"{map}, {quantity}"] = {name: np.array(rows) for name, rows in by_name.items()}
        return panels

    def record(self, record: Recorder, run: str) -> None:
        """Bias (with a verdict where E[S²] is finite) and sd on the worst map by κ; a check a map and quantity."""
        for m in (m for m in self.moments if (m.map, m.quantity) == ("worst", "value")):
            id = f"implicit/estimator-{m.estimator}/kappa-{m.kappa:g}".replace(".", "-")
            bound = {"better": "check", "at_least": -m.margin, "at_most": m.margin} if m.finite else {}
            record.add(f"{id}/bias", m.bias, run=run, **bound)
            record.add(f"{id}/sd", m.sd, run=run)
        for name in ESTIMATORS:
            for map in MAPS:
                for quantity in QUANTITIES:
                    found = self.worst(name, map, quantity)
                    if found is not None:
                        id = f"implicit/estimator-{name}/{map}/{quantity}-bias"
                        record.add(id, found, unit="1", better="check", at_most=1.0, run=run)


def _map(name: str, kappa: float) -> tuple[Callable[[Points], Points], Points]:
    """The map and the points at which it is taken."""
    if name == "worst":
        return lambda x: -kappa * x, torch.zeros(1, 1, dtype=torch.float64)
    points = SPREAD * torch.randn(POINTS, DIM, generator=stream(0, "study/points"), dtype=torch.float64)
    return contracting_network(DIM, WIDTHS, kappa), points


def _value_and_gradient(
    estimator: LogDet, g: Callable[[Points], Points], x: Points, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """The estimate of every row [n], and its derivative in the row's own scale [n]."""
    s = torch.ones(len(x), 1, dtype=x.dtype, requires_grad=True)
    value = estimator(Scaled(g, s), x, generator)
    (gradient,) = torch.autograd.grad(value.sum(), s)
    return value.detach(), gradient[:, 0]


def _draws(estimator: LogDet, g: Callable[[Points], Points], x: Points, generator: torch.Generator) -> list[Tensor]:
    """Independent estimates, value and gradient, a row each. One call shares its length N among its rows, so N is drawn
    for each row first, and rows of equal N go into one call.
    """
    if not hasattr(estimator, "tail"):
        return list(_value_and_gradient(estimator, g, x, generator))
    lengths = torch.tensor([estimator.tail.draw(generator) for _ in range(len(x))])
    found = torch.empty(2, len(x), dtype=x.dtype)
    for length in lengths.unique().tolist():
        rows = lengths == length
        pinned = replace(estimator, tail=Drawn(estimator.tail, length))
        found[:, rows] = torch.stack(_value_and_gradient(pinned, g, x[rows], generator))
    return list(found)


def _cut(estimator: LogDet, quantity: str, dim: int, kappa: float) -> float:
    """Bound on the terms that a truncation leaves out: d Σ_{k>n} κ^k/k, or d Σ_{k>n} κ^k of the gradient."""
    if not isinstance(estimator, Truncated):
        return 0.0
    rest = dim * kappa ** (estimator.terms + 1) / (1 - kappa)
    return rest / (estimator.terms + 1) if quantity == "value" else rest


def _finite(estimator: LogDet, kappa: float) -> bool:
    """Whether E[S²] is finite on every map of this κ: the ratio of its terms tends to κ²/(1 − p)."""
    tail = getattr(estimator, "tail", None)
    return tail is None or (isinstance(tail, Geometric) and kappa**2 < 1 - tail.p)


def _theory(estimator: LogDet, kappa: float) -> float:
    """The sd of a roulette of ln(1 − κ); NaN where it is infinite, and without a roulette."""
    if not hasattr(estimator, "tail") or not _finite(estimator, kappa):
        return math.nan
    square = float(second_moment(estimator.tail, kappa, estimator.exact_terms, TERMS)[-1])
    return math.sqrt(square - math.log1p(-kappa) ** 2)
