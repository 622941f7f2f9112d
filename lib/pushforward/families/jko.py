"""JKO-iFlow: one Wasserstein proximal step a block, trained block by block (arXiv 2212.14424, Alg. 1)."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch

from pushforward.datasets import Split
from pushforward.errors import InputError, NotInvertible
from pushforward.families.pushing import nll, push, push_with_log_det
from pushforward.families.stage import Stage, TrainingHistory
from pushforward.families.whitening import check_preconditioners, preconditioned
from pushforward.fit import FitConfig
from pushforward.flows import Flow, ODEBijection, with_solver
from pushforward.metrics import movement, movement_ratio
from pushforward.nets import NETS
from pushforward.numerics import Divergence, Exact, FiniteDifference, FixedGrid, Hutchinson
from pushforward.objectives import JKOObjective
from pushforward.seeds import stream
from pushforward.shapes import Points

DIVERGENCES: dict[str, Callable[[], Divergence]] = {
    "exact": Exact,
    "hutchinson-gaussian": lambda: Hutchinson("gaussian"),
    "hutchinson-rademacher": lambda: Hutchinson("rademacher"),
    "finite-difference": FiniteDifference,
}
MAX_STEPS = 64  # a block that needs more steps than this is an error
GAP = 0.003  # nats by which the NLL of a block may move when its steps are halved in length
GAP_POINTS = 5_000  # held-out points that measure it
MADE_UP = 0.5  # nats from which such a move is the optimiser's doing, not the solver's error
PROBES = 20_000  # training points, and held-out points, at which a block is looked at for folds
LATTICE_FIT = FitConfig(iterations=200, batch=2000, lr=0.04, betas=(0.9, 0.98))
NETWORK_FIT = FitConfig(iterations=300, batch=512, optimizer="adamw", lr=2e-3, weight_decay=0.05, clip=5.0)
SMALL = 3  # up to this dimension the exact determinant of the discretised block costs less than it saves


@dataclass(frozen=True)
class JKO:
    """Settings of JKO-iFlow. The defaults suit the data at hand: ``None`` chooses by dimension.

    Args:
        velocity: ``{"kind": "mlp" | "lattice" | "gated", ...}``, the arguments of that class in ``pushforward.nets``;
            None: a lattice in the plane, an MLP with two hidden layers (exact divergence in closed form) elsewhere.
        precondition: exact bijections fitted before block 1, of ``affine`` (whitening), ``radial`` and, for values
            in [0, 1], ``logit``.
        blocks: largest number L of blocks.
        h0, growth, h_max: step sizes h_k = min(growth^k h0, h_max), k = 0, 1, …
        steps, method: fixed grid of each block, on s in [0, 1] (unit-time convention).
        log_det: ``discrete`` or ``trace`` (see ``ODEBijection``); None: discrete up to dimension 3.
        divergence: for ``trace``: exact, hutchinson-gaussian, hutchinson-rademacher or finite-difference.
        warm_start: start each block from the weights of the one before.
        stop_ratio: stop once mean|T(x) − x|² / mean|T(x)|² of a block falls below it; 0 never stops.
        stop_on_rise: drop a block that raises the validation NLL, and stop: the flow begins to memorise its points.
        free_block: a last block without the movement term (h = ∞).
        diffusion: time of a short Ornstein–Uhlenbeck step on the preconditioned training points, for data without a
            density.
        pool: training points pushed from block to block: drawn from a law, or the first of a data set's.
        fit: the optimiser's settings, the same for every block; None: ``LATTICE_FIT``, with large steps, since control
            points are in units of their cells, or ``NETWORK_FIT``.

    Raises:
        InputError: a setting out of its range, or an unknown name.
    """

    velocity: dict | None = None
    precondition: tuple[str, ...] = ("affine",)
    blocks: int = 8
    h0: float = 0.25
    growth: float = 2.0
    h_max: float = 3.0
    steps: int = 2
    method: Literal["rk4", "midpoint"] = "rk4"
    log_det: Literal["trace", "discrete"] | None = None
    divergence: str = "exact"
    warm_start: bool = False
    stop_ratio: float = 0.002
    stop_on_rise: bool = True
    free_block: bool = False
    diffusion: float = 0.0
    pool: int = 300_000
    fit: FitConfig | None = None

    name: ClassVar[str] = "jko-iflow"
    algorithm_version: ClassVar[int] = 2  # raise it when the same settings would train another flow

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise InputError(f"blocks is {self.blocks}, expected at least 1")
        if not (self.h0 > 0 and self.growth > 0 and self.h_max > 0):
            raise InputError(f"h0={self.h0}, growth={self.growth}, h_max={self.h_max}: expected positive step sizes")
        if self.divergence not in DIVERGENCES:
            raise InputError(f"divergence {self.divergence!r} is unknown, expected one of {sorted(DIVERGENCES)}")
        check_preconditioners(self.precondition)
        if self.velocity is not None and not isinstance(self.velocity, dict):
            raise InputError(f"velocity is {self.velocity!r}, expected None or a dict such as {{'kind': 'mlp'}}")
        if self.velocity is not None and self.velocity.get("kind") not in NETS:
            raise InputError(f"velocity kind {self.velocity.get('kind')!r} is unknown, expected one of {sorted(NETS)}")
        if self.pool < 1:
            raise InputError(f"pool is {self.pool}, expected at least 1 point")
        if self.diffusion < 0:
            raise InputError(f"diffusion is {self.diffusion}, expected a time of at least 0")

    def step_sizes(self) -> list[float]:
        """h_k of every block; the free block's is infinite."""
        sizes = [min(self.growth**k * self.h0, self.h_max) for k in range(self.blocks)]
        return [*sizes[:-1], math.inf] if self.free_block else sizes

    def block(self, dim: int) -> ODEBijection:
        """A new block, the identity at first; its random weights come from torch's global stream."""
        kind, arguments = self._velocity(dim)
        try:
            velocity = NETS[kind](dim=dim, **arguments)
        except TypeError as error:
            raise InputError(f"velocity {self.velocity} has a setting that {kind!r} does not know: {error}") from error
        log_det = self.log_det or ("discrete" if dim <= SMALL else "trace")
        return ODEBijection(velocity, FixedGrid(self.steps, self.method), log_det, DIVERGENCES[self.divergence]())

    def _velocity(self, dim: int) -> tuple[str, dict]:
        if self.velocity is not None:
            arguments = dict(self.velocity)
            return arguments.pop("kind"), arguments
        return ("lattice", {}) if dim == 2 else ("mlp", {"widths": (128, 128), "activation": "silu"})

    def build(self, split: Split) -> Flow:
        """The flow before block 1: the preconditioners, fitted on the training points."""
        return preconditioned(self.precondition, split.train)

    def stages(self, flow: Flow, split: Split, history: TrainingHistory, seed: int) -> Iterator[Stage]:
        """One stage a block. Block k sees only the points that blocks 1 … k − 1 have pushed; those are frozen."""
        started = time.process_time()
        chain, dim = flow.bijection, flow.dim
        fit = self.fit or (LATTICE_FIT if self._velocity(dim)[0] == "lattice" else NETWORK_FIT)
        x = push(chain, split.train[: self.pool])
        if self.diffusion:
            x = _ornstein_uhlenbeck(x, self.diffusion, stream(seed, "diffusion"))
        z, log_det = push_with_log_det(chain, split.val)
        history.stages.append({"stage": "start", "val_nll": nll(z, log_det), "seconds": time.process_time() - started})
        previous = None
        stopped = False
        for k, h in enumerate(self.step_sizes()):
            if stopped and not math.isinf(h):
                continue  # the free block comes after the last step, whichever that was
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(stream(seed, f"init/{k}").initial_seed())
                block = self.block(dim).to(x)
            if self.warm_start and previous is not None:
                block.load_state_dict(previous.state_dict())
            stage = Stage(
                f"block-{k + 1}",
                block,
                JKOObjective(block, h),
                x,
                fit,
                validate=lambda z=z, log_det=log_det, block=block: _nll_so_far(block, z, log_det),
            )
            yield stage
            started = time.process_time()
            stage_solver = block.solver
            found = _nll_so_far(block, z, log_det)
            kept = not self.stop_on_rise or found is None or found <= nll(z, log_det)
            if kept:
                _certify(block, x, z[:PROBES])
            pushed = push(block, x)
            ratio = movement_ratio(x, pushed)
            row = {
                "stage": stage.name,
                "h": None if math.isinf(h) else h,  # infinity is not JSON
                "movement": movement(x, pushed),
                "ratio": ratio,
                "steps": block.solver.steps,
                "evaluations": history.fits[stage.name].iterations * stage_solver.evaluations,
            }
            row["seconds"] = history.fits[stage.name].seconds + time.process_time() - started
            later, more = push_with_log_det(block, z)
            history.stages.append({**row, "val_nll": nll(later, log_det + more), "kept": kept})
            stopped = stopped or ratio < self.stop_ratio or not kept
            if kept:
                x, z, log_det, previous = pushed, later, log_det + more, block
                chain.append(block)


