"""The rows of results.csv: one number each, judged against its paper or its bound when it is recorded."""

import csv
import io
import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pushforward import paths
from pushforward.errors import InputError, NonFinite
from pushforward.files import write_atomic
from pushforward.report.provenance import check_name, run_name
from pushforward.report.published import Published, load_published

ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*){3}")
BETTER = ("lower", "higher", "check")
VERDICTS = ("better", "equal", "worse", "holds", "fails", "-")


@dataclass(frozen=True)
class Row:
    """One number: its mean over ``n`` seeds, what the paper says, and where it comes from. Unknown numbers are None."""

    id: str
    value: float
    sd: float | None
    n: int
    unit: str
    better: str
    published: float | None
    source: str
    verdict: str
    profile: str
    notebook: str
    seconds: float | None
    run: str

    @property
    def parts(self) -> list[str]:
        """Topic, case, method and quantity."""
        return self.id.split("/")


COLUMNS = tuple(field.name for field in fields(Row))


class Recorder:
    """Collects the rows of one notebook and writes them to ``results/<profile>/rows/<notebook>.csv``."""

    def __init__(self, notebook: str, profile: str) -> None:
        self.notebook = run_name(check_name(notebook))
        self.profile = profile
        self.rows: list[Row] = []
        self._published = load_published()

    def add(
        self,
        id: str,
        values: float | Iterable[float],
        *,
        unit: str = "nats",
        better: str = "lower",
        seconds: float | Iterable[float] | None = None,
        run: str = "",
        tolerance: float = 0.0,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> Row:
        """Record a number, or one number per seed, and judge it.

        Args:
            id: ``<topic>/<case>/<method>/<quantity>``, lower case with hyphens.
            values: one number, or one per seed.
            better: ``lower`` or ``higher`` compares with the published number, if there is one; ``check`` requires
                ``at_most`` and/or ``at_least``, and a run whose check fails makes ``make reproduce`` fail.
            seconds: CPU-seconds of training, one number or one per seed (their mean is kept).
            run: name of the provenance JSON.
            tolerance: a difference from the published number up to this, in ``unit``, counts as equal.

        Raises:
            InputError: a malformed or repeated id, another unit than the published number's, a check without bound.
            NonFinite: a value that is NaN or infinite.
        """
        self._check(id, better, at_most, at_least)
        sample = _numbers(id, values)
        published = self._published.get(id)
        if published and published.unit != unit:
            raise InputError(f"{id} is in {unit}, published in {published.unit} ({published.source}): convert it")
        mean = statistics.fmean(sample)
        sd = statistics.stdev(sample) if len(sample) > 1 else None
        if better == "check":
            verdict = bound_verdict(mean, at_most, at_least)
        else:
            verdict = paper_verdict(mean, sd, len(sample), better, published, tolerance)
        row = Row(
            id=id,
            value=mean,
            sd=sd,
            n=len(sample),
            unit=unit,
            better=better,
            published=published.value if published else None,
            source="; ".join(filter(None, [published.source if published else "", _bound(at_most, at_least)])),
            verdict=verdict,
            profile=self.profile,
            notebook=self.notebook,
            seconds=None if seconds is None else statistics.fmean(_numbers(id, seconds)),
            run=run,
        )
        self.rows.append(row)
        return row

    def _check(self, id: str, better: str, at_most: float | None, at_least: float | None) -> None:
        if not ID.fullmatch(id):
            raise InputError(f"{id!r} is no id: expected topic/case/method/quantity in lower case with hyphens")
        if any(row.id == id for row in self.rows):
            raise InputError(f"{id} is recorded twice: give all its seeds in one call")
        if better not in BETTER:
            raise InputError(f"better is {better!r}, expected one of {', '.join(BETTER)}")
        if (better == "check") != (at_most is not None or at_least is not None):
            raise InputError(f"{id}: better='check' and a bound (at_most, at_least) go together")

    def save(self) -> Path:
        """Write the rows, atomically; returns the path."""
        return write_rows(paths.results(self.profile) / "rows" / f"{self.notebook}.csv", self.rows)


def paper_verdict(
    mean: float, sd: float | None, n: int, better: str, published: Published | None, tolerance: float = 0.0
) -> str:
    """``equal`` within two standard errors (known from two seeds on) or ``tolerance``, else ``better`` or ``worse``.

    ``-`` where nothing is published, or what is published belongs to another law.
    """
    if published is None or not published.comparable:
        return "-"
    margin = max(tolerance, 2 * sd / math.sqrt(n) if sd is not None else 0.0)
    gain = published.value - mean if better == "lower" else mean - published.value
    if abs(gain) <= margin:
        return "equal"
    return "better" if gain > 0 else "worse"


def bound_verdict(mean: float, at_most: float | None, at_least: float | None) -> str:
    """``holds`` if at_least <= mean <= at_most, else ``fails``."""
    low = -math.inf if at_least is None else at_least
    high = math.inf if at_most is None else at_most
    return "holds" if low <= mean <= high else "fails"


def _bound(at_most: float | None, at_least: float | None) -> str:
    parts = [f"{word} {bound:g}" for word, bound in (("at least", at_least), ("at most", at_most)) if bound is not None]
    return "required: " + " and ".join(parts) if parts else ""


def _numbers(id: str, values: float | Iterable[float]) -> list[float]:
    plain = values.tolist() if hasattr(values, "tolist") else values  # an array or a tensor, of any rank
    sample = [float(v) for v in plain] if isinstance(plain, Iterable) else [float(plain)]
    if not sample:
        raise InputError(f"{id} has no value: give one per seed")
    if not all(map(math.isfinite, sample)):
        raise NonFinite(f"{id} is {sample}: a number that is not finite is no result; see the run's history")
    return sample


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows in the columns of results.csv, atomically; six significant digits, empty where unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else "" if v is None else v for v in asdict(row).values()])
    return write_atomic(path, text.getvalue())


def read_rows(path: Path) -> list[Row]:
    """Rows as ``write_rows`` wrote them.

    Raises:
        InputError: no such file, or other columns.
    """
    if not path.is_file():
        raise InputError(f"no results in {path}: run `make reproduce` first")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{path} has the columns {reader.fieldnames}, expected {', '.join(COLUMNS)}")
        return [_row(cells) for cells in reader]


def _row(cells: dict[str, str]) -> Row:
    numbers = {name: float(cells[name]) if cells[name] else None for name in ("sd", "published", "seconds")}
    return Row(**{**cells, **numbers, "value": float(cells["value"]), "n": int(cells["n"])})


def merge(profile: str) -> list[Row]:
    """Join the notebooks' rows into ``results/<profile>/results.csv``, notebook by notebook; returns them.

    Raises:
        InputError: two notebooks recorded the same id.
    """
    folder = paths.results(profile)
    rows = [row for path in sorted((folder / "rows").glob("*.csv")) for row in read_rows(path)]
    owner: dict[str, str] = {}
    for row in rows:
        if owner.setdefault(row.id, row.notebook) != row.notebook:
            raise InputError(
                f"{row.id} comes from {owner[row.id]} and from {row.notebook}: record it in one of them, "
                "or `make clean` if a notebook has a new name"
            )
    write_rows(folder / "results.csv", rows)
    return rows
