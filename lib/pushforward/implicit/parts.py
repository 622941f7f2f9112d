"""Networks, solvers and estimators by name: what plain settings, and files, say of a block."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import nn

from pushforward.errors import CheckpointError, InputError
from pushforward.implicit.convnet import LipschitzConv
from pushforward.implicit.lipschitz import LipschitzMLP
from pushforward.implicit.log_det import Exact, Neumann, Recomputed, Roulette, Truncated
from pushforward.implicit.solvers import SOLVERS
from pushforward.implicit.tails import Geometric, Poisson

NETWORKS = {"mlp": LipschitzMLP, "conv": LipschitzConv}
PARTS = {
    **SOLVERS,
    "exact": Exact,
    "truncated": Truncated,
    "roulette": Roulette,
    "neumann": Neumann,
    "recomputed": Recomputed,
    "geometric": Geometric,
    "poisson": Poisson,
}  # frozen dataclasses of settings; one of your own may be added


def build_network(description: Mapping[str, Any], **more: object) -> nn.Module:
    """The network that ``{"kind": ..., **arguments}`` describes, with ``more`` arguments.

    Raises:
        InputError: an unknown kind, or an argument that it does not take.
    """
    return _build(description, NETWORKS, "net", more)


def build_part(description: Mapping[str, Any]) -> Any:
    """The solver, estimator or tail that ``{"kind": ..., **settings}`` describes; parts within are descriptions too.

    Raises:
        InputError: an unknown kind, or a setting that it does not take.
    """
    inner = {name: build_part(value) if isinstance(value, Mapping) else value for name, value in description.items()}
    return _build(inner, PARTS, "part", {})


def describe_network(net: nn.Module) -> dict:
    """What ``build_network`` rebuilds it from.

    Raises:
        CheckpointError: a class that is not in ``NETWORKS``.
    """
    return {"kind": _kind(net, NETWORKS), **net.settings()}


def describe_part(part: Any) -> dict:
    """What ``build_part`` rebuilds it from.

    Raises:
        CheckpointError: a class that is not in ``PARTS``, or a setting that is no number, text or part.
    """
    described = {"kind": _kind(part, PARTS)}
    for field in fields(part):
        value = getattr(part, field.name)
        if not (value is None or is_dataclass(value) or isinstance(value, int | float | str)):
            raise CheckpointError(f"{part!r} cannot be saved: its {field.name} is no number, text or part")
        described[field.name] = describe_part(value) if is_dataclass(value) else value
    return described


def _kind(thing: object, registry: Mapping[str, type]) -> str:
    for kind, cls in registry.items():
        if type(thing) is cls:
            return kind
    raise CheckpointError(
        f"a {type(thing).__name__} cannot be saved, expected one of {sorted(registry)}: "
        "register its class in pushforward.implicit.parts, before loading too"
    )


def _build(description: Mapping[str, Any], registry: Mapping[str, type], what: str, more: dict) -> Any:
    arguments = dict(description)
    kind = arguments.pop("kind", None)
    if kind not in registry:
        raise InputError(f"the kind of {what} {dict(description)} is {kind!r}, expected one of {sorted(registry)}")
    try:
        return registry[kind](**arguments, **more)
    except TypeError as error:
        raise InputError(f"{what} {dict(description)} has a setting that {kind!r} does not know: {error}") from error
