"""Copy the light part of a clean run to ``data/results``, and renew the README's tables.

``python -m pushforward.report.publish PROFILE`` takes results.csv, tables, provenance and PNG figures, and the CSVs and
the provenance of the benchmarks where there are some.
"""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pushforward import paths
from pushforward.errors import InputError, PushforwardError
from pushforward.report.benchmarks import BENCH
from pushforward.report.readme import update_readme
from pushforward.report.results import Row, read_rows
from pushforward.report.summary import load_runs, summarise

LIMIT = 5_000_000  # bytes in all: the repository holds what a reader needs, not what a rerun gives
PATTERNS = ("results.csv", "tables/*", "runs/*.json", "figures/*.png")
BENCH_PATTERNS = ("*.csv", "runs/*.json")


def publish(profile: str) -> list[Path]:
    """Replace ``data/results/<profile>`` by the light files of ``results/<profile>``; returns what was copied.

    The same goes for ``data/results/bench`` if ``results/bench`` holds a benchmark.

    Raises:
        InputError: unfinished or failing results, a run on a changed or unknown commit, or more than 5 MB.
    """
    source = paths.results(profile)
    rows = read_rows(source / "results.csv")
    summary = summarise(profile, rows)
    if summary.failing or summary.stopped:
        raise InputError(f"{summary.line}: only results whose checks hold are published")
    _check_clean(rows, load_runs(source / "runs"))
    chosen = {profile: _light(source, PATTERNS)}
    bench = paths.results(BENCH)
    if sheets := sorted(bench.glob("*.csv")):
        _check_clean([row for sheet in sheets for row in read_rows(sheet)], load_runs(bench / "runs"))
        chosen[BENCH] = _light(bench, BENCH_PATTERNS)
    fresh = {name: _prepare(name, light) for name, light in chosen.items()}
    try:
        _check_size(fresh.values())
        for name, folder in fresh.items():
            target = paths.committed_results() / name
            shutil.rmtree(target, ignore_errors=True)
            os.replace(folder, target)
    finally:
        for folder in fresh.values():
            shutil.rmtree(folder, ignore_errors=True)
    return [path for light in chosen.values() for path in light]


def _light(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def _prepare(name: str, files: list[Path]) -> Path:
    """A new folder beside ``data/results/<name>`` with light copies of these files of ``results/<name>``."""
    fresh = paths.committed_results() / f".{name}.{os.getpid()}"
    for path in files:
        place = fresh / path.relative_to(paths.results(name))
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            _copy_picture(path, place)
        else:
            shutil.copyfile(path, place)
    return fresh


def _copy_picture(path: Path, place: Path) -> None:
    """In 256 colours, which the eye does not miss and which take a third of the bytes; its caption goes along."""
    with Image.open(path) as picture:
        texts = PngInfo()
        for key, value in picture.text.items():
            texts.add_itxt(key, value)
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(place, optimize=True, pnginfo=texts)


def _check_size(folders: Iterable[Path]) -> None:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if size > LIMIT:
        largest = max(files, key=lambda path: path.stat().st_size)
        raise InputError(f"{size / 1e6:.1f} MB to publish, at most {LIMIT / 1e6:.0f}: the largest is {largest.name}")


def _check_clean(rows: list[Row], runs: dict[str, dict[str, Any]]) -> None:
    """Every row names a run that was made on a committed tree."""
    orphans = sorted({row.id for row in rows if row.run not in runs})
    if orphans:
        raise InputError(f"no provenance for {', '.join(orphans[:3])} ({len(orphans)} in all): record it with run=")
    unclean = [name for name, run in runs.items() if any(made["dirty"] is not False for made in [run, *run["trained"]])]
    if unclean:
        raise InputError(
            f"made on a changed or unknown commit: {', '.join(unclean)}; commit, remove artifacts/ and results/, rerun"
        )


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    names = sys.argv[1:] if arguments is None else arguments
    if len(names) != 1:
        print("usage: python -m pushforward.report.publish PROFILE", file=sys.stderr)
        return 2
    try:
        files = publish(names[0])
        update_readme()
    except PushforwardError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"published {len(files)} files to data/results and the table in README.md: commit both")
    return 0


if __name__ == "__main__":
    sys.exit(main())
