import pytest

from pushforward import datasets
from pushforward.datasets import bsds300, patches, registry
from pushforward.errors import DataError, InputError


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    monkeypatch.setattr("pushforward.paths.cache", lambda: tmp_path / "cache")
    monkeypatch.delenv("PUSHFORWARD_DATA", raising=False)


def test_unknown_names_and_profiles_list_the_known_ones():
    with pytest.raises(InputError, match="unknown data set 'bsd', expected one of bsds300, digits, patches"):
        datasets.load("bsd")
    with pytest.raises(InputError, match="unknown data set 'bsd'"):
        datasets.available("bsd")
    with pytest.raises(InputError, match="unknown profile 'fast', expected one of smoke, quick, paper"):
        datasets.load("digits", "fast")


def test_profiles_are_those_that_the_recipes_size():
    assert set(datasets.PROFILES) == set(bsds300.COUNTS) == set(patches.COUNTS)
    assert datasets.names() == ("bsds300", "digits", "patches")


def test_available_says_whether_the_set_itself_is_there(no_data, tmp_path):
    assert datasets.available("digits") and datasets.available("patches")
    assert not datasets.available("bsds300")
    (tmp_path / "cache" / "bsds300").mkdir(parents=True)
    assert datasets.available("bsds300")


def test_stand_in_is_labelled(no_data):
    split, plain = datasets.load("bsds300", "smoke", 4), datasets.load("patches", "smoke", 4)
    assert (split.name, split.stand_in_for) == ("patches", "bsds300")
    assert split.label == "patches (stand-in for bsds300)"
    assert plain.stand_in_for is None and plain.sha256 == split.sha256


def test_quick_falls_back_and_paper_never_does(no_data, monkeypatch):
    asked = []
    monkeypatch.setitem(
        registry.LOADERS, "patches", lambda profile, seed: asked.append(profile) or patches.load("smoke", seed)
    )
    assert datasets.load("bsds300", "quick").stand_in_for == "bsds300" and asked == ["quick"]
    with pytest.raises(DataError, match="bsds300 is in none of the data folders .*make data"):
        datasets.load("bsds300", "paper")


def test_present_data_is_preferred_to_the_stand_in(tiny):
    assert datasets.load("bsds300", "smoke").label == "bsds300"
