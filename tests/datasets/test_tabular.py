"""MAF's preprocessing on small files in the raw formats, each against a computation of its own."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from pushforward import datasets
from pushforward.datasets import gaussian, tabular
from pushforward.datasets import manifest as real_manifest
from pushforward.errors import DataError

RNG = np.random.default_rng(0)
TABLE = '[{name}]\nsource = "tests"\nlicence = "none"\nsizes = {sizes}\ngaussian = {gaussian}\n[{name}.files]\n{files}'
FILES = {name: real_manifest.entry(name)["files"] for name in tabular.READERS}


def write_power(folder, n=205):
    rows = RNG.normal(size=(n, 8)) * 100
    np.save(folder / "data.npy", rows)
    return rows


def write_gas(folder, n=4300):
    a, b, c, d, e = RNG.normal(size=(5, n))
    # 1 and 2 are close, 2 and 3 too, and 1 and 3 hardly: without 1 the pair 2, 3 is left, and without 2 there is none
    sensors = {"R1": a, "R2": a + 0.15 * b, "R3": a + 0.3 * b, "R4": c, "R5": -c, "R6": 3 * c + 1, "R7": d}
    sensors["R8"] = d + 0.3 * e  # 0.96 of correlation, which is not yet too close
    names = {"Time": np.arange(n) / 100, "Meth": c**2, "Eth": b**2}
    pd.DataFrame(names | sensors).to_pickle(folder / "ethylene_CO.pickle")
    return sensors


def write_hepmass(folder, n=400):
    rows = np.round(RNG.normal(size=(n, 5)), 6)
    rows[:, 2] = np.maximum(rows[:, 2], 0.0)  # its smallest value, 0, comes for half of the rows
    rows[:5, 4] = rows[:, 4].min() - 1  # its smallest value comes five times, which is not yet too often
    labels = (np.arange(n) % 2).astype(float)
    labels[:5] = 1
    both = np.column_stack([labels, rows])
    header = "# label,f0,f1,f2,f3,f4"
    np.savetxt(folder / "1000_train.csv", both, delimiter=",", header=header, comments="", fmt="%.17g")
    wide = np.column_stack([both, np.full(n, 1000.0)])
    np.savetxt(folder / "1000_test.csv", wide[::-1], delimiter=",", header=f"{header},mass", comments="", fmt="%.17g")
    return rows[labels == 1], rows[::-1][labels[::-1] == 1]


def write_bsds300(folder):
    parts = {"train": RNG.normal(size=(50, 7)), "validation": RNG.normal(size=(8, 7)), "test": RNG.normal(size=(9, 7))}
    with h5py.File(folder / "BSDS300.hdf5", "w") as file:
        for name, rows in parts.items():
            file[name] = rows
    return parts


@pytest.fixture
def small(tables):
    """make(name, sizes, gaussian): a folder for the raw files of one set, which is the only one in the manifest."""

    def make(name, sizes, score="{ value = 0.0, tolerance = 1.0 }"):
        files = "\n".join(f'"{file}" = {{ member = "{row["member"]}" }}' for file, row in FILES[name].items())
        folder = tables(TABLE.format(name=name, sizes=sizes, gaussian=score, files=files)) / name
        folder.mkdir(parents=True)
        return folder

    return make


def test_tenths_are_held_out_from_the_end():
    rows = np.arange(109)[:, None]
    train, val, test = tabular.held_out(rows)
    assert len(test) == 10 and len(val) == 9  # of the 99 left
    assert np.array_equal(np.concatenate([train, val, test]), rows)
    sizes = [len(part) for part in tabular.held_out(np.zeros((2_049_280, 0)))]
    assert sizes == [1_659_917, 184_435, 204_928]


def test_power_is_shuffled_dequantised_and_standardised(small):
    folder = small("power", [167, 18, 20, 6])
    raw = write_power(folder)
    split = datasets.load("power", "quick", seed=9)
    rng = np.random.RandomState(42)  # row by row as MAF does it, on the whole table
    rng.shuffle(raw)
    voltage, active, meters = rng.rand(205, 1), rng.rand(205, 1), rng.rand(205, 3)
    kept = raw[:, [0, 2, 4, 5, 6, 7]] + np.hstack([0.001 * active, 0.01 * voltage, meters, np.zeros((205, 1))])
    x = (kept - kept[:185].mean(0)) / kept[:185].std(0)
    for part, rows in (("train", slice(167)), ("val", slice(167, 185)), ("test", slice(185, None))):
        torch.testing.assert_close(getattr(split, part), torch.from_numpy(x[rows]).float())
    torch.testing.assert_close(
        split.preprocessing.inverse(split.test.double()).numpy(), kept[185:], rtol=1e-5, atol=1e-4
    )
    assert split.preprocessing.log_det == pytest.approx(-np.log(kept[:185].std(0)).sum(), rel=1e-12)
    assert split.sha256 == datasets.load("power", "paper", seed=1).sha256  # MAF's split and noise, whatever the seed


def test_gas_keeps_the_last_of_close_columns(small):
    folder = small("gas", [3483, 387, 430, 5])
    sensors = write_gas(folder)
    frame = pd.DataFrame(sensors)
    assert (frame.corr() > 0.98).loc["R1", "R2"] and (frame.corr() > 0.98).loc["R2", "R3"]
    assert not (frame.corr() > 0.98).loc["R1", "R3"]
    split = datasets.load("gas", "quick")
    kept = frame[
        ["R3", "R5", "R6", "R7", "R8"]
    ]  # R1 goes for R2, then R2 for R3; R4 for R6, while −R4 is as far as can be
    x = ((kept - kept.mean()) / kept.std()).to_numpy(copy=True)
    torch.testing.assert_close(torch.cat([split.train, split.val, split.test]), torch.from_numpy(x).float())


def test_gas_without_its_columns_is_named(small):
    folder = small("gas", [1, 1, 1, 1])
    pd.DataFrame({"Time": [0.0, 1.0], "R1": [0.0, 2.0]}).to_pickle(folder / "ethylene_CO.pickle")
    with pytest.raises(DataError, match="expected also Eth, Meth"):
        datasets.load("gas")


def test_hepmass_keeps_signal_and_continuous_columns(small, monkeypatch):
    monkeypatch.setattr(tabular, "ROWS_AT_A_TIME", 90)  # several pieces, the last one short
    folder = small("hepmass", [183, 20, 203, 4])
    seen, unseen = write_hepmass(folder)
    split = datasets.load("hepmass", "quick")
    kept, mean, spread = [0, 1, 3, 4], seen.mean(0), seen.std(0, ddof=1)
    x, test = (((rows - mean) / spread)[:, kept] for rows in (seen, unseen))
    torch.testing.assert_close(split.train, torch.from_numpy(x[:183]).float())
    torch.testing.assert_close(split.val, torch.from_numpy(x[183:]).float())
    torch.testing.assert_close(split.test, torch.from_numpy(test).float())


def test_miniboone_is_standardised_by_train_and_val(small):
    folder = small("miniboone", [82, 9, 10, 3])
    rows = (RNG.normal(size=(101, 3)) * [1, 10, 100] + [0, 5, 7]).astype(np.float32)
    np.save(folder / "data.npy", rows)
    split, rows = datasets.load("miniboone", "quick"), rows.astype(np.float64)
    x = (rows - rows[:91].mean(0)) / rows[:91].std(0)
    torch.testing.assert_close(torch.cat([split.train, split.val, split.test]), torch.from_numpy(x).float())
    assert split.train.dtype == torch.float32 and split.stand_in_for is None and split.label == "miniboone"


def test_bsds300_is_taken_as_it_is(small):
    folder = small("bsds300-tabular", [50, 8, 9, 7])
    parts = write_bsds300(folder)
    split = datasets.load("bsds300-tabular", "quick")
    for part, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        assert torch.equal(getattr(split, part), torch.from_numpy(parts[name]).float())
    assert split.preprocessing.log_det == 0


def test_smoke_has_the_first_rows_standardised_as_all_are(small, monkeypatch):
    monkeypatch.setattr(tabular, "SMOKE", {"train": 20, "val": 5, "test": 7})
    folder = small("miniboone", [82, 9, 10, 3])
    np.save(folder / "data.npy", RNG.normal(size=(101, 3)))
    smoke, quick = datasets.load("miniboone", "smoke"), datasets.load("miniboone", "quick")
    assert (
        torch.equal(smoke.train, quick.train[:20]) and torch.equal(smoke.test, quick.test[:7]) and len(smoke.val) == 5
    )


def test_other_sizes_than_mafs_are_refused(small):
    np.save(small("miniboone", [29556, 3284, 3648, 43]) / "data.npy", RNG.normal(size=(101, 3)))
    with pytest.raises(DataError, match=r"dimension are \[82, 9, 10, 3\], expected \[29556, 3284, 3648, 43\]"):
        datasets.load("miniboone", "smoke")


@pytest.mark.parametrize(
    ("name", "file", "content", "message"),
    [
        ("power", "data.npy", b"<html>", "cannot read .*data.npy as an array"),
        ("miniboone", "data.npy", b"", "cannot read .*data.npy as an array"),
        ("gas", "ethylene_CO.pickle", b"<html>", "cannot read .*ethylene_CO.pickle as a pickled table"),
        ("hepmass", "1000_train.csv", b"label,f0\n1,a\n", "cannot read .*1000_train.csv as a table of numbers"),
        ("hepmass", "1000_train.csv", b"", "cannot read .*1000_train.csv as a table of numbers"),
        ("bsds300-tabular", "BSDS300.hdf5", b"<html>", "cannot read train, validation and test of .*BSDS300.hdf5"),
    ],
)
def test_files_of_another_form_are_named(small, name, file, content, message):
    folder = small(name, [1, 1, 1, 1])
    if name == "hepmass":
        write_hepmass(folder)
    (folder / file).write_bytes(content)
    with pytest.raises(DataError, match=message):
        datasets.load(name, "smoke")


def test_arrays_of_objects_and_of_other_shapes_are_refused(small):
    folder = small("power", [1, 1, 1, 6])
    np.save(folder / "data.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot read .*data.npy as an array"):
        datasets.load("power")
    np.save(folder / "data.npy", np.zeros(5))
    with pytest.raises(DataError, match="no two-dimensional array of numbers"):
        datasets.load("power")


@pytest.mark.parametrize("name", tabular.READERS)
def test_gaussian_scores_as_published(name):
    """Table 1 of MAF. It pins columns, noise, standardisation and split at once."""
    if not datasets.available(name):
        pytest.skip(f"{name} is absent: `make data` downloads it")
    published = real_manifest.entry(name)["gaussian"]
    split = datasets.load(name, "paper")
    assert abs(gaussian.gaussian_log_likelihood(split) - published["value"]) < published["tolerance"]


def test_gaussian_score_is_compared_and_a_wrong_one_refused(small):
    rows = RNG.normal(size=(101, 3))
    np.save(small("miniboone", [82, 9, 10, 3], "{ value = -4.3, tolerance = 2.0 }") / "data.npy", rows)
    assert "published -4.3" in gaussian.compare("miniboone") and gaussian.compare("bsds300") is None
    np.save(small("power", [82, 9, 10, 6], "{ value = 40.0, tolerance = 1.0 }") / "data.npy", RNG.normal(size=(101, 8)))
    with pytest.raises(
        DataError, match=r"power: a Gaussian scores -\d+\.\d\d nats .*, expected 40.0 within 1.0 .*Table 1"
    ):
        gaussian.compare("power")


def test_gaussian_score_by_closed_form():
    x = torch.tensor([[-1.0], [1.0], [-1.0], [1.0]], dtype=torch.float64)
    split = datasets.Split(x, x, torch.tensor([[2.0]], dtype=torch.float64), "toy", "", "", tabular.Scale(1))
    assert gaussian.gaussian_log_likelihood(split) == pytest.approx(-2 - 0.5 * np.log(2 * np.pi), abs=1e-12)
    flat = datasets.Split(x.repeat(1, 2), x.repeat(1, 2), x.repeat(1, 2), "flat", "", "", tabular.Scale(2))
    with pytest.raises(DataError, match="flat: the covariance of the training points is singular"):
        gaussian.gaussian_log_likelihood(flat)
