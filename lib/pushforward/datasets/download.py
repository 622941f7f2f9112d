"""Fetch one address into a file: with a progress bar, going on where a broken download stopped, checked at the end."""

import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from pushforward.errors import DataError

CHUNK = 1 << 16  # bytes held in memory at a time, and lost at most when a connection breaks
TIMEOUT = 60.0  # seconds without a byte
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416


def download(url: str, folder: Path, checksum: str | None = None) -> Path:
    """Fetch ``url`` into ``folder`` under the last part of its path.

    What came before a broken connection is kept as ``<name>.part`` and the next call asks for the rest alone.
    checksum: "sha256:…" or "md5:…"; a file that has another is not kept.

    Raises:
        DataError: the server cannot be reached, refuses or breaks off, or the file has another checksum.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / urlsplit(url).path.rsplit("/", 1)[-1]
    partial = target.with_name(f"{target.name}.part")
    try:
        _stream(url, partial)
    except requests.RequestException as error:
        raise DataError(
            f"cannot download {url} ({type(error).__name__}: {error}): check the network and run "
            "`make data` again, or fetch the files yourself and name their folder in PUSHFORWARD_DATA"
        ) from error
    if checksum is not None and (found := file_digest(partial, checksum.split(":")[0])) != checksum.split(":")[1]:
        size = partial.stat().st_size
        partial.unlink()
        raise DataError(
            f"{url} gave {size} bytes with {checksum.split(':')[0]} {found[:12]}…, expected "
            f"{checksum.split(':')[1][:12]}…: nothing was kept; run `make data` again"
        )
    os.replace(partial, target)
    return target


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Checksum of a file, in hexadecimal, read a piece at a time."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _stream(url: str, partial: Path) -> None:
    """Write what is missing of ``url`` behind what ``partial`` holds; a server that cannot do so sends all again."""
    done = partial.stat().st_size if partial.exists() else 0
    # identity: a length that counts compressed bytes could not be compared with what arrives
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if done and answer.status_code == RANGE_NOT_SATISFIABLE:  # it was whole, or belongs to another file
            partial.unlink()
            return _stream(url, partial)
        answer.raise_for_status()
        done = done if answer.status_code == PARTIAL_CONTENT else 0
        rest = int(answer.headers.get("Content-Length", 0))
        bar = tqdm(
            total=done + rest or None, initial=done, unit="B", unit_scale=True, desc=partial.stem, file=sys.stderr
        )
        with bar, partial.open("ab" if done else "wb") as file:
            for piece in answer.iter_content(CHUNK):
                file.write(piece)
                bar.update(len(piece))
