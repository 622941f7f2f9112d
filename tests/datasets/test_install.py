"""Sets that come as files, one archive for several or file by file: what is recorded, replaced, reported, refused."""

import hashlib
import io
import tarfile

import pytest

from pushforward import paths
from pushforward.datasets import raw_files
from pushforward.datasets.install import ensure
from pushforward.errors import DataError

TABLES = """
[shared]
url = "http://127.0.0.1:{port}/data.tar.gz?download=1"
checksum = "md5:{md5}"
[one]
archive = "shared"
[one.files]
"data.npy" = {{ member = "one/data.npy" }}
[two]
archive = "shared"
[two.files]
"a.csv" = {{ member = "two/a.csv" }}
"b.csv" = {{ member = "two/b.csv" }}
[single]
url = "http://127.0.0.1:{port}/files/"
[single.files]
"x.gz" = {{ sha256 = "{x}" }}
"y.gz" = {{ sha256 = "{y}" }}
"""
MEMBERS = {"data/one/data.npy": b"one", "data/two/a.csv": b"a" * 200_000, "data/two/b.csv": b"b", "data/far/c": b"c"}


def packed(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def server(local, tables):
    local.content = packed(MEMBERS)
    local.files = {"/files/x.gz": b"x" * 10, "/files/y.gz": b"y" * 10}
    digests = {name: hashlib.sha256(local.files[f"/files/{name}.gz"]).hexdigest() for name in "xy"}
    tables(TABLES.format(port=local.server_port, md5=hashlib.md5(local.content).hexdigest(), **digests))
    return local


def inside(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def test_one_archive_is_fetched_once_for_all_its_sets(server):
    assert not raw_files.present("two")
    assert ensure("two").startswith("two: 2 of 2 files downloaded and verified")
    assert ensure("one") == "one: 1 files verified" and server.requests == 1
    found = inside(paths.cache())
    assert set(found) == {"one/data.npy", "two/a.csv", "two/b.csv", "one/recorded.sha256", "two/recorded.sha256"}
    assert found["two/a.csv"].read_bytes() == MEMBERS["data/two/a.csv"]
    assert raw_files.require("two") == [found["two/a.csv"], found["two/b.csv"]]
    line = found["one/recorded.sha256"].read_text()
    assert line == f"{hashlib.sha256(b'one').hexdigest()}  data.npy\n"  # as sha256sum -c reads it


def test_a_set_that_is_there_is_not_unpacked_again(server, tmp_path, monkeypatch):
    (tmp_path / "named" / "one").mkdir(parents=True)
    (tmp_path / "named" / "one" / "data.npy").write_bytes(b"the user's own")
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path / "named"))
    ensure("two")
    assert not (paths.cache() / "one").exists()
    assert raw_files.require("one")[0].read_bytes() == b"the user's own"  # no checksum is known: the reader judges


def test_a_later_change_is_told_and_mended(server):
    ensure("two")
    (paths.cache() / "two" / "b.csv").write_bytes(b"c")
    with pytest.raises(DataError, match=r"two/b.csv is truncated or altered \(1 bytes with SHA-256 .*make data"):
        raw_files.require("two")
    assert ensure("two").startswith("two: 1 of 2 files downloaded") and raw_files.require("two")
    (paths.cache() / "two" / "b.csv").unlink()
    assert not raw_files.present("two") and raw_files.present("two", ["a.csv"])
    with pytest.raises(
        DataError, match=r"two: 1 of 2 files are in none of the data folders .* two/b.csv: run `make data`"
    ):
        raw_files.require("two")


def test_another_archive_than_stated_is_refused(server):
    server.content = packed({**MEMBERS, "data/one/data.npy": b"two"})
    with pytest.raises(DataError, match="with md5 .*, expected .*: nothing was kept"):
        ensure("one")
    assert inside(paths.cache()) == {}


def test_an_archive_without_a_member_is_refused(server):
    content = packed({name: MEMBERS[name] for name in MEMBERS if not name.endswith("b.csv")})
    path = paths.manifest()
    path.write_text(path.read_text().replace(hashlib.md5(server.content).hexdigest(), hashlib.md5(content).hexdigest()))
    server.content = content
    with pytest.raises(
        DataError, match=r"two from http.*: 1 of 2 files are missing, the first is b.csv. Nothing was kept"
    ):
        ensure("one")
    assert inside(paths.cache()) == {}


def test_a_truncated_archive_goes_on(server):
    whole, server.content, server.length = server.content, server.content[:50], len(server.content)
    with pytest.raises(DataError, match="cannot download"):
        ensure("one")
    server.content, server.length = whole, None
    assert ensure("one").startswith("one: 1 of 1 files downloaded")


def test_files_come_one_by_one(server):
    (paths.cache() / "single").mkdir(parents=True)
    (paths.cache() / "single" / "x.gz").write_bytes(b"x" * 10)
    assert ensure("single").startswith("single: 1 of 2 files downloaded")
    assert server.asked == [("/files/y.gz", None)] and set(inside(paths.cache())) == {"single/x.gz", "single/y.gz"}
    server.files["/files/x.gz"] = b"other"
    (paths.cache() / "single" / "x.gz").write_bytes(b"broken")
    with pytest.raises(DataError, match="x.gz gave 5 bytes with sha256"):
        ensure("single")


def test_a_broken_file_of_the_user_is_only_reported(server, tmp_path, monkeypatch):
    (tmp_path / "named" / "single").mkdir(parents=True)
    (tmp_path / "named" / "single" / "x.gz").write_bytes(b"broken")
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path / "named"))
    with pytest.raises(DataError, match=r"named/single/x.gz is truncated or altered \(6 bytes.*Remove that file"):
        ensure("single")
    assert server.requests == 0 and (tmp_path / "named" / "single" / "x.gz").exists()


def test_no_network_is_an_error(tables, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    tables(TABLES.format(port=9, md5="0", x="0", y="0"))  # nobody listens on port 9
    for name in ("one", "single"):
        with pytest.raises(DataError, match="cannot download http://127.0.0.1:9/.*PUSHFORWARD_DATA"):
            ensure(name)


def test_a_broken_record_is_named(server):
    ensure("one")
    (paths.cache() / "one" / "recorded.sha256").write_text("nonsense\n")
    with pytest.raises(DataError, match="cannot read .*recorded.sha256 as a list of checksums"):
        raw_files.require("one")
