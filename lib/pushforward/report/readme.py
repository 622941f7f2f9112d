"""The README's results: what ``data/results`` holds, written between two markers; the rest of the page stays."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from pushforward import paths
from pushforward.errors import InputError
from pushforward.files import write_atomic
from pushforward.report.published import Published, load_published
from pushforward.report.results import Row, read_rows
from pushforward.report.summary import exact, load_runs, measured, number, training_minutes

PROFILES = ("paper", "quick", "smoke")  # the heaviest run comes first
START, END = "<!-- results:start -->", "<!-- results:end -->"
HEAD = "| number | paper | measured ± sd (seeds) | unit | verdict | run |\n| --- | ---: | ---: | --- | --- | --- |"


def update_readme() -> Path:
    """Rewrite the README between its two markers from what ``data/results`` holds.

    Raises:
        InputError: the markers are missing or in the wrong order.
    """
    readme = paths.root() / "README.md"
    before, start, rest = readme.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise InputError(f"README.md lacks {START} ... {END}: put the two lines where the results belong")
    known = load_published()
    parts = [_profile(paths.committed_results() / name, known) for name in PROFILES]
    return write_atomic(readme, "\n\n".join([f"{before}{START}", *filter(None, parts), f"{END}{after}"]))


def _profile(folder: Path, known: dict[str, Published]) -> str:
    """One profile: the numbers that a paper has too, then, folded, one level a method for every topic."""
    if not (folder / "results.csv").is_file():
        return ""
    rows, runs = read_rows(folder / "results.csv"), load_runs(folder / "runs")
    checks = [row.verdict for row in rows if row.better == "check"]
    commits = sorted({str(run["commit"])[:10] for run in runs.values()})
    machine = next((run["gpu"] or run["cpu"] for run in runs.values()), "")
    made = f"commit {', '.join(commits)}, {machine}, {number(training_minutes(runs))} CPU-minutes of training"
    beside = [row for row in rows if row.published is not None]
    return "\n\n".join(
        [
            f"**Profile `{folder.name}`** ({made}; {checks.count('holds')} of {len(checks)} required checks hold). "
            f"`make run RUN=<run> PROFILE={folder.name}` makes a number again.",
            _table(beside, known),
            *(_folded(topic, list(group), known) for topic, group in groupby(_levels(rows), lambda row: row.parts[0])),
        ]
    )


def _levels(rows: Sequence[Row]) -> list[Row]:
    """One level a method, by topic: its excess where the truth is known, else its NLL."""
    known = {tuple(row.parts[:3]) for row in rows if row.parts[3] == "nll-excess"}

    def is_level(row: Row) -> bool:
        return row.parts[3] == "nll-excess" or (row.parts[3] == "nll" and tuple(row.parts[:3]) not in known)

    return sorted(filter(is_level, rows), key=lambda row: row.parts[0])


def _folded(topic: str, rows: Sequence[Row], known: dict[str, Published]) -> str:
    title = f"<details><summary>Every level of <code>{topic}</code>: {len(rows)} numbers</summary>"
    return f"{title}\n\n{_table(rows, known)}\n\n</details>"


def _table(rows: Sequence[Row], known: dict[str, Published]) -> str:
    return "\n".join([HEAD, *(_line(row, known) for row in rows)])


def _line(row: Row, known: dict[str, Published]) -> str:
    caveat = "" if row.id not in known or known[row.id].comparable else " (not comparable)"
    paper = f"{exact(row.published)}{caveat}" if row.published is not None else ""
    unit = "" if row.unit == "1" else row.unit
    return f"| `{row.id}` | {paper} | {measured(row)} | {unit} | {row.verdict} | {row.notebook} |"
