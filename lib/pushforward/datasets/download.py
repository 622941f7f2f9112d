"""Fetch image data from its home page into ``data/cache``; what arrives is kept only if every image is verified."""

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

import pooch
import requests

from pushforward import paths
from pushforward.datasets import manifest
from pushforward.errors import DataError


def ensure(name: str) -> str:
    """Have the data set ``name`` complete and verified, downloading it if need be; returns what was done, in words.

    A broken copy in ``data/cache`` is replaced; one in another folder is the user's and is only reported.

    Raises:
        DataError: no network, a truncated or foreign archive, or files that are missing or altered.
    """
    digests = manifest.image_digests(name)
    folder = manifest.find(name)
    if folder is not None:
        try:
            manifest.verify(name, folder, digests)
            return f"{name}: {len(digests)} images verified in {folder}"
        except DataError:
            if folder != paths.cache() / name:
                raise
    folder = fetch(name, digests)
    return f"{name}: {len(digests)} images downloaded and verified in {folder}"


def fetch(name: str, digests: manifest.Digests) -> Path:
    """Download the archive of a data set, unpack and verify it, and only then put it in ``data/cache``.

    Raises:
        DataError: no network, a truncated or foreign archive, or files that are missing or altered.
    """
    cache, url = paths.cache(), manifest.entry(name)["url"]
    cache.mkdir(parents=True, exist_ok=True)
    archive = download(url, cache)
    try:
        with tempfile.TemporaryDirectory(dir=cache, prefix=f"{name}-") as temporary:
            unpacked = Path(temporary) / name
            unpack(archive, unpacked, digests, url)
            if wrong := manifest.fault(unpacked, digests):
                raise DataError(f"{name} from {url}: {wrong}. Nothing was kept; run `make data` again")
            shutil.rmtree(cache / name, ignore_errors=True)
            os.replace(unpacked, cache / name)
    finally:
        archive.unlink()  # a good one is no longer needed, a bad one must not be taken for the next download
    return cache / name


def download(url: str, folder: Path) -> Path:
    """Fetch ``url`` into ``folder`` with a progress bar.

    Raises:
        DataError: the server cannot be reached, refuses, or breaks off.
    """
    # no checksum of the archive is known: the images in it are verified one by one instead
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(
            pooch.retrieve(
                url,
                known_hash=None,
                fname=url.rsplit("/", 1)[-1],
                path=folder,
                downloader=pooch.HTTPDownloader(progressbar=True),
            )
        )
    except requests.RequestException as error:
        raise DataError(
            f"cannot download {url} ({type(error).__name__}: {error}): check the network and run "
            "`make data` again, or unpack the images yourself and name their folder in PUSHFORWARD_DATA"
        ) from error


def unpack(archive: Path, folder: Path, digests: manifest.Digests, url: str) -> None:
    """Write those members of a tar archive that the list names, by their last two path parts, and nothing else.

    Raises:
        DataError: the file is no tar archive or breaks off.
    """
    try:
        with tarfile.open(archive) as members:
            for member in members:
                file = "/".join(member.name.split("/")[-2:])
                if file in digests and member.isfile():
                    target = folder / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(members.extractfile(member).read())
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{url} gave {archive.stat().st_size} bytes that are not a whole tar archive ({error}): "
            "run `make data` again"
        ) from error
