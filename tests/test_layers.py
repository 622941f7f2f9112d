"""An import points down or stays in its room: never up, never sideways. The picture in style and README cannot lie."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "lib" / "pushforward"
FLOORS = (
    ("errors",),
    ("shapes", "seeds", "paths", "files", "devices"),
    ("numerics", "nets", "distributions", "checkpoints", "surroundings"),
    ("interpolation", "implicit"),
    ("flows", "datasets"),
    ("objectives", "metrics"),
    ("fit",),
    ("families", "remembered"),
    ("experiment", "classification", "latent"),
    ("run", "report", "rounds"),
    ("peak_memory",),
    ("catalogue",),
)
# The page and the runner see files and numbers alone: every figure can be redrawn where nothing was trained.
ONLY = {"report": {"errors", "files", "paths", "surroundings"}, "run": {"errors"}}
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")  # the facade sees all


def rooms_imported(source: str) -> set[str]:
    """The rooms of pushforward that a module imports, wherever in it; '' stands for the facade itself."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                raise AssertionError(f"line {node.lineno}: a relative import; write it from pushforward")
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {(name.split(".") + [""])[1] for name in names if name.split(".")[0] == "pushforward"}
    return found


def wrong(room: str, source: str) -> list[str]:
    """The imports of a module in ``room`` that point up, sideways, to the facade, or to no known room."""
    below = {other for other in FLOOR if FLOOR[other] < FLOOR[room]}
    return sorted(rooms_imported(source) - ONLY.get(room, below) - {room})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert room in FLOOR, f"{room} stands on no floor: give it a place in FLOORS"
    assert wrong(room, path.read_text()) == []


@pytest.mark.parametrize(
    ("room", "line", "found"),
    [
        ("flows", "from pushforward.families import JKO", ["families"]),
        ("nets", "from pushforward.numerics.ode import rk4", ["numerics"]),
        ("report", "def f():\n    from pushforward import experiment", ["experiment"]),
        ("fit", "import pushforward.run", ["run"]),
        ("fit", "import pushforward as pf", [""]),
        ("fit", "from pushforward import train", ["train"]),
        ("fit", "from pushforward.flows.flow import Flow\nimport torch", []),
        ("report", "from pushforward.report.check import check", []),
    ],
)
def test_the_reader_sees_every_kind_of_import(room, line, found):
    assert wrong(room, line) == found
