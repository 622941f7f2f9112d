"""How straight and how short the ways of a flow are: JKO-iFlow against an unregularised CNF (2212.14424, Fig. 1)."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from pushforward import metrics
from pushforward.catalogue.jko_rounds import RoundsCase
from pushforward.catalogue.settings import family
from pushforward.experiment import Result, train_once
from pushforward.families import FFJORD
from pushforward.families.parent import Parent
from pushforward.flows import Chain, Flow
from pushforward.report.results import Recorder
from pushforward.shapes import Paths, Points

POINTS = 1000
NLL_POINTS = 5000
SEGMENTS = 64  # straight ones that make up a path


class PathStudy:
    """Paths of one law under several flows, from whitened data to noise.

    Args:
        trainings: by method, all that its flow took; the flow is that of the last. The points are the same for all, and
            the first method is the one that the others are compared with.
    """

    def __init__(self, name: str, trainings: Mapping[str, Sequence[Result]]) -> None:
        self.name, self.trainings = name, dict(trainings)
        self.results = {method: results[-1] for method, results in trainings.items()}

    def cost(self, method: str, what: str) -> float:
        """``seconds`` or ``evaluations`` of all that the flow of ``method`` took."""
        return sum(getattr(result.history, what) for result in self.trainings[method])

    @property
    def trained(self) -> list[Result]:
        """What was trained for this comparison alone."""
        return [result for method, result in self.results.items() if not method.startswith("jko-iflow")]

    @cached_property
    def paths(self) -> dict[str, Paths]:
        """By method, ways of test points [stops, n, 2] behind the preconditioners."""
        return {method: ways(r.flow, r.split.test[:POINTS]) for method, r in self.results.items()}

    @cached_property
    def measured(self) -> dict[str, dict[str, float]]:
        """By method: what ``lengths`` says, and the test NLL in nats."""
        nll = {method: metrics.nll(r.flow, r.split.test[:NLL_POINTS]).value for method, r in self.results.items()}
        return {method: {**lengths(path), "nll": nll[method]} for method, path in self.paths.items()}

    @property
    def length_ratios(self) -> dict[str, float]:
        """Mean length of the paths of every other method over that of the first."""
        first, *others = self.measured
        base = self.measured[first]["length"]
        return {other: self.measured[other]["length"] / base for other in others}

    def shown(self, points: int = 60) -> dict[str, np.ndarray]:
        """The first ways, for a figure."""
        return {method: path[:, :points].numpy() for method, path in self.paths.items()}

    def table(self) -> list[dict[str, Any]]:
        """A row a method."""
        return [
            {"case": self.name, "method": method, "length": row["length"], "length over distance": row["detour"]}
            | {"rms distance over W2": row["transport"], "NLL": row["nll"]}
            | {"evaluations": self.cost(method, "evaluations"), "CPU s": self.cost(method, "seconds")}
            for method, row in self.measured.items()
        ]

    def record(self, record: Recorder, run: str) -> None:
        """Put every number into the results table."""
        for method, row in self.measured.items():
            case, spent = f"jko/{self.name}-paths/{method}", self.cost(method, "seconds")
            record.add(f"{case}/length", row["length"], unit="1", run=run)
            record.add(f"{case}/length-over-distance", row["detour"], unit="ratio", run=run)
            record.add(f"{case}/distance-over-w2", row["transport"], unit="ratio", run=run)
            record.add(f"{case}/nll", row["nll"], seconds=spent, run=run)
        for method, ratio in self.length_ratios.items():
            record.add(f"jko/{self.name}-paths/{method}/length-over-jko-iflow", ratio, unit="ratio", run=run)


@torch.no_grad()
def ways(flow: Flow, x: Points) -> Paths:
    """Paths [stops, n, d] of data points x [n, d] through the ODE blocks of ``flow``, from whitened data to noise.

    Raises:
        InputError: the flow is not preconditioners and ODE blocks.
    """
    parts = Parent.of(flow)
    for bijection in parts.preconditioners:
        x = bijection(x)
    return Chain(flow.dim, parts.blocks).path(x, 1 + max(1, SEGMENTS // len(parts.blocks)))


def lengths(path: Paths) -> dict[str, float]:
    """Of paths [stops, n, d]: ``length``, the mean; ``detour``, it over the mean distance of the ends, 1 if straight;
    ``transport``, the root mean square of the distance over W2 of the two ends, 1 if transport is optimal.
    """
    length = (path[1:] - path[:-1]).norm(dim=2).sum(0).mean()
    distance = (path[-1] - path[0]).norm(dim=1)
    optimal = metrics.w2(path[0], path[-1])
    found = {"length": length, "detour": length / distance.mean()}
    return {name: float(value) for name, value in found.items()} | {
        "transport": float(distance.square().mean().sqrt()) / optimal
    }


def against_ffjord(name: str, rounds: RoundsCase, settings: Mapping[str, Any], seed: int = 0) -> PathStudy:
    """Train FFJORD, one flow without a price on its path, on the points of ``rounds``, and compare.

    Raises:
        InputError: an unknown setting.
    """
    until = rounds.results[: rounds.chosen + 1]
    other = train_once(f"{name}-paths-ffjord", family(FFJORD, settings), until[0].split, seed=seed)
    return PathStudy(name, {"jko-iflow": until[:1], "jko-iflow-reparameterised": until, "ffjord": [other]})
