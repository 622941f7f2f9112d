"""A trained JKO flow as the start of another training: its blocks as they are, or each cut into two."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pushforward import paths
from pushforward.errors import CheckpointError, InputError
from pushforward.families.whitening import PRECONDITIONERS
from pushforward.flows import Bijection, Flow, ODEBijection, load_flow


@dataclass(frozen=True)
class Parent:
    """What a training starts from: the bijections before the first block, and the blocks, on the CPU."""

    name: str
    preconditioners: list[Bijection]
    blocks: list[ODEBijection]

    @classmethod
    def load(cls, name: str) -> "Parent":
        """The parent in ``artifacts/<name>``, a name with its key as ``train_once`` writes it.

        Raises:
            InputError: there is none, or it is not a flow of ODE blocks on unit time behind its preconditioners.
        """
        try:
            flow = load_flow(paths.artifacts() / name)
        except CheckpointError as error:
            raise InputError(
                f"parent {name!r} is no flow in artifacts ({error}): train it first, with train_once, and give the "
                "name of its folder"
            ) from error
        return cls.of(flow, name)

    @classmethod
    def of(cls, flow: Flow, name: str = "flow") -> "Parent":
        """The parts of a JKO flow; raises as ``load``."""
        parts = list(getattr(flow.bijection, "blocks", [flow.bijection]))
        first = next((k for k, part in enumerate(parts) if isinstance(part, ODEBijection)), len(parts))
        blocks = parts[first:]
        if not blocks or not all(isinstance(b, ODEBijection) and (b.t_data, b.t_latent) == (0, 1) for b in blocks):
            found = [type(part).__name__ for part in parts]
            raise InputError(f"parent {name!r} is {found}, expected preconditioners, then ODE blocks from time 0 to 1")
        return cls(name, parts[:first], blocks)

    def check_precondition(self, names: Sequence[str], dim: int) -> None:
        """Raise InputError where the parent's space or preconditioners are not those of the training that asks."""
        found = {cls: name for name, cls in PRECONDITIONERS.items()}
        mine = [found.get(type(part), type(part).__name__) for part in self.preconditioners]
        if mine != list(names) or self.blocks[0].dim != dim:
            raise InputError(
                f"parent {self.name!r} preconditions by {mine} in dimension {self.blocks[0].dim}, expected "
                f"{list(names)} in dimension {dim}: a flow goes on from a parent of its own data and settings"
            )

    def starts(self, steps: int, free_block: bool) -> list[ODEBijection]:
        """The blocks that ``steps`` steps begin with: as many as the parent has, or twice that, each cut in two.

        A free block, the last, is never cut: half of no penalty is none.

        Raises:
            InputError: any other number of steps, or a velocity that cannot be cut.
        """
        proximal = len(self.blocks) - free_block
        if steps == len(self.blocks):
            return self.blocks
        if steps - free_block != 2 * proximal:
            raise InputError(
                f"parent {self.name!r} has {len(self.blocks)} blocks and this training {steps}, expected as many, or "
                "two for each that is not free: give as many step sizes in h"
            )
        return [half for block in self.blocks[:proximal] for half in halves(block)] + self.blocks[proximal:]


def halves(block: ODEBijection) -> tuple[ODEBijection, ODEBijection]:
    """Two blocks on unit time that make ``block`` when one follows the other: v/2 along each half of its path.

    An even number of grid steps is shared out, so that the map and its discrete log-determinant are the parent's to
    rounding; an odd number is rounded up, and the children follow the same ODE on a finer grid.
    Source: jko-iflow note §5 (arXiv 2212.14424, §4.2).

    Raises:
        InputError: the velocity cannot be restricted to a part of its path.
    """
    if not hasattr(block.velocity, "restrict_"):
        raise InputError(
            f"a {type(block.velocity).__name__} has no method restrict_(start, end), expected a velocity that can be "
            "cut in two, such as 'mlp', 'lattice' or 'gated'"
        )
    first, second = copy.deepcopy(block), copy.deepcopy(block)
    first.velocity.restrict_(0.0, 0.5)
    second.velocity.restrict_(0.5, 1.0)
    first.solver = second.solver = replace(block.solver, steps=(block.solver.steps + 1) // 2)
    return first, second


@torch.no_grad()
def inherit(block: ODEBijection, start: ODEBijection) -> None:
    """Give ``block`` the velocity and the grid of ``start``, so that it is the same map.

    Raises:
        InputError: their velocities are of another kind or size.
    """
    mine, other = block.velocity, start.velocity
    if type(mine) is not type(other) or mine.settings() != other.settings():
        raise InputError(
            f"the parent's velocity is a {type(other).__name__} of {other.settings()}, expected a "
            f"{type(mine).__name__} of {mine.settings()}: a flow goes on with the velocity of its parent"
        )
    mine.load_state_dict(other.state_dict())
    block.solver = start.solver
