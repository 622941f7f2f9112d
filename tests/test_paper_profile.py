"""The paper profile, which no test has the time to run: every training that it describes begins, and a cut-down one
that is killed goes on to the numbers of one that is not.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from cases import generator, normal, split_of
from pushforward import distributions, fit
from pushforward.catalogue import (
    gif,
    gif_stability,
    graph,
    graph_data,
    jko,
    jko_baselines,
    jko_cost,
    jko_tables,
    theorems,
)
from pushforward.catalogue.implicit_real import equal
from pushforward.catalogue.settings import family
from pushforward.classification import Classifier
from pushforward.datasets import Split
from pushforward.families import FFJORD, JKO, Family, Implicit, Interpolation, TrainingHistory
from pushforward.fit import FitConfig
from pushforward.latent import VAE
from pushforward.report.published import load_published
from pushforward.run import parameters, settings

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "notebooks"
FILES = sorted((FOLDER / "params" / "paper").glob("*.yml"))
DIMS = {
    **{"digits": 64, "patches": 63, "bsds300": 63, "bsds300-tabular": 63, "flights": 6},
    **{"power": 6, "gas": 8, "hepmass": 21, "miniboone": 43},
}
Described = tuple[str, object, int | Split | None]  # where, a family, its data or their dimension; None: only settings
POINTS, ROWS = 300, 8


def given(name: str, profile: str = "paper") -> dict[str, Any]:
    known = parameters(FOLDER / f"{name.split('--')[0]}.ipynb")
    return {**known, **settings(FOLDER / "params" / profile / f"{name}.yml", known)}


def dim(name: str) -> int:
    return DIMS[name] if name in DIMS else distributions.by_name(name).dim


def jko_2d(p: dict) -> Iterator[Described]:
    for case in p["cases"]:
        yield case, family(JKO, {**p["settings"], **p["overrides"].get(case, {})}), 2
    yield "mlp", family(JKO, p["mlp_settings"]), 2


def jko_real(p: dict) -> Iterator[Described]:
    for name in p["datasets"]:
        yield name, family(JKO, {**p["settings"], **p["overrides"].get(name, {})}), dim(name)
    for name, own in p["preconditioned"].items():
        yield name, family(JKO, {**p["settings"], **own, "precondition": ["affine", "radial"]}), dim(name)


def latent_images(p: dict) -> Iterator[Described]:
    for name, chosen in p["images"].items():
        yield name, family(JKO, chosen["flow"]), chosen["autoencoder"]["latent"]
        for cls, part in ((VAE, "autoencoder"), (Classifier, "classifier")):
            yield f"{name}, {part}", family(cls, chosen[part]), None


def on_a_graph(p: dict) -> Iterator[Described]:
    data, seen = graph_data.load("", 40, 20), []

    def see(name: str, chosen: Family, *_: object, **__: object) -> None:
        seen.append(chosen)
        raise StopAsyncIteration

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "train_once", see)
        for method, chosen in p["settings"].items():
            with pytest.raises(StopAsyncIteration):
                graph.train(method, data, {**chosen, "target": p["target"]})
    yield from zip(p["settings"], seen, [data.split] * len(seen), strict=True)


def no_training(p: dict) -> Iterator[Described]:
    yield "grid", theorems.grid(p["grid"]), None


def interpolation(p: dict) -> Iterator[Described]:
    plane = [{**p["settings"], "schedule": schedule} for schedule in p["schedules"]]
    plane += [{**gif.PLAIN, "fit": p["plain"]}, *p["long"].values()]
    plane += [{**p["asked"], **chosen} for chosen in gif.ASKED.values()]
    for chosen in plane:
        yield "plane", family(Interpolation, chosen), 2
    for name, chosen in p["real"].items():
        for schedule in p["schedules"]:
            yield name, family(Interpolation, {**chosen, "schedule": schedule}), dim(name)
        yield name, family(Interpolation, {**gif.PLAIN_REAL, "fit": p["plain"]}), dim(name)
    for count in p["line"]["iterations"]:
        fit = {**p["line"]["fit"], "iterations": count}
        yield "line", family(Interpolation, {"net": gif_stability.NET, "prediction": "velocity", "fit": fit}), 1


def implicit_plane(p: dict) -> Iterator[Described]:
    for case in p["cases"]:
        for kind, own in p["kinds"].items():
            chosen = {**p["settings"], **own, **p["overrides"].get(case, {}).get(kind, {}), "kind": kind}
            yield f"{case}, {kind}", family(Implicit, chosen), 2


def implicit_real(p: dict) -> Iterator[Described]:
    for part in ("tabular", "images"):
        for name, chosen in p[part].items():
            for method, s in equal(chosen["settings"], chosen["methods"]).items():
                for coeff in chosen.get("coeffs", [s["net"].get("coeff")]):
                    net = {**s["net"], "coeff": coeff}
                    # A family builds its smallest block when it is made; wide convolutions would take minutes.
                    data = dim(name) if part == "tabular" else None
                    yield f"{name}, {method}", family(Implicit, {**s, "net": net}), data
    for name, chosen in p["classification"].items():
        yield name, family(Classifier, {**chosen["settings"], "method": "impflow", "coeff": chosen["coeffs"][0]}), None


def baselines_2d(p: dict) -> Iterator[Described]:
    for case in p["cases"]:
        for title, s in jko_baselines.chosen(p["common"], p["settings"], p["overrides"].get(case)).items():
            yield f"{case}, {title}", jko_baselines.family_of(method_of(title), s), 2


def baselines_real(p: dict) -> Iterator[Described]:
    for name, contest in [*p["full"].items(), *p["fixed"].items()]:
        for method, own in contest["methods"].items():
            chosen = jko_baselines.family_of(method, {**contest.get("common", {}), **own})
            yield f"{name}, {method}", chosen, dim(name)
    s = p["sensitivity"]
    for rate in s["rates"]:
        for most in s["maxima"]:
            chosen = {**s["settings"], "schedule": f"vp-{rate}-{most:g}"}
            yield f"sensitivity, {rate}-{most}", jko_baselines.family_of("score-sde", chosen), dim(s["name"])


def steps_and_cost(p: dict) -> Iterator[Described]:
    for name, chosen in p["cases"].items():
        yield name, family(JKO, chosen), dim(name)
        fit = {**chosen["fit"], **p["rounds"].get("fit", {})}
        yield f"{name}, rounds", family(JKO, {**chosen, "fit": fit}), dim(name)
    for name, chosen in p["paths"].items():
        yield f"{name}, ffjord", family(FFJORD, chosen), dim(name)
    for count in p["cost"]["blocks"]:
        chosen = {**jko_cost.SETTINGS, **p["cost"]["settings"], "blocks": count}
        for way, trained in jko_cost.WAYS.items():
            yield f"{way}, {count}", trained(family(JKO, chosen)), dim(p["cost"]["data"])


def method_of(title: str) -> str:
    return max((m for m in jko_baselines.METHODS if title.startswith(m)), key=len)


DESCRIBED = {
    "01": jko_2d,
    "02": jko_real,
    "03": latent_images,
    "04": on_a_graph,
    "05": no_training,
    "06": interpolation,
    "07": implicit_plane,
    "08": implicit_real,
    "12": baselines_2d,
    "13": baselines_real,
    "14": steps_and_cost,
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_training_begins(path):
    """Its settings are those of a family, whose first stage has a network and a finite loss on its points."""
    begun = set()
    for where, chosen, data in DESCRIBED[path.stem[:2]](given(path.stem)):
        if data is None:
            assert chosen is not None, where
            continue
        chosen = replace(chosen, fit=FitConfig(iterations=1, batch=ROWS))  # how long does not matter to how it begins
        split = data if isinstance(data, Split) else split_of(normal(POINTS, data, dtype=torch.float32))
        if (repr(chosen), split.dim) in begun:
            continue
        begun.add((repr(chosen), split.dim))
        stage = next(chosen.stages(chosen.build(split), split, TrainingHistory(), 0))
        loss = stage.objective(stage.points[:ROWS], generator()).total
        assert loss.requires_grad and loss.isfinite(), where


def test_no_run_of_the_profile_is_left_out():
    assert {path.stem[:2] for path in FILES} == set(DESCRIBED)


# --- published numbers stand beside measured ones ---------------------------------------------------------------------


def rows(cases: Iterable[str], methods: Iterable[str], *quantities: str) -> set[str]:
    return {f"jko/{case}/{method}/{quantity}" for case, method, quantity in product(cases, methods, quantities)}


def rows_of_real_data(p: dict) -> set[str]:
    parts = ((jko_tables.FIXED, p["fixed"]), (jko_tables.FULL, p["full"]))
    found = rows(p["full"], ["gaussian"], "nll")
    for suffix, part in parts:
        for name, contest in part.items():
            found |= rows([name], [method + suffix for method in contest["methods"]], "nll", "inversion-error")
    s = p["sensitivity"]
    rates = [f"score-sde-{rate}-{most:g}" for rate, most in product(s["rates"], s["maxima"])]
    return found | rows([s["name"]], rates, "nll")


def rows_in_the_plane(p: dict) -> set[str]:
    methods = {case: jko_baselines.chosen(p["common"], p["settings"], p["overrides"].get(case)) for case in p["cases"]}
    named = [rows([case], methods[case], "nll", "nll-excess", "mmd-biased", "inversion-error") for case in p["cases"]]
    return set().union(*named)


SHOWN = {  # in a table beside other measurements, without a row of their own
    *rows(["bsds300"], ["ffjord", "ot-flow"], "nll"),
    *rows(["rose"], ["jko-iflow"], "mmd-biased-threshold"),
    *rows(["miniboone"], ["score-sde-small-worst"], "nll"),  # of 15 settings; which is not said
}


def test_every_published_number_of_jko_iflow_has_the_id_of_a_measured_one():
    measured = rows(given("01-jko-2d")["cases"], ["jko-iflow"], "nll", "nll-excess")
    measured |= rows(given("02-jko-real-data")["datasets"], ["jko-iflow", "gaussian"], "nll")
    measured |= rows(given("03-jko-latent-images")["images"], ["jko-iflow"], "fid")
    solar = ["solar-first", "solar-second"]  # of a file with that name
    measured |= rows(solar, given("04-jko-graph")["settings"], "nll", "mmd-biased")
    measured |= rows_in_the_plane(given("12-jko-baselines"))
    for profile in ("quick", "paper"):
        measured |= rows_of_real_data(given("13-jko-baselines-real-data", profile))
    measured |= rows(["reparameterisation"], given("14-jko-steps-and-cost")["cases"], "nll-before", "nll-after")
    assert {id for id in load_published() if id.startswith("jko/")} - measured == SHOWN


# --- cut down, killed, and gone on ------------------------------------------------------------------------------------

BLOCKS = 3


def cut_down() -> jko.RealCase:
    """Notebook 02 on the digits with its common settings; short, and a checkpoint after every iteration."""
    common = given("02-jko-real-data")["settings"]
    fit = {**common["fit"], "iterations": 10, "batch": 50, "checkpoint_seconds": 0}
    return jko.real(
        "digits",
        {**common, "blocks": BLOCKS, "steps": 2, "pool": 300, "stop_on_rise": False, "fit": fit},
        profile="paper",
    )


DOOMED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
import pushforward.fit as fit
import test_paper_profile

save, written = fit.save_tensors, []

def save_and_die(path, tensors, note):
    save(path, tensors, note)
    written.append(path.name)
    if written.count("block-2.partial.safetensors") == 6:
        os.kill(os.getpid(), signal.SIGKILL)

fit.save_tensors = save_and_die
test_paper_profile.cut_down()
"""


