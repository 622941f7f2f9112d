"""The patch recipe on the two photographs that scikit-learn ships: the embedded stand-in for bsds300."""

from importlib import resources
from io import BytesIO

from torch import Tensor

from pushforward.datasets import manifest
from pushforward.datasets.grey_patches import RECIPE, PatchCounts, patch_points, read_grey
from pushforward.datasets.split import Split
from pushforward.errors import DataError
from pushforward.seeds import stream

NAME = "patches"
BORDERS = {"train": (0.0, 0.7), "val": (0.7, 0.8), "test": (0.8, 1.0)}  # shares of each photograph's columns
COUNTS = {
    "smoke": PatchCounts(train=2000, val=500, test=1000),  # of each of the two photographs
    "quick": PatchCounts(train=100_000, val=10_000, test=20_000),
    "paper": PatchCounts(train=200_000, val=20_000, test=50_000),
}


def load(profile: str, seed: int) -> Split:
    """Patches of the left 70 %, the next 10 % and the last 20 % of both photographs: no pixel is in two parts.

    Raises:
        DataError: scikit-learn's photographs are missing or not the recorded ones.
    """
    table = manifest.entry(NAME)
    photographs = [photograph(file, digest) for file, digest in table["files"].items()]
    points = {
        part: patch_points(
            [region(image, part) for image in photographs],
            getattr(COUNTS[profile], part),
            stream(seed, f"{NAME}/{part} patches"),
        )
        for part in BORDERS
    }
    return Split(**points, name=NAME, source=table["source"], licence=table["licence"], preprocessing=RECIPE)


def region(image: Tensor, part: str) -> Tensor:
    """The columns of a photograph [height, width] that belong to one part."""
    first, last = (round(share * image.shape[1]) for share in BORDERS[part])
    return image[:, first:last]


def photograph(file: str, digest: str) -> Tensor:
    """One of scikit-learn's photographs as grey values; DataError if it is missing or has another SHA-256."""
    mend = "install the scikit-learn version in constraints.txt"
    try:
        content = (resources.files("sklearn.datasets.images") / file).read_bytes()
    except (ModuleNotFoundError, OSError) as error:
        raise DataError(f"{NAME}: scikit-learn has no photograph {file} ({error}): {mend}") from error
    if (found := manifest.sha256(content)) != digest:
        raise DataError(f"{NAME}: scikit-learn's {file} has SHA-256 {found[:12]}…, expected {digest[:12]}…: {mend}")
    return read_grey(BytesIO(content))
