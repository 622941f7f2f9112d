"""Hand-written digits, 8×8 pixels: real data that comes with scikit-learn."""

import numpy as np
import torch

from pushforward.datasets import manifest
from pushforward.datasets.preprocessing import Scale
from pushforward.datasets.split import Split
from pushforward.errors import DataError
from pushforward.seeds import stream

NAME = "digits"
LEVELS = 17  # grey values 0..16
SIZES = (1297, 200, 300)  # train, val, test; the same in every profile


def load(profile: str, seed: int) -> Split:
    """x = (value + U(0, 1)) / 17 in [0, 1]^64, no logit; 1297, 200 and 300 digits, shuffled by ``seed``.

    Densities are those of x, in nats per sample; ``floor(preprocessing.inverse(x))`` gives the grey values back,
    but for the rounding of x to float32.

    Raises:
        DataError: scikit-learn's digits are not the recorded ones.
    """
    from sklearn.datasets import load_digits  # here, for it takes 1.5 s and every import of pushforward would pay

    table = manifest.entry(NAME)
    values = load_digits().data.astype(np.uint8)
    if (found := manifest.sha256(values.tobytes())) != table["sha256"]:
        raise DataError(
            f"{NAME}: scikit-learn's values have SHA-256 {found[:12]}…, expected {table['sha256'][:12]}…: "
            "install the scikit-learn version in constraints.txt"
        )
    scale = Scale(values.shape[1], divisor=LEVELS)
    noise = torch.rand(values.shape, generator=stream(seed, f"{NAME}/noise"), dtype=torch.float64)
    x = scale.forward(torch.from_numpy(values) + noise).float()
    order = torch.randperm(len(x), generator=stream(seed, f"{NAME}/split"))
    train, val, test = (x[rows] for rows in order.split(SIZES))
    return Split(train, val, test, NAME, table["source"], table["licence"], preprocessing=scale)
