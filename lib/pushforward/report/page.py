"""The results page: ``python -m pushforward.report.page PROFILE`` writes ``results/<profile>/index.html``.

It joins the notebooks' rows into results.csv on the way, and leaves the verdict line in verdict.txt for make to print.
Everything is read from files, so the page can be redrawn on any machine that has the results folder.
"""

import sys
from datetime import datetime, timezone
from pathlib import Path

import jinja2

from pushforward import paths
from pushforward.errors import PushforwardError
from pushforward.files import write_atomic
from pushforward.report.benchmarks import benchmarks
from pushforward.report.results import merge
from pushforward.report.sections import commit, sections, stand_ins, words
from pushforward.report.summary import (
    Summary,
    difference,
    exact,
    load_runs,
    measured,
    number,
    summarise,
    training_minutes,
)

MARKS = {"better": "▲", "equal": "=", "worse": "▼", "holds": "✓", "fails": "✗", "-": "·"}


def build(profile: str) -> tuple[Path, Summary]:
    """Merge the rows, write the page and the verdict line; returns the page's path and the summary."""
    folder = paths.results(profile)
    rows = merge(profile)
    summary = summarise(profile, rows)
    runs = load_runs(folder / "runs")
    html = _template().render(
        summary=summary,
        sections=sections(folder, rows, runs),
        rows=rows,
        stand_ins=sorted(
            {f"{item['name']} for {item['stand_in_for']}" for run in runs.values() for item in stand_ins(run)}
        ),
        benchmarks=benchmarks(folder),
        runs=list(runs.values()),
        commits=sorted({commit(run) for run in runs.values()}),
        minutes=training_minutes(runs),
        built=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    )
    page = write_atomic(folder / "index.html", html)
    write_atomic(folder / "verdict.txt", summary.line + "\n")
    return page, summary


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,  # a misspelt name is an error, not a hole in the page
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "measured": measured,
        "difference": difference,
        "number": number,
        "exact": exact,
        "words": words,
    }
    environment.globals |= {"MARKS": MARKS, "commit": commit}
    return environment.get_template("page.html")


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns 0 when the page was written, whatever its verdict."""
    names = sys.argv[1:] if arguments is None else arguments
    if len(names) != 1:
        print("usage: python -m pushforward.report.page PROFILE", file=sys.stderr)
        return 2
    try:
        page, _ = build(names[0])
    except PushforwardError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {page.relative_to(Path.cwd()) if page.is_relative_to(Path.cwd()) else page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
