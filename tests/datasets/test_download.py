"""``make data`` against a server on this machine: what it keeps, and what it says when things go wrong."""

import io
import re
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pushforward import paths
from pushforward.datasets import __main__ as command
from pushforward.datasets import registry
from pushforward.datasets.download import ensure
from pushforward.errors import DataError


class Server(ThreadingHTTPServer):
    """Serves ``content`` under every address, says it is ``length`` bytes long, and counts the requests."""

    content = b""
    length = None
    status = 200
    requests = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(self.server.length or len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tiny, monkeypatch):
    """A server of the tiny set's archive, and no data folder but the cache."""
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        server.content = archive(tiny / "bsds300")
        path = paths.manifest()
        path.write_text(path.read_text().replace("127.0.0.1:9/", f"127.0.0.1:{server.server_port}/"))
        monkeypatch.delenv("PUSHFORWARD_DATA")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server
        server.shutdown()


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
    assert command.main([]) == 0
    out, err = capfd.readouterr()
    assert "27 images downloaded and verified" in out and "100%" in err  # the progress bar
    assert kept() == ["bsds300"] and registry.load("bsds300", "smoke").label == "bsds300"
    assert command.main([]) == 0 and server.requests == 1
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
    assert command.main([]) == 1
    assert "make data" in capfd.readouterr().err and kept() == []
    server.content = whole  # the next try starts afresh
    assert command.main([]) == 0


def test_broken_connection_is_an_error(server):
    server.length = len(server.content) + 1000
    with pytest.raises(DataError, match="cannot download http://127.0.0.1.*check the network"):
        ensure("bsds300")
    assert kept() == []


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
    assert command.main([]) == 1  # nobody listens on port 9
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
