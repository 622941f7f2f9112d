import gzip
import struct

import pytest
import torch

from pushforward import datasets
from pushforward.datasets import mnist
from pushforward.errors import DataError

TABLE = '[mnist]\nsource = "tests"\nlicence = "none"\n[mnist.files]\n'
RNG = torch.Generator().manual_seed(0)


def idx(values):
    """The file that the format asks for: 0, 0, 8 for bytes, the number of axes, big-endian sizes, bytes."""
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return gzip.compress(header + bytes(values.flatten().int().tolist()))


@pytest.fixture
def small(tables, monkeypatch):
    """30 training and 12 test images whose first pixel is their number and whose label is its last digit."""
    monkeypatch.setitem(mnist.OF_THE_TEST_IMAGES, "quick", {"train": 7, "val": 3, "test": 2})
    monkeypatch.setattr(mnist, "OF_THE_TRAINING_IMAGES", {"train": 20, "val": 10})
    files = mnist.TRAIN_FILES + mnist.TEST_FILES
    folder = tables(TABLE + "\n".join(f'"{file}" = {{}}' for file in files)) / "mnist"
    folder.mkdir(parents=True)
    for first, n, (images, labels) in ((0, 30, mnist.TRAIN_FILES), (100, 12, mnist.TEST_FILES)):
        values = torch.randint(256, (n, 28, 28), generator=RNG, dtype=torch.uint8)
        values[:, 0, 0] = torch.arange(first, first + n)
        (folder / images).write_bytes(idx(values))
        (folder / labels).write_bytes(idx(values[:, 0, 0] % 10))
    return folder


def numbers(x):
    return (x[:, 0] * 255).round().long().tolist()


@pytest.mark.parametrize(("profile", "sizes"), [("quick", (7, 3, 2)), ("paper", (20, 10, 12))])
def test_every_image_is_used_once_with_its_label(small, profile, sizes):
    data = datasets.labelled("mnist", profile, seed=3)
    assert tuple(len(data.part(part)[0]) for part in ("train", "val", "test")) == sizes
    seen = [number for part in ("train", "val", "test") for number in numbers(data.part(part)[0])]
    assert sorted(seen) == (list(range(100, 112)) if profile == "quick" else [*range(30), *range(100, 112)])
    labels = torch.cat([data.train_labels, data.val_labels, data.test_labels]).tolist()
    assert labels == [number % 10 for number in seen] and seen != sorted(seen)
    assert (data.shape, data.classes, data.train.dtype) == ((1, 28, 28), 10, torch.float32)


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_points_are_the_same_rows_with_noise(small, profile):
    split, data = datasets.load("mnist", profile, seed=3), datasets.labelled("mnist", profile, seed=3)
    for part in ("train", "val", "test"):
        noise = split.preprocessing.inverse(getattr(split, part).double()) - (data.part(part)[0].double() * 255).round()
        assert noise.min() > -1e-5 and noise.max() < 1 + 1e-5
        error = 5 / noise.numel() ** 0.5
        assert abs(noise.mean() - 1 / 2) < error and abs(noise.var() - 1 / 12) < error
    assert (
        split.label == ("mnist" if profile == "paper" else "mnist (test images)") and split.train.dtype == torch.float32
    )
    assert split.preprocessing.log_det == pytest.approx(-784 * torch.tensor(256.0).double().log().item())


def test_the_seed_decides(small):
    first, again, other = (datasets.load("mnist", "quick", seed) for seed in (0, 0, 1))
    assert first.sha256 == again.sha256 != other.sha256
    assert numbers(datasets.labelled("mnist", "quick", 0).train) != numbers(
        datasets.labelled("mnist", "quick", 1).train
    )


def test_quick_does_without_the_training_images(small):
    for file in mnist.TRAIN_FILES:
        (small / file).unlink()
    assert datasets.load("mnist", "quick").dim == 784
    with pytest.raises(DataError, match="2 of 2 files are in none of the data folders .* mnist/train-images-idx3"):
        datasets.load("mnist", "paper")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "cannot unpack .*t10k-images-idx3-ubyte.gz"),
        (idx(torch.zeros(12, 28, 28))[:-20], "cannot unpack .*t10k-images"),
        (gzip.compress(b"<html>"), "starts with the bytes 3c68746d, expected an idx file of bytes"),
        (gzip.compress(bytes([0, 0, 13, 1])), "starts with the bytes 00000d01"),
        (gzip.compress(b"\0"), "starts with the bytes 00, expected"),
        (gzip.compress(bytes([0, 0, 8, 3, 0, 0])), "starts with the bytes 00000803"),
        (
            gzip.compress(gzip.decompress(idx(torch.zeros(12, 28, 28)))[:-1]),
            r"holds 9407 bytes, expected 9408 for its sh",
        ),
        (idx(torch.zeros(12, 27, 28)), r"holds bytes of shape \(12, 27, 28\), expected \(n, 28, 28\)"),
        (idx(torch.zeros(11, 28, 28)), "11 images with 12 labels"),
    ],
)
def test_files_of_another_form_are_named(small, content, message):
    (small / mnist.TEST_FILES[0]).write_bytes(content)
    with pytest.raises(DataError, match=message):
        datasets.load("mnist", "quick")


def test_too_few_images_are_named(small, monkeypatch):
    monkeypatch.setitem(mnist.OF_THE_TEST_IMAGES, "quick", {"train": 10, "val": 2, "test": 1})
    with pytest.raises(DataError, match="mnist has 12 images to share out, expected at least 13"):
        datasets.load("mnist", "quick")


@pytest.mark.skipif(not datasets.available("mnist"), reason="mnist is absent: `make data` downloads it")
def test_the_real_test_images():
    data = datasets.labelled("mnist", "quick")
    counts = sum(data.part(part)[1].bincount() for part in ("train", "val", "test"))
    assert counts.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert len(data.train) == 8000 and data.train.max() == 1 and 0.12 < data.train.mean() < 0.14
