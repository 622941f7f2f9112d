"""The rows of one benchmark in the columns of results.csv, and the provenance that they name."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pushforward import paths
from pushforward.errors import InputError
from pushforward.report.benchmarks import BENCH
from pushforward.report.provenance import Data, Run
from pushforward.report.results import ID, Row, write_rows
from pushforward.report.summary import measured

CASE = "bench/jko-rose"  # topic and case of every id
NUMBER = "99"  # a run's name begins with a notebook's number; the benchmarks stand after them all


class Sheet:
    """Collects rows and writes ``results/bench/<name>.csv``. Make it before the work: its clocks start here.

    Args:
        name: of the benchmark.
        parameters: all that was set, for the provenance.
        seeds: one a round.
    """

    def __init__(self, name: str, parameters: Mapping[str, Any], seeds: Sequence[int]) -> None:
        self.name, self.rows = name, []
        self._run = Run(f"{NUMBER}-{name}", BENCH, parameters=parameters, seeds=seeds)

    def add(self, id: str, values: Sequence[float], unit: str, better: str, note: str = "") -> Row:
        """Record one number a round: the value is their median, the spread their standard deviation and range.

        Raises:
            InputError: a malformed or repeated id, or no value.
        """
        if not ID.fullmatch(id) or any(row.id == id for row in self.rows):
            raise InputError(f"{id!r} is malformed or recorded twice, expected a new topic/case/method/quantity")
        if not values:
            raise InputError(f"{id} has no value: give one a round")
        row = Row(
            id=id,
            value=float(statistics.median(values)),
            sd=statistics.stdev(values) if len(values) > 1 else None,
            n=len(values),
            unit=unit,
            better=better,
            published=None,
            source="; ".join(filter(None, [_spread(values), note])),
            verdict="-",
            profile=BENCH,
            notebook="benchmarks",
            seconds=None,
            run=self._run.name,
        )
        self.rows.append(row)
        return row

    def save(self, data: Iterable[Data], **facts: Any) -> list[Row]:
        """Write the rows and the provenance with its data sets, both atomically; returns the rows."""
        self._run.save(data=data, **facts)
        write_rows(paths.results(BENCH) / f"{self.name}.csv", self.rows)
        return self.rows


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """One ratio a round: both sides of a round met the same neighbours on the machine."""
    return [a / b for a, b in zip(above, below, strict=True)]


def table(rows: Sequence[Row]) -> str:
    """Rows for the terminal: id, value with its spread, unit, note."""
    cells = [(row.id, measured(row), row.unit, row.source) for row in rows]
    widths = [max((len(line[i]) for line in cells), default=0) for i in range(3)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[3]]) for line in cells)


def _spread(values: Sequence[float]) -> str:
    return f"median of {len(values)}, {min(values):.3g} to {max(values):.3g}" if len(values) > 1 else ""
