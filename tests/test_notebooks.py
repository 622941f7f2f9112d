"""What every source notebook keeps to; nbval compares their outputs."""

import ast
import json
import re
from pathlib import Path

import pytest

from pushforward.run import parameters

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LONGEST_CELL, LARGEST = 12, 300_000
ABSOLUTE = re.compile(r"(?<![\w.:/~-])(~/|/(home|root|Users|tmp|work|usr|opt|mnt|content|var)\b)[\w./-]*")

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def source(cell: dict) -> str:
    return "".join(cell["source"])


def test_there_are_notebooks():
    assert NOTEBOOKS, f"no notebook in {FOLDER.name}/: every other test here would pass without looking at anything"


@each
def test_the_name_sorts_into_the_book(path):
    assert re.fullmatch(r"\d\d-[a-z0-9]+(-[a-z0-9]+)*", path.stem)


@each
def test_the_kernel_is_python3(path):
    assert read(path)["metadata"]["kernelspec"]["name"] == "python3"


@each
def test_metadata_tell_of_no_run(path):
    book = read(path)
    for metadata in [book["metadata"], *(cell["metadata"] for cell in book["cells"])]:
        assert not {"papermill", "execution", "widgets"} & set(metadata)


@each
def test_every_cell_has_its_own_id(path):
    ids = [cell.get("id") for cell in read(path)["cells"]]
    assert all(ids) and len(set(ids)) == len(ids)


@each
def test_defaults_are_the_smoke_profile(path):
    assert parameters(path)["profile"] == "smoke"


@each
def test_outputs_are_stored_in_order(path):
    # nbval compares nothing in a cell without an execution count, and says nothing about it
    counts = [cell["execution_count"] for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "run `make refresh`"


@each
def test_no_output_is_an_error(path):
    outputs = [out for cell in code_cells(path) for out in cell["outputs"]]
    assert outputs, "run `make refresh`"
    assert not [out for out in outputs if out["output_type"] == "error" or out.get("name") == "stderr"]


@each
def test_no_shell_no_magic_no_exit(path):
    # papermill reports a failing `!command` and an exit with status 0 as success
    for cell in code_cells(path):
        bad = re.search(r"^\s*[!%].*|.*\b(exit|quit)\(.*|.*SystemExit.*", source(cell), re.M)
        assert not bad, bad[0] if bad else ""


@each
def test_no_logic_in_a_cell(path):
    for cell in code_cells(path):
        tree = ast.parse(source(cell))
        logic = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.While, ast.Try)
        found = [f"line {node.lineno}: {type(node).__name__}" for node in ast.walk(tree) if isinstance(node, logic)]
        assert not found, f"{found} in:\n{source(cell)}\nmove it to a module, with a test"
        lines = [line for line in source(cell).splitlines() if line.strip()]
        assert len(lines) <= LONGEST_CELL, f"{len(lines)} lines:\n{source(cell)}"


@each
def test_no_absolute_path(path):
    book = read(path)
    texts = [source(cell) for cell in book["cells"]]
    for out in (out for cell in code_cells(path) for out in cell["outputs"]):
        texts += ["".join(out.get("text", "")), "".join(out.get("data", {}).get("text/plain", ""))]
    found = [match[0] for text in texts for match in ABSOLUTE.finditer(text)]
    assert not found
    assert "sys.path" not in "".join(texts)


@each
def test_it_is_small(path):
    assert path.stat().st_size < LARGEST


@each
def test_it_runs_in_every_profile(path):
    missing = [
        profile
        for profile in ("smoke", "quick", "paper")
        if not (FOLDER / "params" / profile / f"{path.stem}.yml").is_file()
    ]
    assert not missing


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("read('/home/me/x')", True),
        ("open('~/x')", True),
        ("in /opt/x", True),
        ("a/b, ../opt/x, 1/2", False),
        ("https://a.org/home/x", False),
        ("$p/q$ and x ~ N", False),
    ],
)
def test_the_pattern_finds_absolute_paths(text, found):
    assert bool(ABSOLUTE.search(text)) is found
