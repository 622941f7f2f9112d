"""The law at the end of a flow where that is not N(0, I): the bijection from the one to the other."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from pushforward.errors import InputError
from pushforward.flows import LabelledShift

TARGETS = {"labelled-shift": LabelledShift}


def end_target(settings: Mapping[str, Any] | None, precondition: Sequence[str]) -> LabelledShift | None:
    """The last bijection of a flow, from ``{"kind": "labelled-shift", ...}`` and its arguments; None for N(0, I).

    Raises:
        InputError: an unknown kind or argument, or preconditioners beside it: they would mix labels with features.
    """
    if settings is None:
        return None
    if not isinstance(settings, Mapping) or settings.get("kind") not in TARGETS:
        raise InputError(f"target is {settings!r}, expected None or a dict whose kind is one of {sorted(TARGETS)}")
    if precondition:
        raise InputError(f"precondition is {tuple(precondition)} beside a target, expected (): labels stay")
    arguments = dict(settings)
    try:
        return TARGETS[arguments.pop("kind")](**arguments)
    except TypeError as error:
        raise InputError(f"target {settings!r} has a setting LabelledShift does not know: {error}") from error


def check_labels_stay(target: LabelledShift, net: nn.Module, dim: int) -> None:
    """Raise InputError where points of another dimension meet the target, or a network would move their labels."""
    if target.dim != dim:
        raise InputError(f"points have dimension {dim}, expected {target.dim}: the target is {target.settings()}")
    if not getattr(net, "labels", False) or net.nodes != target.nodes:
        raise InputError(
            f"the network is a {type(net).__name__}, expected one that leaves the labels of {target.nodes} nodes where "
            "they are, such as 'chebyshev' with labels=True"
        )
