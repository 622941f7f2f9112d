"""A user's own series on a graph, by the recipe of the solar data of IGNN and JKO-iFlow."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pushforward.datasets.preprocessing import Standardise
from pushforward.datasets.split import Split
from pushforward.errors import DataError, InputError
from pushforward.shapes import Points

LOW = (40.0, 35.0)  # W/m² of diffuse horizontal irradiance
NEIGHBOURS = 2  # beside the node itself
LEAST = 40  # rows: fewer cannot be split and standardised


@dataclass(frozen=True)
class GraphSeries:
    """Points [n, 3 · nodes] in ``split``: (current, previous) node after node, then the labels; and the graph."""

    split: Split
    adjacency: list[list[float]]

    @property
    def nodes(self) -> int:
        """How many sites."""
        return len(self.adjacency)


def read_series(path: Path | str, low: tuple[float, float] = LOW) -> GraphSeries:
    """A text file of comma-separated numbers, a column a site with its name in the first line, a row a period.

    Raises:
        DataError: the file is missing or holds no such table; InputError: as ``series_on_graph``.
    """
    path = Path(path)
    try:
        values = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}), expected a line of names, then a row of numbers a period, "
            "separated by commas"
        ) from error
    return series_on_graph(values, low, path.stem)


def series_on_graph(values: np.ndarray | Tensor, low: tuple[float, float] = LOW, name: str = "series") -> GraphSeries:
    """Rows of (current, previous) with ramp labels, and the graph of sites that ramp together.

    Train is the first three quarters of the rows in time, its last tenth val; test is the rest, standardised by the
    means and deviations of train and val (the source standardises test by its own). Two nodes are linked where one is
    among the two whose labels, in train and val, agree with the other's most often. Source: IGNN (arXiv 2206.01163).

    Args:
        values: [periods, sites], not negative, such as irradiance averaged over each period.
        low: also labelled is a site whose previous value is below the first and whose current one is below the second
            (which is which is not confirmed).

    Raises:
        InputError: no finite table [periods, sites] of numbers that are not negative, with 40 periods and 3 sites or
            more; or a site that never changes.
    """
    table = _checked(values)
    current, previous = table[1:], table[:-1]
    labels = ramps(current, previous, low)
    seen = len(current) * 3 // 4
    features = torch.stack([current, previous], 2).flatten(1)
    nodes = table.shape[1]
    centre, scale = features[:seen].mean(0), features[:seen].std(0, correction=0)
    recipe = Standardise((*centre.tolist(), *[0.0] * nodes), (*scale.tolist(), *[1.0] * nodes))
    points = recipe.forward(torch.cat([features, labels], 1)).float()
    held = seen // 10
    train, val, test = points.split([seen - held, held, len(points) - seen])
    split = Split(train, val, test, name, "given by the caller", "the caller's", recipe)
    return GraphSeries(split, similarity_graph(labels[:seen]))


def ramps(current: Points, previous: Points, low: tuple[float, float] = LOW) -> Tensor:
    """1 where a value more than doubles or more than halves, or both are very low; float64 [n, nodes]."""
    change = (current > 2 * previous) | (current < 0.5 * previous)
    return (change | ((previous < low[0]) & (current < low[1]))).double()


def similarity_graph(labels: Tensor) -> list[list[float]]:
    """Each node beside the two whose labels [n, nodes] agree with its own most often, either way; weights 1."""
    agreement = labels.T @ labels + (1 - labels).T @ (1 - labels)
    agreement.fill_diagonal_(-1)
    nearest = agreement.argsort(dim=1, descending=True, stable=True)[:, :NEIGHBOURS]
    adjacency = torch.zeros_like(agreement).scatter(1, nearest, 1.0)
    return torch.maximum(adjacency, adjacency.T).tolist()


def _checked(values: np.ndarray | Tensor) -> Tensor:
    try:
        table = torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"values are no numbers ({error}), expected a table [periods, sites]") from error
    if table.ndim != 2 or table.shape[0] < LEAST or table.shape[1] < 3:
        raise InputError(f"values have shape {tuple(table.shape)}, expected {LEAST} periods and 3 sites or more")
    bad = ~(table.isfinite() & (table >= 0))
    if bad.any():
        row, site = bad.nonzero()[0].tolist()
        raise InputError(f"values[{row}, {site}] is {float(table[row, site])}, expected a finite number, 0 or more")
    return table
