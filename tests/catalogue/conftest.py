"""What the tests of the catalogue share."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the artifacts and the results of one module."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_ARTIFACTS", str(folder / "artifacts"))
        patch.setenv("PUSHFORWARD_RESULTS", str(folder / "results"))
        yield folder
