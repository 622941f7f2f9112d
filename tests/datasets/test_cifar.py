import pytest
import torch

from pushforward import datasets
from pushforward.datasets import cifar
from pushforward.errors import DataError

RNG = torch.Generator().manual_seed(0)


@pytest.fixture(params=["cifar-10", "cifar-100"])
def small(request, tables, monkeypatch):
    """Two records a file; the first red pixel is the image's number, the last blue one its class."""
    monkeypatch.setitem(cifar.SIZES, "quick", {"train": 1, "val": 1, "test": 2})
    kind = cifar.TEN if request.param == "cifar-10" else cifar.HUNDRED
    files = [*kind.train_files, kind.test_file]
    table = f'[{kind.kind.name}]\nsource = "tests"\nlicence = "none"\n[{kind.kind.name}.files]\n'
    folder = tables(table + "\n".join(f'"{file}" = {{}}' for file in files)) / kind.kind.name
    folder.mkdir(parents=True)
    for i, file in enumerate(files):
        pixels = torch.randint(256, (2, 3, 32, 32), generator=RNG, dtype=torch.uint8)
        pixels[:, 0, 0, 0] = torch.tensor([10 * i, 10 * i + 1])
        pixels[:, 2, 31, 31] = labels = torch.tensor([i, kind.kind.classes - 1 - i], dtype=torch.uint8)
        records = [torch.full((2, kind.label_bytes), 19, dtype=torch.uint8), pixels.flatten(1)]
        records[0][:, -1] = labels  # of cifar-100 the coarse label comes first: 19 is the largest
        (folder / file).write_bytes(bytes(torch.cat(records, 1).flatten().tolist()))
    return kind, folder


def test_records_are_read_by_channel_with_their_class(small, monkeypatch):
    kind, _ = small
    n = 2 * len(kind.train_files)
    monkeypatch.setitem(cifar.SIZES, "quick", {"train": n - 1, "val": 1, "test": 2})
    data = datasets.labelled(kind.kind.name, "quick", seed=4)
    seen = torch.cat([data.train, data.val])
    numbers = (seen[:, 0] * 255).round().long()
    assert sorted(numbers.tolist()) == sorted(10 * i + j for i in range(n // 2) for j in (0, 1))
    for part in ("train", "val", "test"):
        x, labels = data.part(part)
        assert torch.equal((x[:, -1] * 255).round().long(), labels)
    assert sorted((data.test[:, 0] * 255).round().tolist()) == [10 * (n // 2), 10 * (n // 2) + 1]
    assert (data.shape, data.classes, data.dim) == ((3, 32, 32), 10 if n == 10 else 100, 3072)


def test_points_are_the_same_rows_with_noise(small):
    name = small[0].kind.name
    split, data = datasets.load(name, "quick", seed=4), datasets.labelled(name, "quick", seed=4)
    for part in ("train", "val", "test"):
        noise = split.preprocessing.inverse(getattr(split, part).double()) - (data.part(part)[0].double() * 255).round()
        error = 5 / noise.numel() ** 0.5
        assert noise.min() > -1e-4 and noise.max() < 1 + 1e-4
        assert abs(noise.mean() - 1 / 2) < error and abs(noise.var() - 1 / 12) < error
    assert split.label == name and split.preprocessing.dim == 3072 and split.train.dtype == torch.float32


def test_the_pieces_of_a_large_part_have_noise_of_their_own(small, monkeypatch):
    kind, _ = small
    values = torch.zeros(5, 3072, dtype=torch.uint8)
    monkeypatch.setattr("pushforward.datasets.images.ROWS_AT_A_TIME", 2)
    x = kind.kind.split({part: cifar.Pixels(values, torch.zeros(5)) for part in ("train", "val", "test")}, 0, "toy")
    rows = torch.cat([x.train, x.val, x.test])
    assert len({tuple(row) for row in rows[:, :3].tolist()}) == 15 and 0 <= rows.min() and rows.max() <= 1 / 256


@pytest.mark.parametrize(
    ("spoil", "message"), [(lambda c: c[:-1], "expected records of"), (lambda c: b"", "has 0 bytes")]
)
def test_broken_files_are_named(small, spoil, message):
    kind, folder = small
    file = folder / kind.test_file
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(DataError, match=f"{kind.test_file} .*{message}"):
        datasets.load(kind.kind.name, "quick")


def test_labels_of_another_set_are_named(small):
    kind, folder = small
    content = bytearray((folder / kind.test_file).read_bytes())
    content[kind.label_bytes - 1] = kind.kind.classes
    (folder / kind.test_file).write_bytes(content)
    with pytest.raises(DataError, match=f"has the label {kind.kind.classes}, expected less than {kind.kind.classes}"):
        datasets.labelled(kind.kind.name, "quick")


@pytest.mark.parametrize("name", ["cifar-10", "cifar-100"])
def test_the_real_images(name):
    if not datasets.available(name):
        pytest.skip(f"{name} is absent: `make data` downloads it")
    data = datasets.labelled(name, "paper")
    assert (len(data.train), len(data.val), len(data.test)) == (45_000, 5000, 10_000)
    assert data.test_labels.bincount().tolist() == [10_000 // data.classes] * data.classes
