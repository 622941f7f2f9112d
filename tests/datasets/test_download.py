"""``make data`` of the images against a server on this machine: what is kept, and what is said when things go wrong."""

import hashlib
import io
import re
import tarfile

import pytest

from pushforward import paths
from pushforward.datasets import __main__ as command
from pushforward.datasets import registry
from pushforward.datasets.download import CHUNK, download, file_digest
from pushforward.datasets.install import ensure
from pushforward.errors import DataError


@pytest.fixture
def server(tiny, local, monkeypatch):
    """A server of the tiny set's archive, and no data folder but the cache."""
    local.content = archive(tiny / "bsds300")
    path = paths.manifest()
    path.write_text(path.read_text().replace("127.0.0.1:9/", f"127.0.0.1:{local.server_port}/"))
    monkeypatch.delenv("PUSHFORWARD_DATA")
    return local


def archive(images, leave_out="", extra=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for file in sorted(images.glob("*/*.jpg")):
            if file.name != leave_out:
                tar.add(file, f"BSDS300/images/{file.parent.name}/{file.name}")
        for name in extra:
            tar.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def kept():
    """What is in the cache, below it and beside the images."""
    return sorted(path.name for path in paths.cache().iterdir())


def test_images_are_downloaded_verified_and_loadable(server, capfd):
    assert not registry.available("bsds300")
    assert command.main(["bsds300"]) == 0
    out, err = capfd.readouterr()
    assert "27 images downloaded and verified" in out and "100%" in err  # the progress bar
    assert kept() == ["bsds300"] and registry.load("bsds300", "smoke").label == "bsds300"
    assert command.main(["bsds300"]) == 0 and server.requests == 1
    assert "27 images verified in" in capfd.readouterr().out


def test_nothing_but_the_listed_images_is_unpacked(server, tiny):
    server.content = archive(tiny / "bsds300", extra=["../../evil.jpg", "BSDS300/iids_train.txt", "/train/evil.jpg"])
    ensure("bsds300")
    assert sorted(path.name for path in (paths.cache() / "bsds300").iterdir()) == ["test", "train"]
    assert not list(paths.cache().parent.rglob("evil.jpg")) and kept() == ["bsds300"]


@pytest.mark.parametrize("size", [0, 40, 3000, -40])
def test_truncated_archive_is_refused_and_not_kept(server, size, capfd):
    whole = server.content
    server.content = whole[:size]
    assert command.main(["bsds300"]) == 1
    assert "make data" in capfd.readouterr().err and kept() == []
    server.content = whole  # the next try starts afresh
    assert command.main(["bsds300"]) == 0


def test_broken_connection_is_an_error(server):
    whole, server.content, server.length = server.content, server.content[:1000], len(server.content)
    with pytest.raises(DataError, match="cannot download http://127.0.0.1.*check the network"):
        ensure("bsds300")
    assert kept() == ["tiny-images.tgz.part"]
    server.content, server.length = whole, None
    assert "downloaded" in ensure("bsds300") and kept() == ["bsds300"]


def test_page_instead_of_archive_is_an_error(server):
    server.content = b"<html>Please log in</html>"
    with pytest.raises(DataError, match="gave 26 bytes that are not a whole tar archive"):
        ensure("bsds300")


def test_refusal_is_an_error(server):
    server.status = 404
    with pytest.raises(DataError, match="cannot download .*404"):
        ensure("bsds300")


def test_other_images_than_recorded_are_refused(server, tiny):
    (tiny / "bsds300" / "test" / "102.jpg").write_bytes(b"other")
    server.content = archive(tiny / "bsds300")
    with pytest.raises(
        DataError, match=r"1 of 27 images are truncated or altered, the first is test/102.jpg \(5 bytes"
    ):
        ensure("bsds300")
    server.content = archive(tiny / "bsds300", leave_out="102.jpg")
    with pytest.raises(DataError, match="2 of 27 images are missing, the first is test/102.jpg"):
        ensure("bsds300")
    assert kept() == []


def test_no_network_is_an_error(tiny, monkeypatch, capfd):
    monkeypatch.delenv("PUSHFORWARD_DATA")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert command.main(["bsds300"]) == 1  # nobody listens on port 9
    err = capfd.readouterr().err
    assert "cannot download http://127.0.0.1:9/" in err and "check the network" in err and "PUSHFORWARD_DATA" in err


def test_broken_copy_in_the_cache_is_replaced(server):
    ensure("bsds300")
    (paths.cache() / "bsds300" / "train" / "105.jpg").unlink()
    assert "downloaded" in ensure("bsds300") and server.requests == 2
    assert registry.load("bsds300", "smoke").dim == 63


def test_broken_copy_of_the_user_is_only_reported(server, tiny, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tiny))
    (tiny / "bsds300" / "train" / "105.jpg").unlink()
    with pytest.raises(DataError, match=rf"{re.escape(str(tiny))}.*1 of 27 images are missing.*Remove that folder"):
        ensure("bsds300")
    assert server.requests == 0 and (tiny / "bsds300").is_dir()


def address(local):
    return f"http://127.0.0.1:{local.server_port}/some/file.bin?download=1"


def test_a_file_is_named_after_the_path_and_checked(local, tmp_path):
    local.content = bytes(range(256)) * 9000  # more than one piece
    for algorithm in ("sha256", "md5"):
        expected = hashlib.new(algorithm, local.content).hexdigest()
        path = download(address(local), tmp_path / "new", f"{algorithm}:{expected}")
        assert path.name == "file.bin" and path.read_bytes() == local.content
        assert file_digest(path, algorithm) == expected
    local.content += b"x"
    with pytest.raises(
        DataError, match=r"gave 2304001 bytes with sha256 [0-9a-f]{12}…, expected abcd…: nothing was kept"
    ):
        download(address(local), tmp_path / "other", "sha256:abcd")
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_stopped(local, tmp_path, ranges):
    local.content, local.ranges = bytes(range(256)) * 8, ranges
    (tmp_path / "file.bin.part").write_bytes(local.content[:777])
    assert download(address(local), tmp_path).read_bytes() == local.content
    assert local.asked == [("/some/file.bin?download=1", "bytes=777-")]


def test_a_broken_connection_costs_at_most_one_piece(local, tmp_path):
    whole = bytes(range(256)) * 1500
    local.content, local.length = whole[:300_000], len(whole)
    with pytest.raises(DataError, match="cannot download"):
        download(address(local), tmp_path)
    size = (tmp_path / "file.bin.part").stat().st_size
    assert 300_000 - CHUNK <= size <= 300_000
    local.content, local.length = whole, None
    assert download(address(local), tmp_path).read_bytes() == whole
    assert local.asked[-1][1] == f"bytes={size}-" and [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_part_that_is_no_part_is_fetched_afresh(local, tmp_path):
    local.content = b"short"
    (tmp_path / "file.bin.part").write_bytes(b"longer than the file")
    assert download(address(local), tmp_path).read_bytes() == b"short"
    assert [wanted for _, wanted in local.asked] == ["bytes=20-", None]


def test_names_choose_and_unknown_ones_are_named(server, capsys):
    with pytest.raises(SystemExit):
        command.main(["bsds300", "digits"])
    assert "digits does not come as files, expected some of bsds300, power, gas" in capsys.readouterr().err
    assert server.requests == 0
