"""Tiny data sets with a manifest of their own, and a server on this machine to fetch them from.

``tiny``: bsds300 of 24 training and 3 test images of 16×12 pixels, with the other tables of the manifest.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pushforward import paths
from pushforward.datasets import manifest

TABLE = """
[bsds300]
source = "drawn by the tests"
licence = "none"
url = "http://127.0.0.1:{port}/tiny-images.tgz"
digests = "tiny.sha256"
[bsds300.sets]
train = {{ sha256 = "{train}" }}
test = {{ sha256 = "{test}" }}
"""


def draw_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 24), ("test", 3)):
        (folder / part).mkdir(parents=True)
        for i in range(count):
            values = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            Image.fromarray(values).save(folder / part / f"{100 + i}.jpg")


def write_manifest(home: Path, images: Path, port: int = 9) -> None:
    digests = {
        file.relative_to(images).as_posix(): manifest.sha256(file.read_bytes())
        for file in sorted(images.glob("*/*.jpg"))
    }
    sets = {
        part: manifest.set_digest({file: d for file, d in digests.items() if file.startswith(part)})
        for part in ("train", "test")
    }
    home.mkdir(exist_ok=True)
    (home / "tiny.sha256").write_text("".join(f"{digest}  {file}\n" for file, digest in digests.items()))
    (home / "manifest.toml").write_text(TABLE.format(port=port, **sets))


class Server(ThreadingHTTPServer):
    """Serves ``files`` by their address, or ``content`` under every other; counts and remembers the requests."""

    content = b""
    length = None  # what it says of the length of what it sends, where that is a lie
    status = 200
    ranges = True  # whether it can send the rest of a file
    requests = 0

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []  # address and Range of every request


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.requests += 1
        server.asked.append((self.path, wanted))
        content, status = server.files.get(self.path, server.content), server.status
        if wanted and server.ranges:
            first = int(wanted.removeprefix("bytes=").removesuffix("-"))
            content, status = (content[first:], 206) if first < len(content) else (b"", 416)
        self.send_response(status)
        self.send_header("Content-Length", str(server.length or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def local(monkeypatch) -> Iterator[Server]:
    """A server at 127.0.0.1 that serves nothing yet."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """write(text): a manifest of one's own, with an empty cache and no other data folder; returns the cache."""

    def write(text: str) -> Path:
        path = tmp_path / "home" / "manifest.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        monkeypatch.setattr(paths, "manifest", lambda: path)
        monkeypatch.setattr(paths, "cache", lambda: tmp_path / "cache")
        monkeypatch.delenv("PUSHFORWARD_DATA", raising=False)
        return tmp_path / "cache"

    return write


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """The folder that holds bsds300/, named by PUSHFORWARD_DATA; its manifest takes the place of the real one."""
    folder = tmp_path / "named"
    draw_images(folder / "bsds300")
    write_manifest(tmp_path / "home", folder / "bsds300")
    monkeypatch.setattr(paths, "manifest", lambda: tmp_path / "home" / "manifest.toml")
    monkeypatch.setattr(paths, "cache", lambda: tmp_path / "cache")
    monkeypatch.setenv("PUSHFORWARD_DATA", str(folder))
    return folder
