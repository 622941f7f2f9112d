"""What the results page shows, gathered from the results folder: one section per notebook number."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image

from pushforward.report.published import Published, load_published
from pushforward.report.results import Row

TABLE_ROWS = 60  # a longer table is linked, not shown
NAMES = {
    **{"bsds300": "BSDS300", "cifar": "CIFAR", "mnist": "MNIST", "miniboone": "MINIBOONE", "gaussians": "Gaussians"},
    **{"jko iflow": "JKO-iFlow", "ot flow": "OT-Flow", "score sde": "ScoreSDE", "i resnet": "i-ResNet", "ignn": "IGNN"},
    **{"ffjord": "FFJORD", "nsf": "NSF", "maf": "MAF", "cnf": "CNF", "impflow": "ImpFlow", "resflow": "ResFlow"},
    **{"nll": "NLL", "mmd": "MMD", "fid": "FID", "kl": "KL", "w2": "W2", "jko": "JKO", "gaussian": "Gaussian"},
}
Runs = dict[str, dict[str, Any]]  # provenance records by name


@dataclass(frozen=True)
class Line:
    """One line of a comparison: a measured row, or a paper's number that was not measured (row None)."""

    method: str
    quantity: str
    row: Row | None
    published: Published | None
    note: int | None
    stand_in: bool


@dataclass(frozen=True)
class Picture:
    """A figure with its size, so that the page does not jump while it loads."""

    path: str
    pdf: str | None
    caption: str
    width: int
    height: int


@dataclass(frozen=True)
class Table:
    """A small table that a notebook saved."""

    path: str
    caption: str
    head: list[str]
    body: list[list[str]]
    shown: bool


@dataclass(frozen=True)
class Section:
    """What the notebooks with one number found."""

    number: str
    title: str
    lead: str
    notebooks: list[str]
    cases: list[tuple[str, list[Line]]]
    notes: list[str]
    pictures: list[Picture]
    tables: list[Table]
    runs: list[dict[str, Any]]


def sections(folder: Path, rows: Sequence[Row], runs: Runs) -> list[Section]:
    """A section for every notebook number found among executed notebooks in ``folder`` and ``rows``, in order."""
    names = [path.name for path in (folder / "nb").glob("*.ipynb")] + [row.notebook for row in rows]
    published = load_published()
    return [_section(number, folder, rows, runs, published) for number in sorted({name[:2] for name in names})]


def _section(
    number: str,
    folder: Path,
    rows: Sequence[Row],
    runs: Runs,
    published: dict[str, Published],
) -> Section:
    notebooks = sorted(path.name for path in (folder / "nb").glob(f"{number}-*.ipynb"))
    title, lead = _heading(folder / "nb" / notebooks[0]) if notebooks else (f"Notebook {number}", "")
    mine = [row for row in rows if row.notebook.startswith(number)]
    notes: list[str] = []
    by_case = groupby(sorted(mine, key=lambda row: _first(mine, row.parts[1])), key=lambda row: row.parts[1])
    cases = [(case, _lines(list(group), runs, published, notes)) for case, group in by_case]
    return Section(
        number=number,
        title=title,
        lead=lead,
        notebooks=notebooks,
        cases=cases,
        notes=notes,
        pictures=[_picture(path) for path in sorted((folder / "figures").glob(f"{number}-*.png"))],
        tables=[_table(path) for path in sorted((folder / "tables").glob(f"{number}-*.csv"))],
        runs=[record for name, record in runs.items() if name.startswith(number)],
    )


def _first(rows: Sequence[Row], case: str) -> int:
    """Where a case first stands: cases keep the order in which the notebook recorded them."""
    return next(i for i, row in enumerate(rows) if row.parts[1] == case)


def _lines(rows: Sequence[Row], runs: Runs, published: dict[str, Published], notes: list[str]) -> list[Line]:
    """The case's measured rows, each quantity followed by what the papers report for other methods of the same case."""
    lines: list[Line] = []
    measured_ids = {row.id for row in rows}
    last = {(row.parts[0], row.parts[3]): row.id for row in rows}
    for row in rows:
        topic, case, method, quantity = row.parts
        stand_in = bool(stand_ins(runs.get(row.run, {})))
        paper = published.get(row.id)
        lines.append(Line(method, quantity, row, paper, _note(paper, notes), stand_in))
        if last[topic, quantity] != row.id:
            continue
        for other in published.values():
            if other.id not in measured_ids and re.fullmatch(f"{topic}/{case}/[^/]+/{quantity}", other.id):
                lines.append(Line(other.id.split("/")[2], quantity, None, other, _note(other, notes), False))
    return lines


def _note(paper: Published | None, notes: list[str]) -> int | None:
    """The number of the footnote with this paper's note, adding it if it is new."""
    if paper is None or not paper.note:
        return None
    if paper.note not in notes:
        notes.append(paper.note)
    return notes.index(paper.note) + 1


def stand_ins(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The data sets of a run that stand in for real ones."""
    return [item for item in run.get("data", []) if item["stand_in_for"]]


def commit(run: dict[str, Any]) -> str:
    """A run's commit, short, with a word where the tree had changes."""
    return str(run["commit"])[:10] + (" with local changes" if run["dirty"] else "")


def _heading(notebook: Path) -> tuple[str, str]:
    """The notebook's title and its first paragraph as plain text."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    paragraphs = [part.strip() for part in "\n\n".join(texts).split("\n\n") if part.strip()]
    titles = [part for part in paragraphs if part.startswith("# ")]
    title = titles[0].splitlines()[0] if titles else notebook.stem
    leads = [part for part in paragraphs if part[0] not in "#|<>!$-*" or part.startswith("**")]
    lead = _plain(leads[0]) if leads and "$" not in leads[0] else ""  # formulas need what the page does not load
    return _plain(title.removeprefix("# ")), re.sub(r"^Question\W+", "", lead)


def _plain(markdown: str) -> str:
    """Markdown without its links, emphasis and code marks."""
    return re.sub(r"[*`]+|(?<!\w)_|_(?!\w)", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(markdown.split())))


def words(slug: str) -> str:
    """``round-trip`` as ``round trip``, with the proper names written as their owners do: ``OT-Flow``, ``NLL``."""
    return re.sub("|".join(rf"\b{name}\b" for name in NAMES), lambda m: NAMES[m[0]], slug.replace("-", " "))


def _picture(path: Path) -> Picture:
    with Image.open(path) as image:
        caption, (width, height) = image.info.get("Description", ""), image.size
    pdf = path.with_suffix(".pdf")
    return Picture(f"figures/{path.name}", f"figures/{pdf.name}" if pdf.is_file() else None, caption, width, height)


def _table(path: Path) -> Table:
    with path.open(encoding="utf-8", newline="") as file:
        head, *body = list(csv.reader(file))
    text = path.with_suffix(".md")
    first = text.read_text(encoding="utf-8").splitlines()[0] if text.is_file() else ""
    caption = "" if first.startswith("|") else first
    return Table(f"tables/{path.name}", caption or words(path.stem[3:]), head, body, len(body) <= TABLE_ROWS)
