import pytest

from pushforward import datasets
from pushforward.datasets import bsds300, cifar, imagenet, manifest, mnist, patches, registry, tabular
from pushforward.errors import DataError, InputError


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    monkeypatch.setattr("pushforward.paths.cache", lambda: tmp_path / "cache")
    monkeypatch.delenv("PUSHFORWARD_DATA", raising=False)


def test_unknown_names_and_profiles_list_the_known_ones():
    with pytest.raises(
        InputError, match="unknown data set 'bsd', expected one of bsds300, digits, patches, flights, power"
    ):
        datasets.load("bsd")
    with pytest.raises(InputError, match="unknown data set 'bsd'"):
        datasets.available("bsd")
    with pytest.raises(InputError, match="unknown profile 'fast', expected one of smoke, quick, paper"):
        datasets.load("digits", "fast")


def test_profiles_are_those_that_the_recipes_size():
    assert set(datasets.PROFILES) == set(bsds300.COUNTS) == set(patches.COUNTS)
    assert set(datasets.PROFILES) == set(cifar.SIZES) == set(imagenet.SIZES) == {*mnist.OF_THE_TEST_IMAGES, "paper"}


def test_every_name_has_a_table_a_loader_and_a_way_to_come():
    names = ("bsds300", "digits", "patches", "flights", "power", "gas", "hepmass", "miniboone", "bsds300-tabular")
    assert datasets.names() == (*names, "mnist", "cifar-10", "cifar-100", "imagenet-32")
    for name in datasets.names():
        table = manifest.entry(name)
        assert table["source"] and table["licence"] and table["shape"]
        if name in registry.EMBEDDED or "digests" in table or "by_hand" in table:
            continue
        for row in table["files"].values():
            if "member" in row:
                archive = manifest.entry(table["archive"]) if "archive" in table else table
                assert len(row["member"].split("/")) == 2 and archive["checksum"].split(":")[0] in ("md5", "sha256")
            else:
                assert len(row["sha256"]) == 64 and table["url"].endswith("/")
    assert manifest.names(archive="maf-archive") == list(tabular.READERS)


@pytest.mark.parametrize("name", ["power", "mnist", "cifar-10"])
def test_nothing_stands_in_for_the_other_sets(no_data, name):
    assert not datasets.available(name)
    with pytest.raises(DataError, match=f"{name}: .* none of the data folders .*make data"):
        datasets.load(name, "smoke")


def test_mnist_is_available_by_profile(no_data, tmp_path):
    (tmp_path / "cache" / "mnist").mkdir(parents=True)
    for file in mnist.TEST_FILES:
        (tmp_path / "cache" / "mnist" / file).touch()
    assert datasets.available("mnist") and datasets.available("mnist", "smoke")
    assert not datasets.available("mnist", "paper")
    with pytest.raises(InputError, match="unknown profile 'fast'"):
        datasets.available("mnist", "fast")


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
