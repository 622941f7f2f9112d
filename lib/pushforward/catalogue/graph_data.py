"""Points with labels on a graph: the generated ramping series, a user's own, and the Gaussian that fits them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pushforward.datasets import Split
from pushforward.datasets.series import read_series
from pushforward.distributions import RampingSeries
from pushforward.errors import InputError
from pushforward.seeds import stream
from pushforward.shapes import PerPoint, Points

DRAWS = 2000  # of a label configuration
LEAST_ROWS = 2  # of a label configuration, for a standard error


@dataclass(frozen=True)
class GraphData:
    """Points [n, nodes · (features + 1)], labels last, on a graph; ``law`` is their truth where it is known."""

    name: str
    split: Split
    adjacency: list[list[float]]
    law: RampingSeries | None = None

    @property
    def nodes(self) -> int:
        """How many sites."""
        return len(self.adjacency)

    @property
    def features(self) -> int:
        """Numbers a site."""
        return self.split.dim // self.nodes - 1

    def labels(self, points: Points) -> Tensor:
        """Those of the points [n, nodes]."""
        return points[:, -self.nodes :]

    def given(self, wanted: Sequence[int] | Tensor, count: int = DRAWS, seed: int = 0) -> Points:
        """Points with the labels ``wanted`` [nodes]: ``count`` exact draws, or else the test rows that have them.

        Raises:
            InputError: another number of labels, not 0 or 1, or too few test rows that have them.
        """
        row = torch.as_tensor(wanted, dtype=self.split.test.dtype)
        if row.shape != (self.nodes,) or not ((row == 0) | (row == 1)).all():
            raise InputError(f"labels are {wanted}, expected {self.nodes} numbers 0 or 1: one for every site")
        if self.law is not None:
            labels = row.expand(count, -1)
            x = self.law.features_given(labels.double(), stream(seed, f"given/{row.int().tolist()}"))
            return torch.cat([x.to(row.dtype), labels], 1)
        found = self.split.test[(self.labels(self.split.test) == row).all(1)]
        if len(found) < LEAST_ROWS:
            raise InputError(f"{len(found)} test rows have the labels {wanted}, expected {LEAST_ROWS} or more")
        return found


def generated(train: int, held_out: int, seed: int = 0) -> GraphData:
    """The ramping series on ten sites, whose law given the labels is known: ``held_out`` points each val and test."""
    law = RampingSeries()
    split = Split.from_distribution(law, train, held_out, held_out, seed)
    return GraphData("graph", split, law.adjacency, law)


def own(path: Path | str) -> GraphData:
    """A user's series, under the name of its file; see ``datasets.series.read_series``, which raises."""
    series = read_series(path)
    name = re.sub(r"[^a-z0-9]+", "-", Path(path).stem.lower()).strip("-") or "series"
    return GraphData(name, series.split, series.adjacency)


def load(path: str, train: int, held_out: int) -> GraphData:
    """The series in the file ``path``; the generated one where that is empty."""
    return own(path) if path else generated(train, held_out)


def frequent(data: GraphData, count: int = 2) -> list[list[int]]:
    """The label configurations that most test rows have."""
    rows, how_many = data.labels(data.split.test).unique(dim=0, return_counts=True)
    return rows[how_many.argsort(descending=True, stable=True)][:count].int().tolist()


class LabelledGaussian:
    """The reference without a flow: a Gaussian of the features for every configuration of the labels.

    Of the generated series the one with the moments of the law, which no other Gaussian given labels comes nearer to;
    of another series least squares: a mean linear in the labels and one covariance, from the training points.
    """

    def __init__(self, data: GraphData) -> None:
        self.data = data
        self.law = data.law
        if self.law is None:
            x, design = self._parts(data.split.train)
            self.slopes = torch.linalg.lstsq(design, x, driver="gelsd").solution  # a label may never vary
            rest = x - design @ self.slopes
            self.covariance = rest.T @ rest / len(rest)

    def log_prob(self, points: Points) -> PerPoint:
        """log p(features | labels) in nats [n] of points with their labels, computed in float64."""
        x, design = self._parts(points)
        if self.law is not None:
            mean, covariance = self.law.moments(design[:, 1:])
        else:
            mean, covariance = design @ self.slopes, self.covariance
        return torch.distributions.MultivariateNormal(mean, covariance).log_prob(x).to(points.dtype)

    def _parts(self, points: Points) -> tuple[Points, Tensor]:
        labels = self.data.labels(points).double()
        return points[:, : -self.data.nodes].double(), torch.cat([labels.new_ones(len(labels), 1), labels], 1)
