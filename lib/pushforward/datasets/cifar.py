"""CIFAR-10 and CIFAR-100: colour images of 32×32 pixels, from the binary files (no pickle is opened)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pushforward.datasets import raw_files
from pushforward.datasets.images import Kind, Pixels, share_out
from pushforward.datasets.labelled import Labelled
from pushforward.datasets.split import Split
from pushforward.errors import DataError

SIZES = {
    "smoke": {"train": 800, "val": 100, "test": 100},
    "quick": {"train": 9000, "val": 1000, "test": 2000},
    "paper": {"train": 45_000, "val": 5000, "test": 10_000},
}


@dataclass(frozen=True)
class Cifar:
    """One of the two sets: a record is some label bytes, the last of them the class, and 3·32·32 pixel bytes."""

    kind: Kind
    train_files: tuple[str, ...]
    test_file: str
    label_bytes: int

    def load(self, profile: str, seed: int) -> Split:
        """x = (value + U(0, 1)) / 256 in [0, 1]^3072, red, green, blue; val is drawn from the training files.

        Raises:
            DataError: the files are absent, altered or of another form.
        """
        return self.kind.split(self._parts(profile, seed), seed, self.kind.name)

    def labelled(self, profile: str, seed: int) -> Labelled:
        """x = value / 255 in [0, 1]^3072 with its (fine) class; the rows of ``load``. DataError as there."""
        return self.kind.labelled(self._parts(profile, seed), self.kind.name)

    def _parts(self, profile: str, seed: int) -> dict[str, Pixels]:
        *train, test = (
            self.read(path) for path in raw_files.require(self.kind.name, [*self.train_files, self.test_file])
        )
        pool = Pixels(torch.cat([each.values for each in train]), torch.cat([each.labels for each in train]))
        sizes = dict(SIZES[profile])
        of_test = {"test": sizes.pop("test")}
        name = self.kind.name
        return share_out(name, pool, sizes, seed) | share_out(name, test, of_test, seed)

    def read(self, path: Path) -> Pixels:
        """The images of one file; DataError if it is not a whole number of records with labels of this set."""
        content = np.fromfile(path, dtype=np.uint8)
        length = self.label_bytes + self.kind.recipe.dim
        if len(content) == 0 or len(content) % length:
            raise DataError(
                f"{path} has {len(content)} bytes, expected records of {length}: remove it, run `make data`"
            )
        records = torch.from_numpy(content.reshape(-1, length))
        labels = records[:, self.label_bytes - 1].long()
        if labels.max() >= self.kind.classes:
            raise DataError(f"{path} has the label {int(labels.max())}, expected less than {self.kind.classes}")
        return Pixels(records[:, self.label_bytes :], labels)


TEN = Cifar(
    Kind("cifar-10", (3, 32, 32), 10),
    tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test_batch.bin",
    label_bytes=1,
)
HUNDRED = Cifar(Kind("cifar-100", (3, 32, 32), 100), ("train.bin",), "test.bin", label_bytes=2)
