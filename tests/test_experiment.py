import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import pushforward as pf
from cases import generator, normal, split_of
from pushforward import experiment
from pushforward.errors import CheckpointError, InputError
from pushforward.families import JKO
from pushforward.fit import FitConfig

TESTS, LIBRARY = Path(__file__).parent, Path(pf.__file__).parents[1]
X = normal(400, 2) * torch.tensor([2.0, 0.5]) + 1
FAMILY = JKO(
    velocity={"kind": "mlp", "widths": [6], "activation": "tanh"},
    blocks=2,
    log_det="trace",
    divergence="hutchinson-rademacher",  # the draws of the probes must resume too
    stop_ratio=0,
    fit=FitConfig(iterations=30, batch=20, log_every=10, validate_every=15),
)
SAVING = replace(FAMILY, fit=replace(FAMILY.fit, checkpoint_seconds=0))  # a checkpoint every iteration
TIMES = ("seconds",)


pytestmark = pytest.mark.usefixtures("artifacts")


def once(family=FAMILY, data=X, name="case", **settings):
    return pf.train_once(name, family, data, device="cpu", **settings)


def untimed(value):
    """A history as plain values, without what the clock says."""
    if isinstance(value, dict):
        return {k: untimed(v) for k, v in value.items() if k not in TIMES}
    return [untimed(v) for v in value] if isinstance(value, list) else value


def assert_same_to_the_bit(a, b):
    first, second = a.flow.state_dict(), b.flow.state_dict()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    assert untimed(a.history.stages) == untimed(b.history.stages)
    curves = [{stage: untimed(fit.rows) for stage, fit in result.history.fits.items()} for result in (a, b)]
    assert curves[0] == curves[1]


# --- training once ----------------------------------------------------------------------------------------------------


def test_a_result_is_found_again_without_training(artifacts, monkeypatch, capsys):
    first = once()
    assert first.folder == artifacts / f"case-{first.key}"
    assert "case: block-2: validation NLL" in capsys.readouterr().out

    def refuse(*arguments, **settings):
        raise AssertionError("trained again")

    monkeypatch.setattr(experiment, "fit", refuse)
    again = once()
    assert_same_to_the_bit(first, again)
    assert again.history == first.history and again.surroundings == first.surroundings
    with torch.no_grad():
        assert torch.equal(first.flow.log_prob(first.split.test), again.flow.log_prob(again.split.test))
    assert torch.equal(first.flow.sample(9, generator()), again.flow.sample(9, generator()))
    assert "case: found in the cache" in capsys.readouterr().out


def test_the_record_says_what_was_asked_and_where_it_ran():
    result = once(seed=3)
    record = json.loads((result.folder / "result.json").read_text())
    assert record["settings"]["family"] == "jko-iflow"
    assert record["settings"]["algorithm_version"] == JKO.algorithm_version
    assert record["settings"]["fit"]["iterations"] == 30
    assert record["seed"] == 3
    assert record["data_sha256"] == result.split.sha256
    assert record["surroundings"]["versions"]["torch"]
    assert not list((result.folder / "training").glob("*"))
    assert str(TESTS) not in (result.folder / "result.json").read_text()


def test_train_and_train_once_give_the_same_flow():
    flow, history = pf.train(FAMILY, X, device="cpu")
    result = once()
    assert all(torch.equal(a, b) for a, b in zip(flow.parameters(), result.flow.parameters(), strict=True))
    assert untimed(history.stages) == untimed(result.history.stages)
    assert [row["iteration"] for row in history.fits["block-1"].rows if "validation" in row] == [15, 30]
    assert not flow.training and not result.flow.training


def test_every_setting_the_seed_the_data_and_the_version_are_in_the_key(monkeypatch):
    split = split_of(X)

    def key(family=FAMILY, data=split, seed=0):
        return experiment._key(family, data, seed)

    changes = [
        {"h0": 0.3},
        {"velocity": {**FAMILY.velocity, "widths": [7]}},
        {"precondition": ("affine", "radial")},
        {"fit": replace(FAMILY.fit, lr=2e-3)},
        {"pool": 99},
    ]
    keys = [key(), key(seed=1), key(data=split_of(X + 1)), *(key(replace(FAMILY, **change)) for change in changes)]
    assert len(set(keys)) == len(keys)
    assert key() == key(replace(FAMILY)) == key(data=split_of(X.clone()))
    watched = replace(FAMILY.fit, log_every=1, validate_every=7, checkpoint_seconds=1.0)
    assert key() == key(replace(FAMILY, fit=watched))  # looking changes no number
    monkeypatch.setattr(JKO, "algorithm_version", JKO.algorithm_version + 1)
    assert key() not in keys


