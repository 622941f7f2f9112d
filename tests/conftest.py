"""Tests find real data beside the checkout where nothing else is said."""

import os
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure() -> None:
    if DATA.is_dir():
        os.environ.setdefault("PUSHFORWARD_DATA", str(DATA))
