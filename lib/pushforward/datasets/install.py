"""``make data``: have a data set complete and verified in ``data/cache``; what does not verify is not kept."""

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pushforward import paths
from pushforward.datasets import manifest, raw_files
from pushforward.datasets.download import download
from pushforward.errors import DataError


@dataclass(frozen=True)
class Contents:
    """What an archive gives to one data set."""

    name: str
    files: dict[str, str]  # the last two parts of a member's path -> the file that it becomes
    digests: manifest.Digests | None = None  # of files; None where the archive's own checksum has to do

    def fault(self, folder: Path) -> str | None:
        """What is wrong with what was unpacked into a folder, in words, or None."""
        if self.digests is not None:
            return manifest.fault(folder, self.digests)
        missing = [file for file in self.files.values() if not (folder / file).is_file()]
        return f"{len(missing)} of {len(self.files)} files are missing, the first is {missing[0]}" if missing else None


def ensure(name: str) -> str:
    """Have the data set ``name`` complete and verified, downloading it if need be; returns what was done, in words.

    A broken file in ``data/cache`` is replaced; one in another folder is the user's and is only reported. A set that is
    given to registered users alone is not downloaded: the words then say where it is to be had.

    Raises:
        DataError: no network, a truncated or foreign archive, or files that are missing or altered.
    """
    return _ensure_images(name) if "digests" in manifest.entry(name) else _ensure_files(name)


def _ensure_images(name: str) -> str:
    digests = manifest.image_digests(name)
    folder = manifest.find(name)
    if folder is not None:
        try:
            manifest.verify(name, folder, digests)
            return f"{name}: {len(digests)} images verified in {folder}"
        except DataError:
            if folder != paths.cache() / name:
                raise
    table = manifest.entry(name)
    fetch_archive(table["url"], table.get("checksum"), [Contents(name, {file: file for file in digests}, digests)])
    return f"{name}: {len(digests)} images downloaded and verified in {paths.cache() / name}"


def _ensure_files(name: str) -> str:
    files, wanted = raw_files.listed(name), []
    for file in files:
        path = raw_files.locate(name, file)
        wrong = path and raw_files.fault(name, file, path)
        if wrong and path.parent != paths.cache() / name:
            raise DataError(f"{wrong}. Remove that file and run `make data`")
        if wrong or path is None:
            wanted.append(file)
    if not wanted:
        return f"{name}: {len(files)} files verified"
    table = manifest.entry(name)
    if "by_hand" in table:
        return f"{name}: {len(wanted)} of {len(files)} files are absent; {table['by_hand']}"
    if all("member" in files[file] for file in wanted):
        archive = manifest.entry(table["archive"]) if "archive" in table else table
        fetch_archive(archive["url"], archive["checksum"], _sharing(name))
    else:
        for file in wanted:
            os.makedirs(paths.cache() / name, exist_ok=True)
            download(table["url"] + file, paths.cache() / name, f"sha256:{files[file]['sha256']}")
    return f"{name}: {len(wanted)} of {len(files)} files downloaded and verified in {paths.cache() / name}"


def _sharing(name: str) -> list[Contents]:
    """What the archive of ``name`` gives to it and to every absent data set: it is fetched once for all of them."""
    archive = manifest.entry(name).get("archive")
    others = [] if archive is None else [each for each in manifest.names(archive=archive) if each != name]
    names = [name, *(each for each in others if not raw_files.present(each))]
    return [Contents(each, {row["member"]: file for file, row in raw_files.listed(each).items()}) for each in names]


def fetch_archive(url: str, checksum: str | None, contents: list[Contents]) -> None:
    """Download an archive, unpack and verify what it gives, and only then put that in ``data/cache``.

    Raises:
        DataError: no network, a truncated or foreign archive, or files that are missing or altered.
    """
    cache = paths.cache()
    archive = download(url, cache, checksum)
    try:
        with tempfile.TemporaryDirectory(dir=cache, prefix="unpacking-") as temporary:
            unpack(archive, Path(temporary), contents, url)
            for each in contents:
                if wrong := each.fault(Path(temporary) / each.name):
                    raise DataError(f"{each.name} from {url}: {wrong}. Nothing was kept; run `make data` again")
                if each.digests is None:
                    raw_files.record(Path(temporary) / each.name, list(each.files.values()))
            for each in contents:
                shutil.rmtree(cache / each.name, ignore_errors=True)
                os.replace(Path(temporary) / each.name, cache / each.name)
    finally:
        archive.unlink()  # a good one is no longer needed, a bad one must not be taken for the next download


def unpack(archive: Path, folder: Path, contents: Iterable[Contents], url: str) -> None:
    """Write those members of a tar archive that ``contents`` name, by their last two path parts, and nothing else.

    Raises:
        DataError: the file is no tar archive or breaks off.
    """
    targets = {end: folder / each.name / file for each in contents for end, file in each.files.items()}
    try:
        with tarfile.open(archive) as members:
            for member in members:
                target = targets.get("/".join(member.name.split("/")[-2:]))
                if target is not None and member.isfile():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as file:  # a piece at a time: some members are larger than a laptop likes
                        shutil.copyfileobj(members.extractfile(member), file)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{url} gave {archive.stat().st_size} bytes that are not a whole tar archive ({error}): "
            "run `make data` again"
        ) from error