def test_a_cut_down_run_that_is_killed_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path / "killed"))
    library = os.pathsep.join([str(HERE.parent / "lib"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": library, "OMP_NUM_THREADS": "1"}
    script = [sys.executable, "-c", DOOMED.format(tests=str(HERE))]
    process = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    (folder,) = (tmp_path / "killed").iterdir()
    left = {path.name for path in (folder / "training").iterdir()}
    assert left == {"block-1.safetensors", "block-2.partial.safetensors"} and not (folder / "result.json").exists()

    steps, begin = [], fit._step
    monkeypatch.setattr(
        fit, "_step", lambda state, *more: steps.append(state.history.iterations) or begin(state, *more)
    )
    resumed = cut_down()
    assert resumed.results[0].folder == folder
    assert steps == [*range(6, 10), *range(10)]  # the rest of block 2, and block 3
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(tmp_path / "whole"))
    whole = cut_down()
    assert len(steps) == 14 + 10 * BLOCKS
    assert resumed.nll == whole.nll
    assert [row["val_nll"] for row in resumed.results[0].history.stages] == [
        row["val_nll"] for row in whole.results[0].history.stages
    ]
    with torch.no_grad():
        assert torch.equal(resumed.flow.log_prob(whole.test), whole.flow.log_prob(whole.test))
