"""Run one notebook with the parameters of one YAML file: ``python -m pushforward.run NOTEBOOK OUT -f params.yml``.

papermill does the work. Added to it: an unknown parameter is an error, not a warning; a number that YAML reads as text
(``1e-3``) becomes a number; OUT appears only when every cell has passed, until then it is ``OUT.partial.ipynb``.

Exit status: 0 done, 1 a cell failed, 2 the notebook or its parameters cannot be used, 130 interrupted.
"""

import argparse
import ast
import json
import logging
import os
import shutil
import sys
import time
from pathlib import Path

import yaml

from pushforward.errors import InputError

FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130


def parameters(notebook: Path) -> dict[str, object]:
    """Names and defaults in the cell tagged ``parameters``.

    Raises:
        InputError: no notebook, no such cell, or a default that is no literal (number, text, list, None...).
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{notebook} is no readable notebook ({type(error).__name__}): check its path") from error
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise InputError(f"{notebook} has {len(tagged)} cells tagged 'parameters', expected one: tag its settings cell")
    found: dict[str, object] = {}
    for node in ast.parse("".join(tagged[0]["source"])).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if not isinstance(target, ast.Name) or getattr(node, "value", None) is None:
            continue
        try:
            found[target.id] = ast.literal_eval(node.value)
        except ValueError as error:
            raise InputError(
                f"{notebook}: the default of {target.id} is {ast.unparse(node.value)}, expected a literal"
            ) from error
    return found


def settings(params: Path, known: dict[str, object]) -> dict[str, object]:
    """What the YAML file ``params`` sets, each value in the type of the notebook's default in ``known``.

    Raises:
        InputError: the file is no mapping, names a parameter that the notebook lacks, or gives a value of another type.
    """
    try:
        given = yaml.safe_load(params.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{params} is no readable YAML file: {error}") from error
    if not isinstance(given, dict):
        raise InputError(f"{params} holds a {type(given).__name__}, expected lines of the form 'name: value'")
    unknown = [str(key) for key in given if key not in known]
    if unknown:
        raise InputError(
            f"{params} sets {', '.join(unknown)}, which the notebook has not; its parameters are: {', '.join(known)}"
        )
    return {key: _typed(value, known[key], f"{params}: {key}") for key, value in given.items()}


def _typed(value: object, default: object, where: str) -> object:
    """``value`` in the type of ``default`` (None takes any); YAML 1.1 reads 1e-3 as text, so text may mean a number."""
    if isinstance(value, list) and (default is None or isinstance(default, list)):
        like = default[0] if default else None
        return [_typed(item, like, where) for item in value]
    if isinstance(value, dict) and (default is None or isinstance(default, dict)):
        # what the library checks itself, by the names of its settings; here only text that means a number is mended
        return {key: _typed(item, None, f"{where}: {key}") for key, item in value.items()}
    if isinstance(value, str) and not isinstance(default, str) and _is_number(value):
        value = float(value)
    if default is None or type(value) is type(default):
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(default) is int and isinstance(value, float) and value.is_integer():
        return int(value)
    raise InputError(
        f"{where} is {value!r} ({type(value).__name__}), "
        f"expected a {type(default).__name__} like the notebook's default {default!r}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def run(notebook: Path, out: Path, params: Path | None = None) -> float:
    """Execute ``notebook`` into ``out`` with the YAML settings in ``params``; returns wall seconds.

    Raises:
        InputError: the notebook or its settings cannot be used (nothing has run then).
        Exception: whatever made a cell fail; the cells so far are in ``OUT.partial.ipynb``.
    """
    known = parameters(notebook)
    partial = out.with_suffix(".partial.ipynb")
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(notebook, partial)  # from here to the end the results page counts this run as stopped
    given = settings(params, known) if params else {}
    _say(f"{out.stem}: running {notebook.name}" + (f" with {params}" if params else " with its own defaults"))
    start = time.monotonic()
    _execute(notebook, partial, given, name=out.stem)
    os.replace(partial, out)
    return time.monotonic() - start


def _execute(notebook: Path, out: Path, given: dict[str, object], name: str) -> None:
    import papermill  # two seconds, which a refused parameter need not wait for
    from traitlets.config import Config

    logging.getLogger("papermill").setLevel(logging.WARNING)
    os.environ["PUSHFORWARD_NOTEBOOK"] = name  # provenance names the run by it
    papermill.execute_notebook(
        str(notebook),
        str(out),
        parameters=given,
        kernel_name="python3",
        progress_bar=sys.stderr.isatty(),
        cwd=str(notebook.parent),
        start_timeout=120,
        stdout_file=sys.stdout,  # what the cells print as they go: the progress of long trainings
        # "auto" keeps the kernel's sockets private and its start quiet; "ipc" mixes up the sockets of parallel runs
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),
    )


def _say(line: str) -> None:
    print(line, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pushforward.run", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("out", type=Path, help="the executed notebook; written only when every cell has passed")
    parser.add_argument("-f", "--params", type=Path, help="YAML file with parameters; without it the defaults run")
    options = parser.parse_args(arguments)
    try:
        seconds = run(options.notebook, options.out, options.params)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print(f"{options.out.stem}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # papermill passes on what the cell raised, and its own and the kernel's failures
        partial = options.out.with_suffix(".partial.ipynb")
        print(f"{error}\n{options.out.stem}: FAILED, the cells so far are in {partial}", file=sys.stderr)
        return FAILED
    _say(f"{options.out.stem}: done in {seconds:.0f} s, {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
