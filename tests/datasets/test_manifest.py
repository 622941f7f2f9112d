import os

import pytest

from pushforward import paths
from pushforward.datasets import manifest
from pushforward.errors import DataError


def test_real_manifest_and_list_agree():
    digests = manifest.image_digests("bsds300")
    sets = manifest.entry("bsds300")["sets"]
    for part, count in (("train", 200), ("test", 100)):
        assert sets[part]["images"] == count == sum(file.startswith(f"{part}/") for file in digests)
    assert list(digests) == sorted(digests) and len(digests) == 300
    assert all(len(digest) == 64 for digest in digests.values())


def test_every_data_set_has_a_source_and_a_licence():
    for name in ("bsds300", "digits", "patches"):
        assert manifest.entry(name)["source"] and manifest.entry(name)["licence"]


def test_set_digest_by_hand():
    lines = b"1.jpg aa\n2.jpg bb\n"
    assert manifest.set_digest({"train/2.jpg": "bb", "train/1.jpg": "aa"}) == manifest.sha256(lines)
    assert manifest.sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_broken_manifests_are_named(tiny):
    path = paths.manifest()
    with pytest.raises(DataError, match=r"no table \[digits\], only bsds300"):
        manifest.entry("digits")
    path.write_text("[bsds300\n")
    with pytest.raises(DataError, match="cannot read .*manifest.toml.*restore it with git"):
        manifest.entry("bsds300")
    path.unlink()
    with pytest.raises(DataError, match="cannot read .*manifest.toml"):
        manifest.entry("bsds300")


def test_broken_lists_are_named(tiny):
    path = paths.manifest().parent / "tiny.sha256"
    content = path.read_text()
    path.write_text(content.replace("train/100.jpg", "train/099.jpg"))
    with pytest.raises(DataError, match="the train lines of .*tiny.sha256 have digest"):
        manifest.image_digests("bsds300")
    path.write_text("<html>\n")
    with pytest.raises(DataError, match="cannot read .*tiny.sha256 as a list of checksums"):
        manifest.image_digests("bsds300")
    path.unlink()
    with pytest.raises(DataError, match="cannot read .*tiny.sha256"):
        manifest.image_digests("bsds300")


def test_folders_are_searched_in_order(tmp_path, monkeypatch):
    first, second, cache = (tmp_path / name for name in ("first", "second", "cache"))
    monkeypatch.setattr(paths, "cache", lambda: cache)
    monkeypatch.setenv("PUSHFORWARD_DATA", f"{first}{os.pathsep}{second}")
    found = [manifest.find("bsds300")]
    for folder in (cache, second, first):
        (folder / "bsds300").mkdir(parents=True)
        found.append(manifest.find("bsds300").parent)
    assert found == [None, cache, second, first]
