"""POWER, GAS, HEPMASS, MINIBOONE and BSDS300 in 63-d as the flow papers use them: preprocessing and splits of MAF.

Papamakarios, Pavlakou, Murray 2017 (arXiv 1705.07057), section 4.2 and appendix D; the points are theirs, to the row.
Densities are those of the standardised points, as in all published tables. Nothing here depends on a seed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pushforward.datasets import manifest, raw_files
from pushforward.datasets.frame_pickle import read_frame
from pushforward.datasets.preprocessing import Preprocessing, Scale, Standardise
from pushforward.datasets.split import Split
from pushforward.errors import DataError

SMOKE = {"train": 4000, "val": 1000, "test": 2000}  # the first rows of each part; the other profiles have all of them
POWER_SEED = 42  # MAF's, of numpy's RandomState, whose stream is frozen
TOO_CORRELATED = 0.98  # of GAS: one of each pair of columns above it goes
TOO_OFTEN = 5  # of HEPMASS: a column whose smallest value comes more often is discrete
ROWS_AT_A_TIME = 100_000


@dataclass(frozen=True)
class Parts:
    """Raw rows of train, val and test, float64 [n, d], and the recipe that makes points of them."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    recipe: Preprocessing


def load(name: str, profile: str, seed: int) -> Split:
    """One of ``READERS`` in float32: all rows, in the smoke profile the first of each part; ``seed`` changes nothing.

    Raises:
        DataError: a file is absent, altered or of another form, or the parts have other sizes than MAF's.
    """
    parts, table = READERS[name](*raw_files.require(name)), manifest.entry(name)
    sizes = [len(parts.train), len(parts.val), len(parts.test), parts.recipe.dim]
    if sizes != table["sizes"]:
        raise DataError(
            f"{name}: train, val, test and dimension are {sizes}, expected {table['sizes']}: these are other files "
            "than MAF's; remove them and run `make data`"
        )
    points = {}
    for part, rows in SMOKE.items():
        raw = getattr(parts, part)[: rows if profile == "smoke" else None]
        points[part] = parts.recipe.forward(torch.from_numpy(np.ascontiguousarray(raw, dtype=np.float64))).float()
    return Split(**points, name=name, source=table["source"], licence=table["licence"], preprocessing=parts.recipe)


def power(data: Path) -> Parts:
    """Household power, 6 columns: without reactive power and intensity, with noise of each meter's step, as MAF's."""
    rows, rng = read_array(data), np.random.RandomState(POWER_SEED)
    order = np.arange(len(rows))
    rng.shuffle(order)
    rows = np.delete(rows[order], [1, 3], axis=1)
    rows[:, 1] += 0.01 * rng.rand(len(rows))  # voltage
    rows[:, 0] += 0.001 * rng.rand(len(rows))  # active power
    rows[:, 2:5] += rng.rand(len(rows), 3)  # the three sub-meters; the time of day stays as it is
    return standardised(*held_out(rows))


def gas(data: Path) -> Parts:
    """Gas sensors, 8 columns: those left when, of each pair correlated above 0.98, the first has gone.

    Standardised by all rows, test included, as MAF does.
    """
    names, rows = read_frame(data)
    if missing := {"Time", "Meth", "Eth"} - set(names):
        raise DataError(f"{data} has the columns {names}, expected also {', '.join(sorted(missing))}: run `make data`")
    rows = rows[:, [name not in ("Time", "Meth", "Eth") for name in names]]
    close = np.corrcoef(rows.T) > TOO_CORRELATED
    left = list(range(rows.shape[1]))
    while (several := close[np.ix_(left, left)].sum(1) > 1).any():
        del left[several.argmax()]
    rows = rows[:, left]
    return Parts(*held_out(rows), recipe=standard(rows, spare=1))


def hepmass(train: Path, test: Path) -> Parts:
    """Particle collisions, 21 columns: signal events of the mass-1000 set, without columns that repeat a value."""
    seen, unseen = signal_events(train), signal_events(test)
    unseen = unseen[:, : seen.shape[1]]  # the test file has one column more
    continuous = (seen == seen.min(0)).sum(0) <= TOO_OFTEN
    seen, unseen = seen[:, continuous], unseen[:, continuous]
    held = len(seen) // 10
    return Parts(seen[:-held], seen[-held:], unseen, standard(seen, spare=1))


def miniboone(data: Path) -> Parts:
    """Neutrino events, 43 columns: signal only, without outliers and repeated values (MAF's file is so already)."""
    return standardised(*held_out(read_array(data)))


def bsds300(data: Path) -> Parts:
    """Patches of natural images, 63 columns: MAF's own draw, not standardised. Our own draw is the set ``bsds300``."""
    import h5py  # here, for only this set needs it

    try:
        with h5py.File(data) as file:
            parts = [file[part][:].astype(np.float64) for part in ("train", "validation", "test")]
    except (OSError, KeyError) as error:
        raise DataError(f"cannot read train, validation and test of {data} ({error}): run `make data`") from error
    return Parts(*parts, recipe=Scale(parts[0].shape[1]))


READERS: dict[str, Callable[..., Parts]] = {
    "power": power,
    "gas": gas,
    "hepmass": hepmass,
    "miniboone": miniboone,
    "bsds300-tabular": bsds300,
}


def held_out(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train, val and test: the last tenth is test, the last tenth of the rest val."""
    test = len(rows) // 10
    val = (len(rows) - test) // 10
    return rows[: -test - val], rows[-test - val : -test], rows[-test:]


def standardised(train: np.ndarray, val: np.ndarray, test: np.ndarray) -> Parts:
    """Parts to be standardised by train and val together."""
    return Parts(train, val, test, standard(np.concatenate([train, val])))


def standard(rows: np.ndarray, spare: int = 0) -> Standardise:
    """Mean and standard deviation of rows [n, d]; ``spare`` is numpy's ddof."""
    return Standardise(tuple(rows.mean(0).tolist()), tuple(rows.std(0, ddof=spare).tolist()))


def read_array(path: Path) -> np.ndarray:
    """A numpy file of numbers [n, d] as float64; DataError if it is something else (a pickle is not opened)."""
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path} as an array ({error}): run `make data`") from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise DataError(f"{path} is no two-dimensional array of numbers: run `make data`")
    return rows.astype(np.float64)


def signal_events(path: Path) -> np.ndarray:
    """The columns behind the first of those rows of a comma-separated file whose first column is 1, float64 [n, d].

    Read some rows at a time: only the signal, half of the file, is held in memory.
    """
    import pandas as pd  # here, for it takes half a second and every import of pushforward would pay

    try:
        with pd.read_csv(path, index_col=False, chunksize=ROWS_AT_A_TIME) as pieces:
            return np.concatenate([piece[piece.iloc[:, 0] == 1].iloc[:, 1:].to_numpy(np.float64) for piece in pieces])
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"cannot read {path} as a table of numbers ({error}): run `make data`") from error