@torch.no_grad()
def _certify(block: ODEBijection, x: Points, held_out: Points) -> None:
    """Double the steps of a trained block until it is a bijection whose NLL does not move with the solver.

    The ODE is invertible whatever the velocity; only a coarse discretisation of it can fold. Determinants are looked
    at on training and held-out points and, for small d, all over a box that is larger than they fill.

    Raises:
        NotInvertible: more than 64 steps would be needed, or the NLL of the training grid was made up by the solver:
            likelihood training exploits a grid that is too coarse for its velocity.
    """
    probes = torch.cat([x[:PROBES], held_out])
    if block.log_det == "discrete":
        reach = 1.5 * x.abs().amax(0)
        box = torch.rand(4 * PROBES, block.dim, generator=stream(0, "certify"), dtype=x.dtype).to(x)
        probes = torch.cat([probes, (2 * box - 1) * reach])
    while True:
        folds = _folds(block, probes)
        gap = 0.0 if folds else _solver_gap(block, held_out[:GAP_POINTS])
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


def _folds(block: ODEBijection, x: Points) -> bool:
    if block.log_det != "discrete":
        return False
    return any(float(block.step_determinants(part)[1].min()) <= 0 for part in x.split(PROBES))


def _solver_gap(block: ODEBijection, x: Points) -> float:
    finer = with_solver(block, replace(block.solver, steps=2 * block.solver.steps), block.log_det)
    return abs(_nll_after(block, x, 0.0) - _nll_after(finer, x, 0.0))


def _nll_after(block: ODEBijection, z: Points, log_det: torch.Tensor) -> float:
    z, more = push_with_log_det(block, z)
    return nll(z, log_det + more)


def _nll_so_far(block: ODEBijection, z: Points, log_det: torch.Tensor) -> float | None:
    """None where a half-trained block folds: training may yet unfold it, and finer steps are chosen at its end."""
    try:
        return _nll_after(block, z, log_det)
    except NotInvertible:
        return None


def _ornstein_uhlenbeck(x: Points, t: float, generator: torch.Generator) -> Points:
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
    return math.exp(-t) * x + math.sqrt(-math.expm1(-2 * t)) * noise
