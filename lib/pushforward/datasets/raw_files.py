"""The raw files of a data set: where each of them is, and whether it is the one that is meant.

A file is looked for as ``<folder>/<data set>/<file>`` in every data folder. Its SHA-256 is the one in the manifest.
Where nobody publishes one, it is the one recorded when the file was unpacked from an archive whose own checksum was
right: it tells a later change. A file that the user put there without a record is judged by its contents alone.
"""

from pathlib import Path
from typing import Any

from pushforward import paths
from pushforward.datasets import manifest
from pushforward.datasets.download import file_digest
from pushforward.errors import DataError

RECORD = "recorded.sha256"  # one line per file, as sha256sum writes it


def listed(name: str) -> dict[str, dict[str, Any]]:
    """File name -> what the manifest says of it: ``sha256``, or the ``member`` of the archive that it comes from."""
    return manifest.entry(name)["files"]


def locate(name: str, file: str) -> Path | None:
    """The first file of that name in ``paths.data_folders()``, or None."""
    places = (folder / name / file for folder in paths.data_folders())
    return next((place for place in places if place.is_file()), None)


def present(name: str, files: list[str] | None = None) -> bool:
    """Whether all files of a data set (or those named) are there; none of them is read."""
    return all(locate(name, file) for file in files or listed(name))


def require(name: str, files: list[str] | None = None) -> list[Path]:
    """Where the files of a data set are (or of those named), in the order of the manifest, each of them verified.

    Raises:
        DataError: a file is absent, truncated or altered.
    """
    found = {file: locate(name, file) for file in files or listed(name)}
    if absent := [file for file, path in found.items() if path is None]:
        looked = ", ".join(map(str, paths.data_folders()))
        raise DataError(
            f"{name}: {len(absent)} of {len(found)} files are in none of the data folders ({looked}), the first is "
            f"{name}/{absent[0]}: run `make data` to download them, or name the folder that holds {name}/ in "
            "PUSHFORWARD_DATA"
        )
    for file, path in found.items():
        if wrong := fault(name, file, path):
            raise DataError(f"{wrong}. Remove that file and run `make data`")
    return list(found.values())


def fault(name: str, file: str, path: Path) -> str | None:
    """What is wrong with a file, in words, or None."""
    expected = listed(name)[file].get("sha256") or recorded(path.parent).get(file)
    if expected is None or (found := file_digest(path)) == expected:
        return None
    size = path.stat().st_size
    return f"{path} is truncated or altered ({size} bytes with SHA-256 {found[:12]}…, expected {expected[:12]}…)"


def recorded(folder: Path) -> manifest.Digests:
    """The checksums recorded in a folder; DataError if the record cannot be read."""
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        return {file: digest for digest, file in map(str.split, path.read_text(encoding="utf-8").splitlines())}
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {path} as a list of checksums ({error}): remove {folder}, run `make data`"
        ) from error


def record(folder: Path, files: list[str]) -> None:
    """Write down the checksums of files that were just unpacked into a folder."""
    lines = [f"{file_digest(folder / file)}  {file}\n" for file in sorted(files)]
    (folder / RECORD).write_text("".join(lines), encoding="utf-8")
