"""Flows on disk: ``flow.json`` (what to build) and ``flow.safetensors`` (its numbers). Nothing is pickled."""

import dataclasses
import hashlib
import json
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from pushforward.errors import CheckpointError, PushforwardError
from pushforward.files import write_atomic, write_json
from pushforward.flows.actnorm import ActNorm
from pushforward.flows.affine import Affine
from pushforward.flows.bijection import Bijection, Chain
from pushforward.flows.flow import Flow
from pushforward.flows.implicit import ImplicitBlock
from pushforward.flows.labelled_shift import LabelledShift
from pushforward.flows.logit import Logit
from pushforward.flows.ode import ODEBijection
from pushforward.flows.radial import Radial
from pushforward.flows.residual import ResidualBlock
from pushforward.flows.squeeze import Squeeze
from pushforward.flows.zuko_flow import ZukoFlow
from pushforward.implicit import build_network, build_part, describe_network, describe_part
from pushforward.interpolation import InterpolationVelocity, schedules
from pushforward.nets import NETS
from pushforward.numerics import Adaptive, Exact, FiniteDifference, FixedGrid, Hutchinson

FORMAT = "pushforward-flow"
VERSION = 1
EXTRA = "_extra_state"  # torch's name for what a module keeps beside its numbers: the audits of implicit blocks
_PLAIN = {
    "affine": Affine,
    "radial": Radial,
    "actnorm": ActNorm,
    "squeeze": Squeeze,
    "logit": Logit,
    "zuko": ZukoFlow,
    "labelled-shift": LabelledShift,
}
_PARTS = {
    "fixed-grid": FixedGrid,
    "adaptive": Adaptive,
    "exact": Exact,
    "hutchinson": Hutchinson,
    "finite-difference": FiniteDifference,
}


def save_flow(flow: Flow, folder: Path | str) -> Path:
    """Write ``flow`` into ``folder`` and return it; the JSON file comes last, so its presence means complete."""
    folder = Path(folder)
    tensors = {name: value.detach().cpu().contiguous() for name, value in flow.state_dict().items()}
    weights = safetensors.torch.save(tensors)
    write_atomic(folder / "flow.safetensors", weights)
    description = {
        "format": FORMAT,
        "version": VERSION,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "bijection": _describe(flow.bijection),
    }
    write_json(folder / "flow.json", description)
    return folder


def load_flow(folder: Path | str) -> Flow:
    """Read a flow that ``save_flow`` wrote, in evaluation mode, on the CPU.

    Raises:
        CheckpointError: a file is missing, altered, foreign, or of another version.
    """
    folder = Path(folder)
    for name in ("flow.json", "flow.safetensors"):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} does not exist, expected a folder written by flow.save(folder)")
    try:
        description = json.loads((folder / "flow.json").read_text())
        if description["format"] != FORMAT or description["version"] != VERSION:
            raise CheckpointError(
                f"{folder / 'flow.json'} has format {description['format']!r} version {description['version']!r}, "
                f"expected {FORMAT!r} version {VERSION}: save it again with this version of pushforward"
            )
        weights = (folder / "flow.safetensors").read_bytes()
        if hashlib.sha256(weights).hexdigest() != description["weights_sha256"]:
            raise CheckpointError(
                f"{folder / 'flow.safetensors'} does not match the checksum in flow.json: it is truncated or altered; "
                "restore a copy, or delete the folder and train again"
            )
        flow = Flow(_build(description["bijection"]))
        tensors = safetensors.torch.load(weights)
        numbers = (t.dtype for name, t in tensors.items() if t.is_floating_point() and not name.endswith(EXTRA))
        dtype = next(numbers, None)
        flow.to(dtype).load_state_dict(tensors)
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError, PushforwardError) as error:
        raise CheckpointError(
            f"{folder} does not hold a flow of this library ({type(error).__name__}: {error}): "
            "expected flow.json and flow.safetensors as flow.save(folder) writes them"
        ) from error
    return flow.eval()


def _describe(bijection: Bijection) -> dict:
    if isinstance(bijection, Chain):
        return {"kind": "chain", "dim": bijection.dim, "blocks": [_describe(block) for block in bijection.blocks]}
    if isinstance(bijection, ODEBijection):
        return {
            "kind": "ode",
            "velocity": _describe_velocity(bijection.velocity),
            "solver": _settings(bijection.solver),
            "divergence": _settings(bijection.divergence),
            "log_det": bijection.log_det,
            "t_data": bijection.t_data,
            "t_latent": bijection.t_latent,
        }
    if isinstance(bijection, ImplicitBlock):
        g_x, g_z = (None if net is None else describe_network(net) for net in (bijection.g_x, bijection.g_z))
        return {
            "kind": "implicit",
            "g_x": g_x,
            "g_z": g_z,
            "solver": describe_part(bijection.solver),
            "log_det": describe_part(bijection.log_det),
            "tol": bijection.tol,
            "on_failure": bijection.on_failure,
        }
    if isinstance(bijection, ResidualBlock):
        return {"kind": "residual", "net": _named(bijection.net, NETS), "terms": bijection.terms}
    return _named(bijection, _PLAIN)


def _describe_velocity(velocity: nn.Module) -> dict:
    if isinstance(velocity, InterpolationVelocity):
        if velocity.schedule.name not in schedules.SCHEDULES | schedules.VARIANTS:
            raise CheckpointError(
                f"the schedule {velocity.schedule.name!r} cannot be saved, expected one of "
                f"{sorted(schedules.SCHEDULES)}: register it, before loading too"
            )
        net = _named(velocity.net, NETS)
        return {"kind": "interpolation", "net": net, **velocity.settings()}
    return _named(velocity, NETS)


def _named(module: nn.Module, registry: dict[str, type]) -> dict:
    for kind, cls in registry.items():
        if type(module) is cls:
            return {"kind": kind, **module.settings()}
    raise CheckpointError(
        f"a {type(module).__name__} cannot be saved, expected one of {sorted(registry)}: "
        "save its state_dict yourself, or add the class to the registry of pushforward.flows.storage"
    )


def _settings(part: object) -> dict:
    for kind, cls in _PARTS.items():
        if type(part) is cls:
            return {"kind": kind, **dataclasses.asdict(part)}
    raise CheckpointError(f"{part!r} cannot be saved, expected one of {sorted(_PARTS)}")


def _build(description: dict) -> Bijection:
    description = dict(description)
    kind = description.pop("kind")
    if kind == "chain":
        return Chain(description["dim"], [_build(block) for block in description["blocks"]])
    if kind == "ode":
        velocity, solver, divergence = (dict(description.pop(part)) for part in ("velocity", "solver", "divergence"))
        return ODEBijection(
            _build_velocity(velocity),
            solver=_PARTS[solver.pop("kind")](**solver),
            divergence=_PARTS[divergence.pop("kind")](**divergence),
            **description,
        )
    if kind == "implicit":
        g_x, g_z = (net if net is None else build_network(net) for net in map(description.pop, ("g_x", "g_z")))
        solver, log_det = (build_part(part) for part in map(description.pop, ("solver", "log_det")))
        return ImplicitBlock(g_x, g_z, solver, log_det, **description)
    if kind == "residual":
        return ResidualBlock(_build_velocity(description["net"]), description["terms"])
    return _PLAIN[kind](**description)


def _build_velocity(description: dict) -> nn.Module:
    description = dict(description)
    kind = description.pop("kind")
    if kind == "interpolation":
        net, schedule = _build_velocity(description["net"]), schedules.by_name(description["schedule"])
        return InterpolationVelocity(net, schedule, description["prediction"])
    return NETS[kind](**description)
