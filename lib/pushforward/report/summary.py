"""What a profile's results come to: numbers written for people, and the one line that says whether all is well."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pushforward import paths
from pushforward.report.results import Row

PASS, FAIL, INCOMPLETE = "PASS", "FAIL", "INCOMPLETE"


@dataclass(frozen=True)
class Summary:
    """Counts of verdicts, and of notebooks that ran, stopped on the way, or were never run."""

    profile: str
    verdicts: Counter[str]
    failing: list[str]
    done: list[str]
    stopped: list[str]
    missing: list[str]

    @property
    def status(self) -> str:
        """FAIL if a required check fails or a notebook stopped, INCOMPLETE if notebooks or rows are missing."""
        if self.failing or self.stopped:
            return FAIL
        return PASS if self.done and self.verdicts.total() and not self.missing else INCOMPLETE

    @property
    def checks(self) -> int:
        """Required checks, held or not."""
        return self.verdicts["holds"] + self.verdicts["fails"]

    @property
    def line(self) -> str:
        """The verdict line: ``PASS: 12 of 12 required checks hold; ...``."""
        v = self.verdicts
        parts = [
            f"{v['holds']} of {self.checks} required checks hold",
            f"against the papers {v['better']} better, {v['equal']} equal, {v['worse']} worse",
            f"{len(self.done)} of {len(self.done) + len(self.stopped) + len(self.missing)} notebooks done",
        ]
        trouble = [("failing", self.failing), ("stopped", self.stopped), ("not run", self.missing)]
        parts += [f"{word}: {', '.join(names)}" for word, names in trouble if names]
        return f"{self.status}: {'; '.join(parts)} ({self.profile} profile)"


def summarise(profile: str, rows: Sequence[Row]) -> Summary:
    """Count ``rows`` and the executed notebooks in ``results/<profile>/nb`` against the profile's list of runs."""
    folder = paths.results(profile) / "nb"
    stopped = {path.name.removesuffix(".partial.ipynb") for path in folder.glob("*.partial.ipynb")}
    done = {path.stem for path in folder.glob("*.ipynb")} - {f"{name}.partial" for name in stopped} - stopped
    wanted = {path.stem for path in paths.params(profile).glob("*.yml")}
    return Summary(
        profile=profile,
        verdicts=Counter(row.verdict for row in rows),
        failing=[row.id for row in rows if row.verdict == "fails"],
        done=sorted(done),
        stopped=sorted(stopped),
        missing=sorted(wanted - done - stopped),
    )


def load_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """Provenance records by name, from the JSON files in ``folder``."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def training_minutes(runs: dict[str, dict[str, Any]]) -> float:
    """CPU-minutes of training over all runs."""
    return sum(run["training_seconds"] for run in runs.values()) / 60


def number(value: float | None, digits: int | None = None) -> str:
    """``digits`` significant ones (4, from 100 on 5); plain where readable (0.001 to 10⁶), nothing for None."""
    if value is None:
        return ""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{_round(value, digits or (5 if abs(value) >= 100 else 4)):.10g}".replace("-", "−")
    return f"{value:.{digits or 3}g}".replace("e-0", "e-").replace("e+0", "e").replace("-", "−")


def measured(row: Row) -> str:
    """``mean ± sd (n)``, with the decimals that the standard deviation allows."""
    if not row.sd:
        return number(row.value) + (f" ({row.n})" if row.n > 1 else "")
    decimals = 1 - math.floor(math.log10(row.sd))
    if 0 <= decimals <= 5 and abs(row.value) < 1e6:
        return f"{row.value:.{decimals}f} ± {row.sd:.{decimals}f} ({row.n})".replace("-", "−")
    return f"{number(row.value)} ± {number(row.sd)} ({row.n})"


def exact(value: float | None) -> str:
    """A published number with all its digits (six at most)."""
    return number(value, 6)


def difference(row: Row) -> str:
    """Measured minus published, with its sign; nothing where nothing is published."""
    if row.published is None:
        return ""
    gap = row.value - row.published
    return ("+" if gap > 0 else "") + number(_round(gap, 3))


def _round(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
