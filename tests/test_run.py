"""The runner, on a notebook of four cells."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from pushforward.errors import InputError
from pushforward.run import main, parameters, settings

KNOWN = {"n": 4, "lr": 0.1, "name": "a", "flag": True, "steps": [0.1], "cap": None, "fit": {"lr": 1, "n": 2}}


def notebook(folder: Path, *cells: str, tags: tuple[str, ...] = ("parameters",)) -> Path:
    source = 'profile: str = "smoke"\nn: int = 4  # points\nlr = 1e-1'
    first = new_code_cell(source, metadata={"tags": list(tags)})
    book = new_notebook(cells=[first, *map(new_code_cell, cells)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / "01-toy.ipynb"
    nbformat.write(book, path)
    return path


def yaml_file(folder: Path, text: str) -> Path:
    path = folder / "01-toy.yml"
    path.write_text(text)
    return path


def printed(path: Path) -> str:
    cells = json.loads(path.read_text())["cells"]
    return "".join("".join(out.get("text", "")) for cell in cells for out in cell.get("outputs", []))


def test_it_runs_with_the_settings_of_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    book = notebook(
        tmp_path / "notebooks",
        "import os\nprint(n, lr, type(lr).__name__, profile)",
        'print(os.environ["PUSHFORWARD_NOTEBOOK"], os.path.basename(os.getcwd()))',
    )
    params = yaml_file(tmp_path, "n: 7\nlr: 1e-3\n")
    out = Path("results/quick/nb/01-toy--wide.ipynb")
    assert main([str(book), str(out), "-f", str(params)]) == 0
    assert printed(out) == "7 0.001 float smoke\n01-toy--wide notebooks\n"
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("01-toy--wide: running 01-toy.ipynb with ")
    assert lines[-1].startswith("01-toy--wide: done in ") and lines[-1].endswith(str(out))


def test_a_failing_cell_leaves_no_target(tmp_path, capsys):
    book = notebook(tmp_path, "1 / 0")
    out = tmp_path / "nb" / "01-toy.ipynb"
    out.parent.mkdir()
    out.write_text("an older success")
    assert main([str(book), str(out)]) == 1
    assert out.read_text() == "an older success"
    assert "ZeroDivisionError" in (tmp_path / "nb/01-toy.partial.ipynb").read_text()
    error = capsys.readouterr().err
    assert "ZeroDivisionError" in error
    assert "01-toy: FAILED, the cells so far are in " in error


def test_an_unknown_parameter_stops_before_anything_runs(tmp_path, capsys):
    book = notebook(tmp_path, "raise RuntimeError")
    out = tmp_path / "out.ipynb"
    assert main([str(book), str(out), "-f", str(yaml_file(tmp_path, "m: 3\n"))]) == 2
    error = capsys.readouterr().err
    assert "sets m, which the notebook has not; its parameters are: profile, n, lr" in error
    assert [path.name for path in tmp_path.glob("out*")] == ["out.partial.ipynb"]  # which the page counts as stopped


def test_an_interrupt_has_its_own_status(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["pushforward.run"], "_execute", interrupt)
    assert main([str(notebook(tmp_path)), str(tmp_path / "out.ipynb")]) == 130


def test_parameters_are_read_from_the_tagged_cell(tmp_path):
    assert parameters(notebook(tmp_path)) == {"profile": "smoke", "n": 4, "lr": 0.1}


def test_bad_notebooks_are_refused(tmp_path):
    with pytest.raises(InputError, match="no readable notebook"):
        parameters(tmp_path / "none.ipynb")
    with pytest.raises(InputError, match="0 cells tagged 'parameters'"):
        parameters(notebook(tmp_path, tags=()))
    book = json.loads(notebook(tmp_path).read_text())
    book["cells"][0]["source"] = "n = 2 * k"
    (tmp_path / "x.ipynb").write_text(json.dumps(book))
    with pytest.raises(InputError, match=r"default of n is 2 \* k, expected a literal"):
        parameters(tmp_path / "x.ipynb")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("lr: 1e-3", {"lr": 0.001}),
        ("lr: 1", {"lr": 1.0}),
        ("n: 1e3", {"n": 1000}),
        ("n: 3.0", {"n": 3}),
        ("name: 1e-3", {"name": "1e-3"}),
        ("steps: [1e-3, 2, 0.5]", {"steps": [0.001, 2.0, 0.5]}),
        ("cap: 1e4", {"cap": 10000.0}),
        ("cap: [1e4, b]", {"cap": [10000.0, "b"]}),
        ("fit: {lr: 1e-3, betas: [9e-1, 1], kind: a}", {"fit": {"lr": 0.001, "betas": [0.9, 1], "kind": "a"}}),
        ("fit: {deep: {lr: 1e-3}}", {"fit": {"deep": {"lr": 0.001}}}),
        ("cap:", {"cap": None}),
        ("flag: no", {"flag": False}),
        ("", {}),
    ],
)
def test_values_take_the_type_of_the_default(tmp_path, text, found):
    given = settings(yaml_file(tmp_path, text), KNOWN)
    assert given == found
    assert [type(value) for value in given.values()] == [type(value) for value in found.values()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n: three", r"n is 'three' \(str\), expected a int like the notebook's default 4"),
        ("n: 2.5", r"n is 2.5 \(float\), expected a int"),
        ("n: true", r"n is True \(bool\), expected a int"),
        ("lr: true", r"lr is True \(bool\), expected a float"),
        ("flag: 1", r"flag is 1 \(int\), expected a bool"),
        ("n: [1]", r"n is \[1\] \(list\), expected a int"),
        ("n: {a: 1}", r"n is \{'a': 1\} \(dict\), expected a int"),
        ("fit: 3", r"fit is 3 \(int\), expected a dict"),
        ("n:", r"n is None \(NoneType\), expected a int"),
        ("name: 3", r"name is 3 \(int\), expected a str"),
        ("steps: [a]", r"steps is 'a' \(str\), expected a float"),
        ("- 1", "holds a list, expected lines of the form"),
        ("a: [", "no readable YAML file"),
        ("m: 1\nk: 2", "sets m, k, which the notebook has not"),
    ],
)
def test_bad_settings_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        settings(yaml_file(tmp_path, text), KNOWN)
