from itertools import combinations

import pytest
import torch

from pushforward.datasets import manifest, patches, registry
from pushforward.datasets.grey_patches import PatchCounts
from pushforward.errors import DataError


def test_parts_share_no_column():
    columns = torch.arange(640).expand(427, 640)
    parts = [patches.region(columns, part) for part in ("train", "val", "test")]
    assert torch.equal(torch.cat(parts, 1), columns)  # each column once, in order
    assert [part.shape[1] for part in parts] == [448, 64, 128]


def test_patches_of_a_part_come_from_its_columns(monkeypatch):
    """On photographs that are dark left of the border and bright right of it, no patch sees the step."""
    image = torch.zeros(30, 640, dtype=torch.uint8)
    image[:, 448:512], image[:, 512:] = 100, 250
    monkeypatch.setattr(patches, "photograph", lambda file, digest: image)
    monkeypatch.setitem(patches.COUNTS, "smoke", PatchCounts(train=500, val=500, test=500))
    split = registry.load("patches", "smoke")
    for x in (split.train, split.val, split.test):
        assert x.abs().max() <= 1 / 256  # noise alone
    assert not any(
        torch.equal(a, b) for a, b in combinations((split.train, split.val, split.test), 2)
    )  # and each part has its own


def test_loads_labelled_with_stated_sizes_and_is_determined_by_the_seed():
    first, again, other = (registry.load("patches", "smoke", seed) for seed in (0, 0, 1))
    assert (len(first.train), len(first.val), len(first.test)) == (4000, 1000, 2000)
    assert first.sha256 == again.sha256 != other.sha256
    assert first.dim == 63 and first.label == "patches" and first.train.dtype == torch.float32
    assert not torch.equal(first.train[:100], other.train[:100])


def test_a_gaussian_beats_independent_pixels():
    """Pixels of one patch are alike: a full covariance gains on independent pixels."""
    split = registry.load("patches", "smoke")
    train, test = split.train.double(), split.test.double()
    full = torch.distributions.MultivariateNormal(train.mean(0), torch.cov(train.T)).log_prob(test)
    apart = torch.distributions.Normal(train.mean(0), train.std(0)).log_prob(test).sum(1)
    assert torch.isfinite(full).all() and full.mean() > apart.mean() + 10


def test_altered_or_absent_photograph_is_named():
    digest = manifest.entry("patches")["files"]["china.jpg"]
    assert patches.photograph("china.jpg", digest).shape == (427, 640)
    with pytest.raises(DataError, match="china.jpg has SHA-256 .*, expected 000"):
        patches.photograph("china.jpg", "0" * 64)
    with pytest.raises(DataError, match="no photograph nowhere.jpg"):
        patches.photograph("nowhere.jpg", digest)
