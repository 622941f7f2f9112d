"""Exact bijections that bring the data near N(0, I) before anything is learned."""

from collections.abc import Sequence

from pushforward.errors import InputError
from pushforward.families.pushing import push
from pushforward.flows import Affine, Chain, Flow, Logit, Radial
from pushforward.shapes import Points

PRECONDITIONERS = {"affine": Affine, "radial": Radial, "logit": Logit}


def check_preconditioners(names: Sequence[str]) -> None:
    """Raise InputError where a name is unknown."""
    unknown = [name for name in names if name not in PRECONDITIONERS]
    if unknown:
        raise InputError(f"precondition {unknown} is unknown, expected some of {sorted(PRECONDITIONERS)}")


def preconditioned(names: Sequence[str], x: Points) -> Flow:
    """The flow of these bijections alone, each fitted on the points x [n, d] as those before it leave them."""
    chain = Chain(x.shape[1])
    for name in names:
        part = PRECONDITIONERS[name].fit(x).to(x)
        chain.append(part)
        x = push(part, x)
    return Flow(chain)
