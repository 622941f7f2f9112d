import dataclasses

import numpy as np
import pytest
import torch

from pushforward.datasets import Split
from pushforward.datasets.preprocessing import Scale
from pushforward.errors import InputError
from pushforward.seeds import stream


def make(train, val=None, test=None, **changes):
    val, test = train if val is None else val, train if test is None else test
    settings = {"name": "toy", "source": "here", "licence": "none", "preprocessing": Scale(train.shape[1])}
    return Split(train, val, test, **(settings | changes))


def test_split_is_frozen_and_knows_its_dimension():
    split = make(torch.zeros(4, 3))
    assert split.dim == 3 and split.label == "toy"
    assert dataclasses.replace(split, stand_in_for="real").label == "toy (stand-in for real)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        split.name = "other"


def test_bad_parts_are_named():
    good = torch.zeros(4, 3)
    with pytest.raises(InputError, match=r"val has shape \(4, 2\), expected \(n, 3\)"):
        make(good, val=torch.zeros(4, 2))
    with pytest.raises(InputError, match="test has 1 of 4 rows that are NaN"):
        make(good, test=good.index_put((torch.tensor(2), torch.tensor(1)), torch.tensor(float("nan"))))
    with pytest.raises(InputError, match="test has dtype torch.float64, expected torch.float32"):
        make(good, test=good.double())


def test_sha256_sees_every_part_and_the_shape():
    x = torch.arange(12.0).reshape(4, 3)
    reference = make(x).sha256
    assert reference == make(x.clone()).sha256 and len(reference) == 64
    others = [make(x, val=x + 1), make(x, test=x[:3]), make(x.double()), make(x.reshape(6, 2)), make(x[:2], val=x)]
    assert len({reference, *(split.sha256 for split in others)}) == 6


@pytest.mark.parametrize(
    ("n", "sizes"), [(3, (1, 1, 1)), (19, (17, 1, 1)), (100, (80, 10, 10)), (1004, (804, 100, 100))]
)
def test_from_points_uses_every_point_once(n, sizes):
    x = torch.arange(2.0 * n, dtype=torch.float64).reshape(n, 2)
    split = Split.from_points(x, seed=3)
    assert (len(split.train), len(split.val), len(split.test)) == sizes
    together = torch.cat([split.train, split.val, split.test])
    assert torch.equal(together[together[:, 0].argsort()], x) and together.dtype == torch.float64


def test_from_points_shuffles_by_seed_alone():
    x = torch.arange(200.0).reshape(100, 2)
    first, again, other = (Split.from_points(x, seed) for seed in (0, 0, 1))
    assert torch.equal(first.train, again.train) and not torch.equal(first.train, other.train)
    assert not torch.equal(first.train, x[:80])


def test_from_points_takes_arrays():
    array = np.arange(40.0).reshape(10, 4)[::-1]
    assert torch.equal(Split.from_points(array).train, Split.from_points(torch.tensor(array.copy())).train)
    with pytest.raises(InputError, match="dtype torch.int64"):
        Split.from_points(np.arange(40).reshape(10, 4))
    with pytest.raises(InputError, match="x is a ndarray"):
        Split.from_points(np.array([["a", "b"]]))


def test_from_points_refuses_too_few_or_bad_points():
    with pytest.raises(InputError, match="x has 2 points, expected at least 3"):
        Split.from_points(torch.zeros(2, 2))
    with pytest.raises(InputError, match="NaN or infinite"):
        Split.from_points(torch.full((9, 2), float("inf")))


class Normal:
    def sample(self, n, generator):
        return torch.randn(n, 2, generator=generator)


def test_from_distribution_has_a_stream_for_each_part():
    split = Split.from_distribution(Normal(), 50, 20, 30, seed=5)
    assert split.name == "Normal" and split.source == "drawn from Normal"
    assert torch.equal(split.train, Normal().sample(50, stream(5, "data/train")))
    assert torch.equal(split.val, Normal().sample(20, stream(5, "data/val")))
    assert torch.equal(split.test, Normal().sample(30, stream(5, "data/test")))
    longer = Split.from_distribution(Normal(), 99, 20, 30, seed=5, name="mine")
    assert torch.equal(longer.test, split.test) and longer.name == "mine"


def test_from_distribution_refuses_bad_draws():
    class Broken:
        def sample(self, n, generator):
            return torch.zeros(n)

    with pytest.raises(InputError, match=r"train has shape \(5,\)"):
        Split.from_distribution(Broken(), 5, 5, 5)
