"""The page's benchmarks: what ``make bench`` left, a table a benchmark, and what it was measured on."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pushforward import paths
from pushforward.report.results import Row, read_rows
from pushforward.report.summary import load_runs

BENCH = "bench"  # the benchmarks' folder beside those of the profiles


@dataclass(frozen=True)
class Benchmark:
    """The rows of one CSV; ``published`` where they come with the checkout and were not measured in it."""

    name: str
    path: str  # of the CSV, as a link of the page
    rows: list[Row]
    run: dict[str, Any] | None  # its provenance, if there is a record
    record: str  # where it stands, as a link
    published: bool


def benchmarks(page: Path) -> list[Benchmark]:
    """Every CSV in ``results/bench``, or in ``data/results/bench`` if it has none; links from folder ``page``.

    Raises:
        InputError: a CSV has other columns than results.csv.
    """
    own, published = paths.results(BENCH), paths.committed_results() / BENCH
    folder = own if any(own.glob("*.csv")) else published
    runs = load_runs(folder / "runs")
    return [_benchmark(path, runs, page, folder is published) for path in sorted(folder.glob("*.csv"))]


def _benchmark(path: Path, runs: dict[str, dict[str, Any]], page: Path, published: bool) -> Benchmark:
    rows = read_rows(path)
    name = rows[0].run if rows else ""
    record = _link(path.parent / "runs" / f"{name}.json", page)
    return Benchmark(path.stem, _link(path, page), rows, runs.get(name), record, published)


def _link(path: Path, page: Path) -> str:
    return Path(os.path.relpath(path, page)).as_posix()
