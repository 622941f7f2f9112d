"""A small checkout in a temporary folder, and one with results in it, made through the public functions."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pushforward.report import Recorder, Run, save_table, savefig
from pushforward.report.results import Row, write_rows

matplotlib.use("Agg")

PUBLISHED = """id,value,unit,table,row,note
jko/rose/jko-iflow/nll,2.64,nats,Fig. 3,JKO-iFlow,not comparable with ours: another picture
jko/rose/jko-iflow/nll-excess,0.15,nats,Fig. 3,JKO-iFlow,NLL minus an entropy
jko/rose/ffjord/nll-excess,0.46,nats,Fig. 3,FFJORD,NLL minus an entropy
jko/patches/jko-iflow/nll,-150,nats,Table 2,JKO-iFlow,
"""
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["# JKO in *2-D*\n\n", "**Question.** Does `it` [work](x.md)?\n\nMore."]},
        {"cell_type": "code", "source": "1"},
    ]
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project root that is the working directory, with published numbers and one expected run."""
    for name in ("PUSHFORWARD_RESULTS", "PUSHFORWARD_ARTIFACTS", "PUSHFORWARD_NOTEBOOK"):
        monkeypatch.delenv(name, raising=False)
    for folder in ("notebooks/params/smoke", "data/published"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "constraints.txt").write_text("numpy==2\n")
    (tmp_path / "notebooks/params/smoke/01-toy.yml").write_text("profile: smoke\n")
    (tmp_path / "data/published/xu2023.csv").write_text(PUBLISHED)
    (tmp_path / "README.md").write_text("before\n\n<!-- results:start -->\nold\n<!-- results:end -->\n\nafter\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def results(checkout: Path) -> Path:
    """``results/smoke`` with a notebook, two runs (one on stand-in data), rows of every verdict but fails, a figure."""
    rose = Run("01-rose", "smoke", parameters={"profile": "smoke"}, seeds=[0, 1]).save(
        [trained("rose", 100.0), trained("rose", 110.0)],
        solver={"method": "rk4", "steps": 3},
        function_evaluations=120,
    )
    patches = Run("01-patches", "smoke", parameters={"profile": "smoke"}).save(
        data=[trained("patches", 0.0, stand_in_for="bsds300").split]
    )
    record = Recorder("01-toy", "smoke")
    record.add("jko/rose/jko-iflow/nll", 2.5, run=rose)
    record.add("jko/rose/jko-iflow/nll-excess", [0.10, 0.11, 0.12], seconds=[60, 70, 80], run=rose)
    record.add("jko/rose/jko-iflow/round-trip", 2e-7, unit="1", better="check", at_most=1e-5, run=rose)
    record.add("jko/patches/jko-iflow/nll", -140.0, run=patches)
    record.add("jko/rose/jko-iflow/seconds", 70.0, unit="s", run=rose)
    record.save()
    savefig(magenta(), "01-rose-blocks", "smoke", caption="The petals stay <apart>.")
    save_table(pd.DataFrame({"block": [1, 2], "KL": [0.5, 0.25]}), "01-rose-kl", "smoke", caption="KL falls.")
    (checkout / "results/smoke/nb").mkdir()
    (checkout / "results/smoke/nb/01-toy.ipynb").write_text(json.dumps(NOTEBOOK))
    return checkout / "results/smoke"


@pytest.fixture
def bench(checkout: Path) -> Path:
    """``results/bench`` with one benchmark of two rows and its record, as ``benchmarks.sheet`` writes them."""
    run = Run("99-peers", "bench", parameters={}).save()
    same = {"sd": None, "n": 1, "unit": "nats", "better": "lower", "published": None, "source": "one seed"}
    same |= {"verdict": "-", "profile": "bench", "notebook": "benchmarks", "seconds": None, "run": run}
    values = {"jko-iflow": 0.31, "nsf": 0.07}
    rows = [Row(id=f"bench/jko-rose/{name}/nll-excess-at-60s", value=value, **same) for name, value in values.items()]
    write_rows(checkout / "results/bench/peers.csv", rows)
    return checkout / "results/bench"


def trained(name: str, seconds: float, stand_in_for: str | None = None) -> SimpleNamespace:
    """What a record asks of a trained flow."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    split = SimpleNamespace(name=name, source="here", licence="free", stand_in_for=stand_in_for, sha256=digest)
    history = SimpleNamespace(seconds=seconds)
    return SimpleNamespace(
        key="k" * 12, split=split, history=history, surroundings={"commit": "c" * 40, "dirty": False}
    )


def magenta() -> Figure:
    """A figure in a colour that the page has nowhere else."""
    figure = Figure(figsize=(4, 2))
    figure.add_axes((0, 0, 1, 1)).set(facecolor="#ff00ff", xticks=[], yticks=[])
    return figure