@pytest.mark.parametrize(
    ("family", "key"),
    [
        (JKO(), "6008c833bf58"),
        (JKO({"kind": "mlp", "widths": [6]}, blocks=2, free_block=True), "6ec44a8d6e28"),
    ],
    ids=["defaults", "settings"],
)
def test_the_keys_of_what_was_trained_before_there_were_later_settings(family, key):
    """Their change would train every remembered flow anew: only a new ``algorithm_version`` may do that."""
    data = SimpleNamespace(sha256="0" * 64)
    assert experiment._key(family, data, 0) == key
    used = [replace(family, h=(1.0, 2.0)), replace(family, parent="a-0"), replace(family, parent="b-0")]
    assert len({key, *(experiment._key(other, data, 0) for other in used)}) == 4


def test_another_seed_is_another_flow():
    first, second = once(), once(seed=1)
    assert first.folder != second.folder
    assert not torch.equal(first.flow.sample(5, generator()), second.flow.sample(5, generator()))


def test_a_free_block_can_be_recorded():
    result = once(replace(FAMILY, free_block=True))
    assert once(replace(FAMILY, free_block=True)).history == result.history
    assert result.history.stages[-1]["h"] is None


# --- killed, and gone on ----------------------------------------------------------------------------------------------

DOOMED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
import pushforward.fit as fit
import test_experiment as case

save, written = fit.save_tensors, []

def save_and_die(path, tensors, note):
    save(path, tensors, note)
    written.append(path.name)
    if path.name == "block-2.partial.safetensors" and written.count(path.name) == 11:
        os.kill(os.getpid(), signal.SIGKILL)

