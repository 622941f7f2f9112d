from dataclasses import dataclass

import pytest
import torch

from pushforward.errors import CheckpointError, InputError
from pushforward.implicit import (
    Broyden,
    Exact,
    FixedPoint,
    Geometric,
    LipschitzMLP,
    Neumann,
    Newton,
    Poisson,
    Recomputed,
    Roulette,
    Truncated,
)
from pushforward.implicit.parts import build_network, build_part, describe_network, describe_part

PARTS = [
    Newton(7),
    Broyden(memory=3, max_iterations=9),
    FixedPoint(None),
    Exact(),
    Truncated(4),
    Roulette(Geometric(0.3), 5),
    Neumann(Poisson(1.5), 0),
    Recomputed(Neumann(Geometric(0.25), 3)),
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_a_part_is_rebuilt_from_what_describes_it(part):
    assert build_part(describe_part(part)) == part


def test_parts_within_parts_are_descriptions_too():
    inner = {"kind": "neumann", "tail": {"kind": "poisson", "rate": 2}, "exact_terms": 10}
    assert build_part({"kind": "recomputed", "estimator": inner}) == Recomputed(Neumann(Poisson(2), 10))


def test_a_network_is_rebuilt_from_what_describes_it():
    net = LipschitzMLP(3, (5, 4), "lipswish", 0.8)
    again = build_network(describe_network(net))
    assert again.settings() == net.settings() and again is not net
    assert build_network({"kind": "mlp", "widths": [6]}, dim=2).settings()["widths"] == [6]


@pytest.mark.parametrize(
    ("build", "description", "message"),
    [
        (build_part, {"kind": "secant"}, "kind of part .* is 'secant', expected one of .*'anderson'"),
        (build_part, {"memory": 3}, "is None, expected one of"),
        (build_part, {"kind": "newton", "memory": 3}, "has a setting that 'newton' does not know"),
        (build_part, {"kind": "roulette", "tail": {"kind": "zipf"}}, "is 'zipf'"),
        (build_network, {"kind": "lattice"}, r"kind of net .* is 'lattice', expected one of \['conv', 'mlp'\]"),
        (build_network, {"kind": "mlp", "dim": 2, "width": 3}, "has a setting that 'mlp' does not know"),
    ],
)
def test_what_cannot_be_built_is_named(build, description, message):
    with pytest.raises(InputError, match=message):
        build(description)


@dataclass(frozen=True)
class Own:
    """A user's solver that nobody registered."""


def test_what_cannot_be_described_is_named():
    with pytest.raises(CheckpointError, match="a Own cannot be saved, expected one of .*register its class"):
        describe_part(Own())
    with pytest.raises(CheckpointError, match="a Linear cannot be saved"):
        describe_network(torch.nn.Linear(2, 2))
    with pytest.raises(CheckpointError, match="its jacobian is no number, text or part"):
        describe_part(Newton(jacobian=torch.diag_embed))
