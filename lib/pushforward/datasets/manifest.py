"""What ``data/manifest.toml`` says of each data set, and whether files are the ones it means."""

import hashlib
import sys
from pathlib import Path
from typing import Any

from pushforward import paths
from pushforward.errors import DataError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Digests = dict[str, str]  # file name, such as train/100075.jpg, to SHA-256


def entry(name: str) -> dict[str, Any]:
    """The manifest's table for one data set.

    Raises:
        DataError: the manifest is missing, is no TOML, or does not know the data set.
    """
    tables = _read()
    if name not in tables:
        raise DataError(f"{paths.manifest()} has no table [{name}], only {', '.join(tables)}: restore it with git")
    return tables[name]


def names(**having: str) -> list[str]:
    """The data sets whose tables have these values, in the order of the manifest; DataError as in ``entry``."""
    return [name for name, table in _read().items() if all(table.get(key) == having[key] for key in having)]


def _read() -> dict[str, dict[str, Any]]:
    path = paths.manifest()
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({error}): restore it with git") from error


def image_digests(name: str) -> Digests:
    """SHA-256 of every image of a data set, sorted by file name, from the list that the manifest names.

    Raises:
        DataError: the list is missing, or differs from the digests of its sets in the manifest.
    """
    table = entry(name)
    path = paths.manifest().parent / table["digests"]
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        digests = {file: digest for digest, file in sorted(lines, key=lambda pair: pair[1])}
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"cannot read {path} as a list of checksums ({error}): restore it with git") from error
    for part, expected in table["sets"].items():
        found = set_digest({file: digest for file, digest in digests.items() if file.startswith(f"{part}/")})
        if found != expected["sha256"]:
            raise DataError(
                f"the {part} lines of {path} have digest {found[:12]}…, expected "
                f"{expected['sha256'][:12]}…: restore it with git"
            )
    return digests


def set_digest(digests: Digests) -> str:
    """One digest for a set of images: SHA-256 over the lines "name sha256", names without folder, sorted."""
    lines = sorted(f"{Path(file).name} {digest}\n" for file, digest in digests.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def find(name: str) -> Path | None:
    """The first folder called ``name`` in ``paths.data_folders()``, or None."""
    return next((folder / name for folder in paths.data_folders() if (folder / name).is_dir()), None)


def verify(name: str, folder: Path, digests: Digests) -> None:
    """Check that every listed image is in ``folder`` and has its SHA-256; files beside them are not looked at.

    Raises:
        DataError: names the first missing or altered file, how many there are, and the mend.
    """
    if wrong := fault(folder, digests):
        raise DataError(f"{name} in {folder}: {wrong}. Remove that folder and run `make data`")


def fault(folder: Path, digests: Digests) -> str | None:
    """What is wrong with the images in a folder, in words, or None."""
    missing = [file for file in digests if not (folder / file).is_file()]
    if missing:
        return f"{len(missing)} of {len(digests)} images are missing, the first is {missing[0]}"
    altered = [file for file in digests if sha256((folder / file).read_bytes()) != digests[file]]
    if altered:
        first = altered[0]
        return (
            f"{len(altered)} of {len(digests)} images are truncated or altered, the first is {first} "
            f"({(folder / first).stat().st_size} bytes, expected the SHA-256 {digests[first][:12]}…)"
        )
    return None


def sha256(content: bytes) -> str:
    """SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
