"""JKO-iFlow: one Wasserstein proximal step a block, trained block by block (arXiv 2212.14424, Alg. 1)."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch

from pushforward.datasets import Split
from pushforward.errors import InputError
from pushforward.families.certify import certify, nll_so_far
from pushforward.families.counting import passes
from pushforward.families.parent import Parent, inherit
from pushforward.families.pushing import nll, push, push_with_log_det, some
from pushforward.families.stage import LATER, Stage, TrainingHistory
from pushforward.families.target import check_labels_stay, end_target
from pushforward.families.whitening import check_preconditioners, preconditioned
from pushforward.fit import FitConfig
from pushforward.flows import Chain, Flow, ODEBijection
from pushforward.metrics import movement, movement_ratio
from pushforward.nets import NETS
from pushforward.numerics import Divergence, Exact, FiniteDifference, FixedGrid, Hutchinson
from pushforward.objectives import JKOObjective
from pushforward.seeds import seeded, stream
from pushforward.shapes import Points

DIVERGENCES: dict[str, Callable[[], Divergence]] = {
    "exact": Exact,
    "hutchinson-gaussian": lambda: Hutchinson("gaussian"),
    "hutchinson-rademacher": lambda: Hutchinson("rademacher"),
    "finite-difference": FiniteDifference,
}
LATTICE_FIT = FitConfig(iterations=200, batch=2000, lr=0.04, betas=(0.9, 0.98))
NETWORK_FIT = FitConfig(iterations=300, batch=512, optimizer="adamw", lr=2e-3, weight_decay=0.05, clip=5.0)
MOVERS = 100_000  # points of the pool that measure the movement of the last block: no block needs the others
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
        h: step sizes of all blocks, in the place of ``blocks``, ``h0``, ``growth`` and ``h_max``; a free block comes
            after them.
        parent: a flow of the same data to go on from, by the name of its folder in ``artifacts``. Every block starts
            as the parent's block, or as half of it where there are two step sizes for each, with the parent's
            preconditioners and grids: before training the flow is its parent. It goes before ``warm_start``.
        target: None for N(0, I); ``{"kind": "labelled-shift", ...}``, the arguments of ``LabelledShift``, for points
            that carry labels, which no preconditioner may mix with the features and no velocity may move. Every block
            goes to that law, V = |y − μ(Y)|²/(2σ²), and the flow ends with its ``LabelledShift``.

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
    h: tuple[float, ...] | None = field(default=None, metadata=LATER)
    parent: str | None = field(default=None, metadata=LATER)
    target: dict | None = field(default=None, metadata=LATER)

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
        if end_target(self.target, self.precondition) is not None and self.diffusion:
            raise InputError(f"diffusion is {self.diffusion} beside a target, expected 0: labels stay")
        if self.h is not None:
            if not isinstance(self.h, list | tuple) or not self.h or not all(0 < h < math.inf for h in self.h):
                raise InputError(f"h is {self.h}, expected a tuple of positive, finite step sizes, one a block")
            object.__setattr__(self, "h", tuple(self.h))  # a list, as a YAML file has it

    def step_sizes(self) -> list[float]:
        """h_k of every block; the free block's is infinite."""
        if self.h is not None:
            return [*self.h, math.inf] if self.free_block else list(self.h)
        sizes = [min(self.growth**k * self.h0, self.h_max) for k in range(self.blocks)]
        return [*sizes[:-1], math.inf] if self.free_block else sizes

    def block(self, dim: int) -> ODEBijection:
        """A new block, the identity at first; its random weights come from torch's global stream."""
        kind, arguments = self._velocity(dim)
        try:
            velocity = NETS[kind](dim=dim, **arguments)
        except TypeError as error:
            raise InputError(f"velocity {self.velocity} has a setting that {kind!r} does not know: {error}") from error
        target = end_target(self.target, self.precondition)
        if target is not None:
            check_labels_stay(target, velocity, dim)
        log_det = self.log_det or ("discrete" if dim <= SMALL else "trace")
        return ODEBijection(velocity, FixedGrid(self.steps, self.method), log_det, DIVERGENCES[self.divergence]())

    def _velocity(self, dim: int) -> tuple[str, dict]:
        if self.velocity is not None:
            arguments = dict(self.velocity)
            return arguments.pop("kind"), arguments
        return ("lattice", {}) if dim == 2 else ("mlp", {"widths": (128, 128), "activation": "silu"})

    def build(self, split: Split) -> Flow:
        """The flow before block 1: the preconditioners, fitted on the training points or the parent's."""
        if self.parent is None:
            return preconditioned(self.precondition, split.train)
        parent, dim = Parent.load(self.parent), split.train.shape[1]
        parent.check_precondition(self.precondition, dim)
        return Flow(Chain(dim, parent.preconditioners)).to(split.train)

    def _starts(self) -> list[ODEBijection | None]:
        """What the blocks start from."""
        count = len(self.step_sizes())
        return [None] * count if self.parent is None else Parent.load(self.parent).starts(count, self.free_block)

    def stages(self, flow: Flow, split: Split, history: TrainingHistory, seed: int) -> Iterator[Stage]:
        """One stage a block. Block k sees only the points that blocks 1 … k − 1 have pushed; those are frozen."""
        started = time.process_time()
        chain, dim = flow.bijection, flow.dim
        fit = self.fit or (LATTICE_FIT if self._velocity(dim)[0] == "lattice" else NETWORK_FIT)
        x = push(chain, split.train[: self.pool])
        if self.diffusion:
            x = _ornstein_uhlenbeck(x, self.diffusion, stream(seed, "diffusion"))
        target = end_target(self.target, self.precondition)
        z, log_det = push_with_log_det(chain, split.val)
        start_nll = nll(z, log_det, target)
        history.stages.append({"stage": "start", "val_nll": start_nll, "seconds": time.process_time() - started})
        previous = None
        stopped = False
        sizes = self.step_sizes()
        for k, (h, start) in enumerate(zip(sizes, self._starts(), strict=True)):
            if stopped and not math.isinf(h):
                continue  # the free block comes after the last step, whichever that was
            block = self._first(k, x, seed, start, previous)
            stage = Stage(
                f"block-{k + 1}",
                block,
                JKOObjective(block, h, target and target.potential),
                x,
                fit,
                validate=lambda z=z, log_det=log_det, block=block: nll_so_far(block, z, log_det, target),
            )
            yield stage
            started = time.process_time()
            fitted = history.fits[stage.name]
            calls = fitted.iterations * block.solver.evaluations * passes(block)
            cost = {"minibatches": fitted.iterations, "evaluations": calls}
            found = nll_so_far(block, z, log_det, target)
            kept = not self.stop_on_rise or found is None or found <= nll(z, log_det, target)
            if kept:
                certify(block, x, z, target)
            movers = x if k + 1 < len(sizes) else some(x, MOVERS, "movement")
            pushed = push(block, movers)
            moving = slice(None) if target is None else slice(target.inside)  # labels never do
            ratio = movement_ratio(movers[:, moving], pushed[:, moving])
            row = {
                "stage": stage.name,
                "h": None if math.isinf(h) else h,  # infinity is not JSON
                "movement": movement(movers, pushed),
                "ratio": ratio,
                "steps": block.solver.steps,
                **cost,
                "seconds": fitted.seconds + time.process_time() - started,
            }
            later, more = push_with_log_det(block, z)
            history.stages.append({**row, "val_nll": nll(later, log_det + more, target), "kept": kept})
            stopped = stopped or ratio < self.stop_ratio or not kept
            if kept:
                x, z, log_det, previous = pushed, later, log_det + more, block
                chain.append(block)
        if target is not None:
            chain.append(target.eval())

    def _first(
        self, k: int, x: Points, seed: int, start: ODEBijection | None, previous: ODEBijection | None
    ) -> ODEBijection:
        """Block k + 1 as its training begins, on the device and of the dtype of x."""
        with seeded(seed, f"init/{k}"):
            block = self.block(x.shape[1]).to(x)
        if start is not None:
            inherit(block, start)
        elif self.warm_start and previous is not None:
            block.load_state_dict(previous.state_dict())
        return block


def _ornstein_uhlenbeck(x: Points, t: float, generator: torch.Generator) -> Points:
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
    return math.exp(-t) * x + math.sqrt(-math.expm1(-2 * t)) * noise
