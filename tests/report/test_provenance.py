import getpass
import json
import platform
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pushforward.errors import InputError
from pushforward.report import provenance
from pushforward.report.provenance import Run, public

SECRET = "quarterdeck"


def saved(checkout: Path, name: str = "01-rose", **facts) -> dict:
    run = Run(name, "smoke", parameters={"profile": "smoke", "h": 0.25}, seeds=range(3))
    run.save(**facts)
    return json.loads((checkout / f"results/smoke/runs/{name}.json").read_text())


def test_it_answers_every_question_of_the_design(checkout):
    record = saved(checkout, solver={"method": "rk4", "steps": 3}, function_evaluations=12, note="x")
    wanted = """commit dirty profile parameters seeds versions cpu gpu threads dtype solver function_evaluations data
        started wall_seconds cpu_seconds peak_memory_mib training_seconds trained
        constraints_sha256 name device system python note"""
    assert set(wanted.split()) <= set(record)
    assert record["parameters"] == {"profile": "smoke", "h": 0.25}
    assert record["seeds"] == [0, 1, 2]
    assert record["solver"] == {"method": "rk4", "steps": 3}
    assert record["wall_seconds"] >= 0 and record["peak_memory_mib"] > 10
    assert record["versions"]["numpy"] == np.__version__
    assert len(record["constraints_sha256"]) == 64


def test_no_name_of_person_host_or_folder(checkout, monkeypatch):
    monkeypatch.setenv("HOME", f"/home/{SECRET}")
    monkeypatch.setenv("USER", SECRET)
    monkeypatch.setattr(platform, "node", lambda: SECRET)
    text = json.dumps(
        saved(
            checkout,
            found=f"found in /home/{SECRET}/data/bsds300",
            cache=Path(f"/home/{SECRET}/artifacts/key"),
            inside=str(checkout / "artifacts"),
        )
    )
    assert SECRET not in text
    assert str(checkout) not in text
    assert not re.search(r'"/|"~', text)
    if len(getpass.getuser()) > 4:  # a short name like "root" may be part of any word
        assert getpass.getuser() not in text
    assert "found in bsds300" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/data/set/a.bin", "a.bin"),
        ("~/sets/a.bin", "a.bin"),
        ("read /x/y/ twice", "read y twice"),
        ("data/cache/a.bin", "data/cache/a.bin"),
        ("../shared/data", "../shared/data"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("nats / pixel", "nats / pixel"),
        (np.float64(0.5), 0.5),
        ((1, [Path("/a/b")]), [1, ["b"]]),
        (None, None),
    ],
)
def test_public_cuts_absolute_paths_only(value, shown):
    assert public(value) == shown


def test_trainings_and_their_data_are_told(checkout):
    split = SimpleNamespace(name="patches", source="s", licence="l", stand_in_for="bsds300", sha256="a" * 64)
    results = [
        SimpleNamespace(key=key, split=split, history=SimpleNamespace(seconds=1.5), surroundings={"dirty": True})
        for key in ("one", "two")
    ]
    record = saved(checkout, trained=results, data=[SimpleNamespace(**vars(split) | {"sha256": "b" * 64})])
    assert record["training_seconds"] == 3.0
    assert record["trained"] == [{"key": "one", "dirty": True}, {"key": "two", "dirty": True}]
    assert [item["sha256"][0] for item in record["data"]] == ["b", "a"]
    assert record["data"][1] == vars(split)


def test_clocks_start_with_the_run(checkout, monkeypatch):
    run = Run("01-slow", "smoke", parameters={})
    before = provenance.time.monotonic()
    monkeypatch.setattr(provenance.time, "monotonic", lambda: before + 100)
    run.save()
    record = json.loads((checkout / "results/smoke/runs/01-slow.json").read_text())
    assert 100 <= record["wall_seconds"] < 110
    assert record["cpu_seconds"] < 10


def test_peak_memory_is_that_of_this_program(monkeypatch, tmp_path):
    inherited = SimpleNamespace(ru_maxrss=10**9 if sys.platform == "darwin" else 10**9 // 2**10)  # of a large parent
    monkeypatch.setattr(provenance.resource, "getrusage", lambda who: inherited)
    monkeypatch.setattr(provenance, "STATUS", tmp_path / "status")
    assert provenance.peak_memory() == pytest.approx(953.7, abs=0.05)  # all there is without /proc
    (tmp_path / "status").write_text("Name:\tpython\nVmPeak:\t  999999 kB\nVmHWM:\t   51968 kB\nVmRSS:\t 1024 kB\n")
    assert provenance.peak_memory() == 50.8  # 51968 / 1024 = 50.75


@pytest.mark.parametrize("name", ["rose", "1-rose", "01-Rose", "01-", "01-a/b", "01-a_b"])
def test_a_malformed_name_is_refused(checkout, name):
    with pytest.raises(InputError, match="is no name"):
        Run(name, "smoke", parameters={})
