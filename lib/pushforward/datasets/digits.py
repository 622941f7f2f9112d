"""Hand-written digits, 8×8 pixels: real data that comes with scikit-learn."""

import numpy as np
import torch
from torch import Tensor

from pushforward.datasets import manifest
from pushforward.datasets.labelled import Labelled
from pushforward.datasets.preprocessing import Scale
from pushforward.datasets.split import Split
from pushforward.errors import DataError
from pushforward.seeds import stream

NAME = "digits"
LEVELS = 17  # grey values 0..16
SIZES = (1297, 200, 300)  # train, val, test; the same in every profile
SHAPE = (1, 8, 8)
CLASSES = 10


def load(profile: str, seed: int) -> Split:
    """x = (value + U(0, 1)) / 17 in [0, 1]^64, no logit; 1297, 200 and 300 digits, shuffled by ``seed``.

    Densities are those of x, in nats per sample; ``floor(preprocessing.inverse(x))`` gives the grey values back,
    but for the rounding of x to float32.

    Raises:
        DataError: scikit-learn's digits are not the recorded ones.
    """
    values, _ = recorded()
    table = manifest.entry(NAME)
    scale = Scale(values.shape[1], divisor=LEVELS)
    noise = torch.rand(values.shape, generator=stream(seed, f"{NAME}/noise"), dtype=torch.float64)
    x = scale.forward(values + noise).float()
    train, val, test = (x[rows] for rows in shares(len(x), seed))
    return Split(train, val, test, NAME, table["source"], table["licence"], preprocessing=scale)


def labelled(profile: str, seed: int) -> Labelled:
    """x = value / 16 in [0, 1]^64 with the digit 0..9 that it shows; the rows of ``load``.

    Raises:
        DataError: scikit-learn's digits are not the recorded ones.
    """
    values, labels = recorded()
    table = manifest.entry(NAME)
    x = values.float() / (LEVELS - 1)
    parts = [part for rows in shares(len(x), seed) for part in (x[rows], labels[rows])]
    return Labelled(*parts, SHAPE, CLASSES, NAME, table["source"], table["licence"])


def shares(n: int, seed: int) -> tuple[Tensor, ...]:
    """The rows of train, val and test."""
    return torch.randperm(n, generator=stream(seed, f"{NAME}/split")).split(SIZES)


def recorded() -> tuple[Tensor, Tensor]:
    """Grey values, uint8 [1797, 64], and digits, int64 [1797]; DataError if they are not the recorded ones."""
    from sklearn.datasets import load_digits  # here, for it takes 1.5 s and every import of pushforward would pay

    table, bunch = manifest.entry(NAME), load_digits()
    values, labels = bunch.data.astype(np.uint8), bunch.target.astype(np.uint8)
    for what, array, expected in (("values", values, table["sha256"]), ("labels", labels, table["labels"])):
        if (found := manifest.sha256(array.tobytes())) != expected:
            raise DataError(
                f"{NAME}: scikit-learn's {what} have SHA-256 {found[:12]}…, expected {expected[:12]}…: "
                "install the scikit-learn version in constraints.txt"
            )
    return torch.from_numpy(values), torch.from_numpy(labels).long()
