"""ImageNet at 32×32 pixels in colour, from the npz files of its makers (no pickle is opened)."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from pushforward.datasets import raw_files
from pushforward.datasets.images import Kind, Pixels, share_out
from pushforward.datasets.labelled import Labelled
from pushforward.datasets.split import Split
from pushforward.errors import DataError

KIND = Kind("imagenet-32", (3, 32, 32), 1000)
TRAIN_FILES = [f"train_data_batch_{i}.npz" for i in range(1, 11)]
TEST_FILE = "val_data.npz"  # the makers keep the labels of the test images to themselves
SIZES = {
    "smoke": {"train": 800, "val": 100, "test": 100},
    "quick": {"train": 9000, "val": 1000, "test": 2000},
    "paper": {"train": 1_231_167, "val": 50_000, "test": 50_000},
}


def load(profile: str, seed: int) -> Split:
    """x = (value + U(0, 1)) / 256 in [0, 1]^3072, red, green, blue; val is drawn from the training files.

    The smoke and quick profiles draw from the first training file alone, a tenth of the images. The paper profile takes
    16 GB of memory and 4 GB more while it reads.

    Raises:
        DataError: the files are absent, altered or of another form.
    """
    return KIND.split(_parts(profile, seed), seed, KIND.name)


def labelled(profile: str, seed: int) -> Labelled:
    """x = value / 255 in [0, 1]^3072 with its class 0 … 999; the rows of ``load``. DataError as there."""
    return KIND.labelled(_parts(profile, seed), KIND.name)


def _parts(profile: str, seed: int) -> dict[str, Pixels]:
    files = TRAIN_FILES if profile == "paper" else TRAIN_FILES[:1]
    *train, test = (read(path) for path in raw_files.require(KIND.name, [*files, TEST_FILE]))
    pool = Pixels(torch.cat([each.values for each in train]), torch.cat([each.labels for each in train]))
    sizes = dict(SIZES[profile])
    of_test = {"test": sizes.pop("test")}
    return share_out(KIND.name, pool, sizes, seed) | share_out(KIND.name, test, of_test, seed)


def read(path: Path) -> Pixels:
    """The images of one file: ``data``, uint8 [n, 3072], channel by channel, and ``labels``, 1 … 1000 [n].

    Raises:
        DataError: it is no npz file, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values, labels = arrays["data"], arrays["labels"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"cannot read {path} ({error}): remove it and fetch it again, `make data` says where"
        ) from error
    if values.dtype != np.uint8 or values.ndim != 2 or values.shape[1] != KIND.recipe.dim or len(values) == 0:
        raise DataError(
            f"{path} holds {values.dtype} of shape {values.shape}, expected uint8 of shape (n, {KIND.recipe.dim}): is "
            "it the set of 32×32 pixels?"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min() < 1 or labels.max() > KIND.classes:
        raise DataError(f"{path} has labels that are not whole numbers of 1 to {KIND.classes}, one an image")
    return Pixels(torch.from_numpy(values), torch.from_numpy(labels.astype(np.int64)) - 1)
