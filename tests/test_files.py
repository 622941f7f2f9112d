import json
import os

import pytest

from pushforward.files import write_atomic, write_json


def test_it_makes_the_folder_and_returns_the_path(tmp_path):
    path = write_atomic(tmp_path / "a" / "b.txt", "é\n")
    assert path.read_bytes() == b"\xc3\xa9\n"
    assert write_atomic(path, b"\x00\xff").read_bytes() == b"\x00\xff"
    assert os.listdir(path.parent) == ["b.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_atomic(tmp_path / "a.txt", "old")

    def full(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_reader_keeps_the_whole_old_file(tmp_path):
    path = write_atomic(tmp_path / "a.txt", "old")
    with path.open() as reader:
        write_atomic(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_json_is_readable_and_strict(tmp_path):
    path = write_json(tmp_path / "a.json", {"b": [1, None], "a": "é"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": [1, None], "a": "é"}
    assert path.read_text(encoding="utf-8").endswith("}\n") and "é" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="(?i)nan|out of range"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8"))["b"] == [1, None]
