import dataclasses

import pytest
import torch
from sklearn.datasets import load_digits

from pushforward import datasets
from pushforward.datasets import Labelled
from pushforward.errors import DataError, InputError


def make(**changes):
    x, labels = torch.rand(6, 12), torch.tensor([0, 1, 2, 0, 1, 2])
    parts = {"train": x, "train_labels": labels, "val": x, "val_labels": labels, "test": x, "test_labels": labels}
    settings = {"shape": (3, 2, 2), "classes": 3, "name": "toy", "source": "here", "licence": "none"}
    return Labelled(**(parts | settings | changes))


def test_labelled_is_frozen_and_knows_its_shape():
    toy = make()
    assert toy.dim == 12 and toy.label == "toy" and toy.part("val")[1] is toy.val_labels
    with pytest.raises(dataclasses.FrozenInstanceError):
        toy.classes = 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val": torch.rand(6, 11)}, r"val has shape \(6, 11\), expected \(n, 12\)"),
        ({"test_labels": torch.zeros(5, dtype=torch.int64)}, r"test_labels has shape \(5,\) .* expected \(6,\)"),
        ({"train_labels": torch.zeros(6)}, r"train_labels has shape \(6,\) and dtype torch.float32"),
        ({"train_labels": torch.full((6,), 3)}, "train_labels run from 3 to 3, expected 0 to 2"),
        ({"train_labels": torch.full((6,), -1)}, "train_labels run from -1 to -1, expected 0 to 2"),
    ],
)
def test_bad_parts_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        make(**changes)


def test_sha256_sees_points_and_labels():
    x = torch.rand(6, 12)
    one = make(train=x, val=x, test=x)
    same = make(train=x.clone(), val=x, test=x)
    other = make(train=x, val=x, test=x, test_labels=torch.tensor([0, 1, 2, 0, 2, 1]))
    assert one.sha256 == same.sha256 != other.sha256


def test_digits_keep_their_labels_and_are_the_rows_of_load():
    labelled, split, bunch = datasets.labelled("digits", seed=5), datasets.load("digits", seed=5), load_digits()
    known = {tuple(row): int(label) for row, label in zip(bunch.data, bunch.target, strict=True)}
    for part in ("train", "val", "test"):
        x, labels = labelled.part(part)
        values = (x * 16).round()
        assert torch.equal(values, x * 16) and [known[tuple(row)] for row in values.tolist()] == labels.tolist()
        raw = split.preprocessing.inverse(getattr(split, part).double())
        assert ((raw - values) > -1e-5).all() and (
            (raw - values) < 1 + 1e-5
        ).all()  # noise in [0, 1), stored in float32
    assert (labelled.shape, labelled.classes, labelled.train.dtype) == ((1, 8, 8), 10, torch.float32)
    assert labelled.sha256 != datasets.labelled("digits", seed=6).sha256


def test_other_labels_are_an_error(monkeypatch):
    bunch = load_digits()
    bunch.target[7] = (bunch.target[7] + 1) % 10
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: bunch)
    with pytest.raises(DataError, match="digits: scikit-learn's labels have SHA-256"):
        datasets.labelled("digits")


def test_sets_without_labels_are_named():
    with pytest.raises(
        InputError, match="unknown labelled data set 'patches', expected one of digits, mnist, cifar-10, c"
    ):
        datasets.labelled("patches")