fit.save_tensors = save_and_die
case.once(case.SAVING)
"""


def test_a_run_killed_in_the_middle_of_a_block_ends_with_the_same_bits(tmp_path, monkeypatch):
    killed = tmp_path / "killed"
    environment = os.environ | {
        "PUSHFORWARD_ARTIFACTS": str(killed),
        "PYTHONPATH": os.pathsep.join([str(LIBRARY), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    script = DOOMED.format(tests=str(TESTS))
    process = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    (folder,) = killed.iterdir()
    assert sorted(path.name for path in (folder / "training").iterdir()) == [
        "block-1.safetensors",
        "block-2.partial.safetensors",
    ]
    assert not (folder / "result.json").exists()

    uninterrupted = once(SAVING)
    monkeypatch.setenv("PUSHFORWARD_ARTIFACTS", str(killed))
    calls, step = [], experiment.fit
    monkeypatch.setattr(experiment, "fit", lambda *a, **k: calls.append(k["purpose"]) or step(*a, **k))
    resumed = once(SAVING)
    assert calls == ["block-2"]  # block 1 was done
    assert resumed.folder == folder
    assert_same_to_the_bit(resumed, uninterrupted)


# --- files that cannot be used ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"history": {}}', '{"history": {"stages": [], "fits": {"a": {"b": 1}}}}']
)
def test_a_record_that_cannot_be_read_is_an_error(content):
    result = once()
    (result.folder / "result.json").write_text(content)
    with pytest.raises(CheckpointError, match="result.json cannot be read .*delete the folder to train again"):
        once()


def test_altered_weights_are_an_error():
    result = once()
    path = result.folder / "flow.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="does not match the checksum"):
        once()


def stopped(monkeypatch, after="block-2"):
    """Train until a stage begins and stop there: its folder."""
    step = experiment.fit

    def until(*arguments, **settings):
        if settings["purpose"] == after:
            raise KeyboardInterrupt
        return step(*arguments, **settings)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(experiment, "fit", until)
        once()
    (folder,) = Path(os.environ["PUSHFORWARD_ARTIFACTS"]).iterdir()
    return folder / "training"


def test_a_truncated_block_is_an_error(monkeypatch):
    path = stopped(monkeypatch) / "block-1.safetensors"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(CheckpointError, match="block-1.safetensors cannot be read"):
        once()


@pytest.mark.parametrize(("tensors", "note"), [({"weight": torch.ones(2)}, {}), (None, {"colour": "red"})])
def test_a_foreign_block_is_an_error(monkeypatch, tensors, note):
    path = stopped(monkeypatch) / "block-1.safetensors"
    own, history = experiment.load_tensors(path)
    experiment.save_tensors(path, tensors or own, history | note)
    with pytest.raises(CheckpointError, match="block-1.safetensors does not hold block-1"):
        once()


# --- data and devices -------------------------------------------------------------------------------------------------


def test_train_accepts_every_form_of_data():
    small = replace(FAMILY, blocks=1, pool=300, fit=FitConfig(iterations=2, batch=20))
    law = pf.distributions.by_name("moons")
    split = pf.Split.from_points(X)
    for data in (X, X.numpy(), X.float().numpy(), split, law):
        flow, history = pf.train(small, data, device="cpu")
        assert flow.dim == 2 and len(history.stages) == 2
    array, tensor, whole = (pf.train(small, data, device="cpu")[0] for data in (X.numpy(), X, split))
    for other in (array, whole):
        assert all(torch.equal(a, b) for a, b in zip(tensor.parameters(), other.parameters(), strict=True))


def test_a_name_is_loaded_at_the_size_of_the_profile(monkeypatch):
    asked = []

    def load(name, profile, seed):
        asked.append((name, profile, seed))
        return split_of(X)

    monkeypatch.setattr(experiment.datasets, "load", load)
    small = replace(FAMILY, blocks=1, fit=FitConfig(iterations=2, batch=20))
    pf.train(small, "digits", seed=4, device="cpu")
    once(small, "digits", profile="smoke")
    assert asked == [("digits", "quick", 4), ("digits", "smoke", 0)]


def test_a_law_is_drawn_from_the_pool_s_size_and_the_seed():
    law = pf.distributions.by_name("8-gaussians")
    split = experiment.as_split(replace(FAMILY, pool=123), law, 0, None)
    assert len(split.train) == 123 and len(split.val) == len(split.test) == experiment.HELD_OUT
    assert torch.equal(split.train, experiment.as_split(replace(FAMILY, pool=123), law, 0, None).train)
    assert not torch.equal(split.train, experiment.as_split(replace(FAMILY, pool=123), law, 1, None).train)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (X * float("nan"), "400 of 400 rows that are NaN or infinite, the first is row 0"),
        (X.numpy() * np.inf, "NaN or infinite"),
        (X[:, 0], r"x has shape \(400,\), expected \(n, d\)"),
        (X[None], r"x has shape \(1, 400, 2\)"),
        (X.long(), "dtype torch.int64, expected a floating dtype"),
        (X.numpy().astype(object), "ndarray"),
        (X[:2], "x has 2 points, expected at least 3"),
        ([[1.0, 2.0]], "data is a list, expected an array or tensor"),
        (None, "data is a NoneType"),
        ("no-such-data", "no-such-data"),
    ],
    ids=["nan", "inf", "vector", "cube", "integers", "objects", "two-points", "list", "none", "unknown-name"],
)
def test_data_that_cannot_be_used_is_named(data, message):
    with pytest.raises(InputError, match=message):
        pf.train(FAMILY, data, device="cpu")


def test_an_unknown_setting_of_the_velocity_is_named():
    with pytest.raises(InputError, match="'width': 6.* has a setting that 'mlp' does not know"):
        pf.train(replace(FAMILY, velocity={"kind": "mlp", "width": 6}), X, device="cpu")


def test_a_split_is_moved_whole_even_after_its_hash_was_asked_for():
    split = split_of(X, X + 1)
    assert split.sha256
    moved = experiment._moved(split, torch.device("cpu:0"))  # another name for where it is: copied all the same
    assert moved is not split
    assert torch.equal(moved.train, split.train) and torch.equal(moved.val, split.val)
    assert (moved.name, moved.preprocessing, moved.sha256) == (split.name, split.preprocessing, split.sha256)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_a_gpu_gives_nearly_the_flow_of_the_cpu():
    here = once()
    there = pf.train_once("gpu", FAMILY, X, device="cuda")
    assert {p.device.type for p in there.flow.parameters()} == {"cpu"}
    assert there.history.stages[-1]["val_nll"] == pytest.approx(here.history.stages[-1]["val_nll"], abs=1e-3)
