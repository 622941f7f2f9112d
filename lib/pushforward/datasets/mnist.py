"""MNIST: hand-written digits of 28×28 pixels, in the idx files of its makers."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pushforward.datasets import raw_files
from pushforward.datasets.images import Kind, Pixels, share_out
from pushforward.datasets.labelled import Labelled
from pushforward.datasets.split import Split
from pushforward.errors import DataError

KIND = Kind("mnist", (1, 28, 28), 10)
TRAIN_FILES = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
TEST_FILES = ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
OF_THE_TEST_IMAGES = {
    "smoke": {"train": 800, "val": 100, "test": 100},
    "quick": {"train": 8000, "val": 1000, "test": 1000},
}
OF_THE_TRAINING_IMAGES = {"train": 50_000, "val": 10_000}  # in the paper profile; its test images are the 10 000
UNSIGNED_BYTES = 8  # idx's code of a type


def needed(profile: str) -> list[str]:
    """The files of a profile: smoke and quick share out the 10 000 test images alone, the paper profile has all."""
    return TRAIN_FILES + TEST_FILES if profile == "paper" else TEST_FILES


def load(profile: str, seed: int) -> Split:
    """x = (value + U(0, 1)) / 256 in [0, 1]^784; the split of the paper profile, or 8000, 1000, 1000 test images.

    Raises:
        DataError: the files are absent, altered or no idx files.
    """
    return KIND.split(_parts(profile, seed), seed, _label(profile))


def labelled(profile: str, seed: int) -> Labelled:
    """x = value / 255 in [0, 1]^784 with the digit that it shows; the rows of ``load``. DataError as there."""
    return KIND.labelled(_parts(profile, seed), _label(profile))


def _label(profile: str) -> str:
    return KIND.name if profile == "paper" else f"{KIND.name} (test images)"


def _parts(profile: str, seed: int) -> dict[str, Pixels]:
    test = _read(*raw_files.require(KIND.name, TEST_FILES))
    if profile != "paper":
        return share_out(KIND.name, test, OF_THE_TEST_IMAGES[profile], seed)
    pool = _read(*raw_files.require(KIND.name, TRAIN_FILES))
    return share_out(KIND.name, pool, OF_THE_TRAINING_IMAGES, seed) | {"test": test}


def _read(images: Path, labels: Path) -> Pixels:
    values = read_idx(images)
    if values.ndim != 3 or values.shape[1:] != KIND.shape[1:]:
        raise DataError(f"{images} holds bytes of shape {tuple(values.shape)}, expected (n, 28, 28): run `make data`")
    return Pixels(values.flatten(1), read_idx(labels).flatten().long())


def read_idx(path: Path) -> Tensor:
    """The bytes of a gzipped idx file, uint8 in the shape that it states; DataError if they are not what it states."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot unpack {path} ({error}): remove it and run `make data`") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, UNSIGNED_BYTES]) or len(content) < 4 + 4 * content[3]:
        raise DataError(f"{path} starts with the bytes {content[:4].hex()}, expected an idx file of bytes (000008..)")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], dtype=">u4").tolist()
    if len(content) - start != np.prod(shape):
        raise DataError(f"{path} holds {len(content) - start} bytes, expected {np.prod(shape)} for its shape {shape}")
    return torch.frombuffer(bytearray(content[start:]), dtype=torch.uint8).reshape(shape)
