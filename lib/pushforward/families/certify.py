"""Whether a trained block is a bijection whose likelihood is its own and not its solver's."""

from dataclasses import replace

import torch

from pushforward.errors import NotInvertible
from pushforward.families.pushing import nll, push_with_log_det
from pushforward.flows import Bijection, ODEBijection, with_solver
from pushforward.seeds import stream
from pushforward.shapes import PerPoint, Points

MAX_STEPS = 64  # a block that needs more steps than this is an error
GAP = 0.003  # nats by which the NLL of a block may move when its steps are halved in length
GAP_POINTS = 5_000  # held-out points that measure it
MADE_UP = 0.5  # nats from which such a move is the optimiser's doing, not the solver's error
PROBES = 20_000  # training points, and held-out points, at which a block is looked at for folds


@torch.no_grad()
def certify(block: ODEBijection, x: Points, held_out: Points, target: Bijection | None = None) -> None:
    """Double the steps of a trained block until it is a bijection whose NLL does not move with the solver.

    The ODE is invertible whatever the velocity; only a coarse discretisation of it can fold. Determinants are looked
    at on training points x [n, d] and held-out points [m, d] and, for small d, all over a box that is larger than they
    fill. ``target`` is the bijection that ends the flow where its law is not N(0, I).

    Raises:
        NotInvertible: more than 64 steps would be needed, or the NLL of the training grid was made up by the solver:
            likelihood training exploits a grid that is too coarse for its velocity.
    """
    held_out = held_out[:PROBES]
    probes = torch.cat([x[:PROBES], held_out])
    if block.log_det == "discrete":
        reach = 1.5 * x.abs().amax(0)
        box = torch.rand(4 * PROBES, block.dim, generator=stream(0, "certify"), dtype=x.dtype).to(x)
        probes = torch.cat([probes, (2 * box - 1) * reach])
    while True:
        folds = _folds(block, probes)
        gap = 0.0 if folds else _solver_gap(block, held_out[:GAP_POINTS], target)
        if not folds and gap <= GAP:
            return
        steps = block.solver.steps
        if gap > MADE_UP:
            raise NotInvertible(
                f"a block's NLL moves by {gap:.2f} nats when its {steps} steps are halved in length: training has "
                "exploited the coarse grid; train with more steps or a smaller h"
            )
        if 2 * steps > MAX_STEPS:
            raise NotInvertible(
                f"a block with {steps} steps {'still folds' if folds else f'moves its NLL by {gap:.3f} nats'}, "
                "expected a velocity that the solver resolves: lower h0, growth or the learning rate"
            )
        block.solver = replace(block.solver, steps=2 * steps)


def nll_so_far(block: ODEBijection, z: Points, log_det: PerPoint, target: Bijection | None = None) -> float | None:
    """NLL in nats of points that the blocks before take to z [n, d] with log_det [n], once ``block`` has moved them
    and ``target`` after it.

    None where a half-trained block folds: training may yet unfold it, and finer steps are chosen at its end.
    """
    try:
        return _nll_after(block, z, log_det, target)
    except NotInvertible:
        return None


def _folds(block: ODEBijection, x: Points) -> bool:
    if block.log_det != "discrete":
        return False
    return any(float(block.step_determinants(part)[1].min()) <= 0 for part in x.split(PROBES))


def _solver_gap(block: ODEBijection, x: Points, target: Bijection | None) -> float:
    finer = with_solver(block, replace(block.solver, steps=2 * block.solver.steps), block.log_det)
    return abs(_nll_after(block, x, 0.0, target) - _nll_after(finer, x, 0.0, target))


def _nll_after(block: ODEBijection, z: Points, log_det: PerPoint | float, target: Bijection | None) -> float:
    z, more = push_with_log_det(block, z)
    return nll(z, log_det + more, target)
