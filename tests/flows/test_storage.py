import ast
import json
import pickle
from pathlib import Path

import pytest
import torch

import pushforward as pf
from cases import CASES, LinearVelocity, normal
from pushforward.errors import CheckpointError
from pushforward.flows import Chain, Flow, ODEBijection, load_flow, save_flow
from pushforward.interpolation import InterpolationVelocity, vp
from pushforward.nets import MLP
from pushforward.numerics import Adaptive, Exact, FiniteDifference, FixedGrid, Hutchinson

LIBRARY = Path(pf.__file__).parent


@pytest.fixture
def saved(tmp_path):
    return save_flow(Flow(CASES["chain"].build(torch.float64)), tmp_path / "flow")


def rewrite(folder, **changes):
    path = folder / "flow.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("solver", [FixedGrid(3, "midpoint"), Adaptive(1e-6, 1e-7, "dopri8", True, 99)])
@pytest.mark.parametrize("divergence", [Exact(), Hutchinson("gaussian"), FiniteDifference(0.05)])
def test_every_setting_comes_back(tmp_path, solver, divergence):
    block = ODEBijection(MLP(2, (4,), "tanh", time=True), solver, "trace", divergence, t_data=1.0, t_latent=0.25)
    again = pf.load(Flow(Chain(2, [block])).save(tmp_path / "flow")).bijection.blocks[0]
    assert (again.solver, again.divergence, again.log_det) == (solver, divergence, "trace")
    assert (again.t_data, again.t_latent) == (1.0, 0.25)
    assert again.velocity.settings() == block.velocity.settings()


def test_the_discrete_log_det_comes_back(tmp_path):
    block = ODEBijection(MLP(2, (4,)), FixedGrid(3), "discrete")
    assert load_flow(Flow(block).save(tmp_path)).bijection.log_det == "discrete"


def test_a_flow_without_tensors_is_saved_too(tmp_path):
    assert load_flow(Flow(Chain(4)).save(tmp_path)).dim == 4


def test_saving_again_replaces(saved):
    other = Flow(CASES["affine"].build(torch.float64))
    save_flow(other, saved)
    assert torch.equal(load_flow(saved).log_prob(normal(3, 3)), other.log_prob(normal(3, 3)))
    assert sorted(path.name for path in saved.iterdir()) == ["flow.json", "flow.safetensors"]


@pytest.mark.parametrize("name", ["flow.json", "flow.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} does not exist"):
        load_flow(saved)


def test_altered_and_truncated_weights_are_found(saved):
    path = saved / "flow.safetensors"
    whole = path.read_bytes()
    altered = bytearray(whole)
    altered[-3] ^= 1
    for content in (bytes(altered), whole[:-8], b""):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="does not match the checksum"):
            load_flow(saved)


@pytest.mark.parametrize("changes", [{"version": 2}, {"format": "somebody-else"}])
def test_another_version_or_format_is_refused(saved, changes):
    rewrite(saved, **changes)
    with pytest.raises(CheckpointError, match=f"has format .*{next(iter(changes.values()))}"):
        load_flow(saved)


@pytest.mark.parametrize(
    "bijection",
    [
        {"kind": "spline", "dim": 3},
        {"kind": "affine", "dim": 3, "colour": "red"},
        {"kind": "affine", "dim": 5},
        {"kind": "chain", "dim": 3, "blocks": [{"kind": "ode"}]},
        {"dim": 3},
        None,
    ],
    ids=["unknown-kind", "unknown-setting", "other-shape", "no-velocity", "no-kind", "nothing"],
)
def test_a_description_that_does_not_build_is_refused(saved, bijection):
    rewrite(saved, bijection=bijection)
    with pytest.raises(CheckpointError, match="does not hold a flow of this library"):
        load_flow(saved)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x80\x81"])
def test_a_foreign_json_file_is_refused(saved, content):
    (saved / "flow.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(CheckpointError, match="does not hold a flow of this library"):
        load_flow(saved)


def test_a_velocity_that_is_not_registered_cannot_be_saved(tmp_path):
    with pytest.raises(CheckpointError, match="a LinearVelocity cannot be saved, expected one of .*gated.*mlp"):
        save_flow(Flow(ODEBijection(LinearVelocity(2))), tmp_path)


def test_a_schedule_that_is_not_registered_cannot_be_saved(tmp_path):
    velocity = InterpolationVelocity(MLP(2, (4,), time=True), vp(2.0))
    with pytest.raises(CheckpointError, match="the schedule 'vp-2' cannot be saved, expected one of .*linear.*vp"):
        save_flow(Flow(ODEBijection(velocity)), tmp_path)
    assert not (tmp_path / "flow.json").exists()


def test_a_network_inside_a_velocity_must_be_registered_too(tmp_path):
    velocity = InterpolationVelocity(LinearVelocity(2), vp())
    with pytest.raises(CheckpointError, match="a LinearVelocity cannot be saved"):
        save_flow(Flow(ODEBijection(velocity)), tmp_path)


@pytest.mark.parametrize(
    "change", [{"schedule": "cubic"}, {"prediction": "score"}, {"net": "mlp"}, {"net": {"kind": "x"}}]
)
def test_an_interpolation_that_does_not_build_is_refused(tmp_path, change):
    folder = Flow(ODEBijection(InterpolationVelocity(MLP(2, (4,), time=True), vp()))).save(tmp_path)
    bijection = json.loads((folder / "flow.json").read_text())["bijection"]
    assert bijection["velocity"]["kind"] == "interpolation"
    bijection["velocity"] |= change
    rewrite(folder, bijection=bijection)
    with pytest.raises(CheckpointError, match="does not hold a flow of this library"):
        load_flow(folder)


def test_a_solver_that_is_not_registered_cannot_be_saved(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be saved, expected one of .*adaptive.*fixed-grid"):
        save_flow(Flow(ODEBijection(MLP(2, (4,)), lambda field, state, t0, t1: state)), tmp_path)


def test_nothing_is_pickled(tmp_path, monkeypatch):
    def refuse(*arguments, **settings):
        raise AssertionError("a pickle was written or read")

    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch, "save", refuse)
    load_flow(Flow(CASES["chain"].build(torch.float64)).save(tmp_path))


def test_no_module_of_the_library_imports_pickle():
    banned = {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
    # A published table is an old pickle; its reader builds inert shells alone (tests/datasets/test_frame_pickle.py).
    reader = LIBRARY / "datasets" / "frame_pickle.py"
    for path in set(LIBRARY.rglob("*.py")) - {reader}:
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
                assert node.attr not in ("load", "save"), f"{path}:{node.lineno} uses torch.{node.attr}"
            assert not banned & {name.split(".")[0] for name in names}, f"{path}:{node.lineno} imports {names}"
