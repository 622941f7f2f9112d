import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from pushforward.datasets import registry
from pushforward.errors import DataError


def test_values_come_back_once_each_and_noise_is_uniform():
    split = registry.load("digits", "smoke")
    x = torch.cat([split.train, split.val, split.test])
    assert (len(split.train), len(split.val), len(split.test)) == (1297, 200, 300)
    assert x.dtype == torch.float32 and 0 <= x.min() and x.max() <= 1
    raw = split.preprocessing.inverse(x.double()).numpy()
    # float32 may round a noise of almost 1 up to the next value, by less than 17 · 2⁻²⁵ = 5e-7
    values = np.floor(raw - 1e-6).clip(0)
    original = load_digits().data
    assert np.array_equal(values[np.lexsort(values.T)], original[np.lexsort(original.T)])
    assert not np.array_equal(values[:20], original[:20])  # shuffled
    noise = raw - values
    error = 5 / np.sqrt(noise.size)
    assert abs(noise.mean() - 1 / 2) < error and abs(noise.var() - 1 / 12) < error


def test_same_in_every_profile_and_determined_by_the_seed():
    split = registry.load("digits", "quick", seed=2)
    assert split.sha256 == registry.load("digits", "paper", seed=2).sha256
    assert split.sha256 != registry.load("digits", "quick", seed=3).sha256


def test_other_values_are_an_error(monkeypatch):
    bunch = load_digits()
    bunch.data[7, 30] += 1
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: bunch)
    with pytest.raises(DataError, match="digits: scikit-learn's values have SHA-256"):
        registry.load("digits")
