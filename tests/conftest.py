"""Tests find real data beside the checkout where nothing else is said; they train into folders of their own."""

import os
from pathlib import Path

import pytest
import torch

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure() -> None:
    if DATA.is_dir():
        os.environ.setdefault("PUSHFORWARD_DATA", str(DATA))


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what one test trains, on one thread."""
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path / "artifacts"))
    torch.set_num_threads(1)
    return tmp_path / "artifacts"
