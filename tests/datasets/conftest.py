"""A tiny bsds300 with a manifest of its own: 24 training and 3 test images of 16×12 pixels."""

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
