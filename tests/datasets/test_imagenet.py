import numpy as np
import pytest
import torch

from pushforward import datasets
from pushforward.datasets import imagenet
from pushforward.datasets.install import ensure
from pushforward.errors import DataError

BY_HAND = "sign in at the makers'"
FILES = "\n".join(f'"{file}" = {{}}' for file in [*imagenet.TRAIN_FILES, imagenet.TEST_FILE])
TABLE = f'[imagenet-32]\nsource = "tests"\nlicence = "none"\nby_hand = "{BY_HAND}"\n[imagenet-32.files]\n{FILES}'
KEPT = torch.Generator().manual_seed(0)


def write(path, values, labels):
    np.savez(path, data=np.asarray(values), labels=np.asarray(labels), mean=np.zeros(3072))


@pytest.fixture
def small(tables, monkeypatch):
    """Two images a file; the first red byte is the image's number, the last blue one its class by 4."""
    monkeypatch.setitem(imagenet.SIZES, "quick", {"train": 1, "val": 1, "test": 2})
    monkeypatch.setitem(imagenet.SIZES, "paper", {"train": 19, "val": 1, "test": 2})
    folder = tables(TABLE) / "imagenet-32"
    folder.mkdir(parents=True)
    for i, file in enumerate([*imagenet.TRAIN_FILES, imagenet.TEST_FILE]):
        pixels = torch.randint(256, (2, 3, 32, 32), generator=KEPT, dtype=torch.uint8)
        pixels[:, 0, 0, 0] = torch.tensor([10 * i, 10 * i + 1])
        pixels[:, 2, 31, 31] = labels = torch.tensor([i, 249 - i], dtype=torch.uint8)
        write(folder / file, pixels.flatten(1), 4 * labels.long() + 1)
    return folder


def numbers(x):
    return (x[:, 0] * 255).round().long().tolist()


def test_images_are_read_by_channel_with_classes_from_zero(small):
    data = datasets.labelled("imagenet-32", "paper", seed=3)
    assert sorted(numbers(torch.cat([data.train, data.val]))) == sorted(10 * i + j for i in range(10) for j in (0, 1))
    assert sorted(numbers(data.test)) == [100, 101]
    for part in ("train", "val", "test"):
        x, labels = data.part(part)
        assert torch.equal((x[:, -1] * 255).round().long() * 4, labels)
    assert (data.shape, data.classes, data.train.dtype) == ((3, 32, 32), 1000, torch.float32)


def test_quick_reads_the_first_training_file_alone(small):
    for file in imagenet.TRAIN_FILES[1:]:
        (small / file).write_bytes(b"never opened")
    data = datasets.labelled("imagenet-32", "quick")
    assert sorted(numbers(torch.cat([data.train, data.val]))) == [0, 1]
    with pytest.raises(DataError, match=f"cannot read .*{imagenet.TRAIN_FILES[1]}"):
        datasets.labelled("imagenet-32", "paper")


def test_points_are_the_same_rows_with_noise(small):
    split, data = datasets.load("imagenet-32", "quick", seed=4), datasets.labelled("imagenet-32", "quick", seed=4)
    for part in ("train", "val", "test"):
        noise = split.preprocessing.inverse(getattr(split, part).double()) - (data.part(part)[0].double() * 255).round()
        assert noise.min() > -1e-4 and noise.max() < 1 + 1e-4
        assert abs(noise.mean() - 1 / 2) < 5 / noise.numel() ** 0.5


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        (np.zeros((2, 3072)), [1, 2], r"holds float64 of shape \(2, 3072\), expected uint8"),
        (np.zeros((2, 12288), np.uint8), [1, 2], r"shape \(2, 12288\), expected .* 32×32"),
        (np.zeros((0, 3072), np.uint8), [], r"shape \(0, 3072\)"),
        (np.zeros((2, 3072), np.uint8), [0, 2], "labels that are not whole numbers of 1 to 1000"),
        (np.zeros((2, 3072), np.uint8), [1, 1001], "labels that are not whole numbers of 1 to 1000"),
        (np.zeros((2, 3072), np.uint8), [1.0, 2.0], "labels that are not whole numbers of 1 to 1000"),
        (np.zeros((2, 3072), np.uint8), [1, 2, 3], "2 images with 3 labels"),
        (np.array([{"a": 1}]), [1], "cannot read .*pickle"),
    ],
)
def test_other_contents_are_named(small, values, labels, message):
    write(small / imagenet.TEST_FILE, values, labels)
    with pytest.raises(DataError, match=message):
        datasets.load("imagenet-32", "quick")


@pytest.mark.parametrize("spoil", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"text" * 100])
def test_broken_files_are_named(small, spoil):
    file = small / imagenet.TEST_FILE
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(DataError, match=f"cannot read .*{imagenet.TEST_FILE}.*make data"):
        datasets.load("imagenet-32", "quick")


def test_make_data_says_where_it_is_to_be_had(small):
    assert ensure("imagenet-32") == "imagenet-32: 11 files verified"
    (small / imagenet.TEST_FILE).unlink()
    assert ensure("imagenet-32") == f"imagenet-32: 1 of 11 files are absent; {BY_HAND}"
    assert not datasets.available("imagenet-32")
