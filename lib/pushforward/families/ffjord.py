"""FFJORD: one continuous flow trained end to end by likelihood, without a price on its path (arXiv 1810.01367)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.datasets import Split
from pushforward.errors import InputError
from pushforward.families.counting import Counted
from pushforward.families.end_to_end import Whole, end_to_end
from pushforward.families.jko import DIVERGENCES
from pushforward.families.stage import Stage, TrainingHistory
from pushforward.families.whitening import check_preconditioners, preconditioned
from pushforward.fit import FitConfig
from pushforward.flows import Flow, ODEBijection
from pushforward.nets import NETS
from pushforward.numerics import Adaptive, FixedGrid
from pushforward.objectives import LikelihoodObjective

VELOCITY = {"kind": "mlp", "widths": (64, 64, 64), "activation": "tanh"}


@dataclass(frozen=True)
class FFJORD:
    """Settings of FFJORD. The defaults are those of the authors' code for laws in the plane, but for the batch.

    The clock runs over [0, 1]: a length of time to be learned, as the code has it, would only scale the velocity.

    Args:
        velocity: ``{"kind": ...}`` of ``pushforward.nets``, the arguments of that class; an MLP sees the time unless
            ``time`` says otherwise.
        tolerance: of dopri5, relative and absolute.
        steps: Runge–Kutta steps of a fixed grid in its place; 0: adaptive.
        adjoint: gradients by the adjoint ODE, whose memory does not grow with the steps; adaptive solver alone.
        divergence: in training: exact, hutchinson-gaussian, hutchinson-rademacher or finite-difference. What is
            reported is exact.
        precondition: exact bijections fitted first, of ``affine`` (whitening), ``radial`` and, for values in [0, 1],
            ``logit``.
        pool: training points: drawn from a law, or the first of a data set's.
        fit: the optimiser's settings.

    Raises:
        InputError: a setting out of its range, or an unknown name.
    """

    velocity: dict = field(default_factory=lambda: dict(VELOCITY))
    tolerance: float = 1e-5
    steps: int = 0
    adjoint: bool = False
    divergence: str = "exact"
    precondition: tuple[str, ...] = ("affine",)
    pool: int = 300_000
    fit: FitConfig = field(default_factory=lambda: FitConfig(iterations=2000, batch=500, lr=1e-3, weight_decay=1e-5))

    name: ClassVar[str] = "ffjord"
    algorithm_version: ClassVar[int] = 1  # raise it when the same settings would train another flow

    def __post_init__(self) -> None:
        if not isinstance(self.velocity, dict) or self.velocity.get("kind") not in NETS:
            raise InputError(f"velocity is {self.velocity!r}, expected a dict whose kind is one of {sorted(NETS)}")
        if self.steps < 0 or not self.tolerance > 0:
            raise InputError(
                f"steps={self.steps}, tolerance={self.tolerance}: expected steps >= 0, a tolerance above 0"
            )
        if self.adjoint and self.steps:
            raise InputError(f"adjoint with steps={self.steps}: expected steps=0, the adaptive solver, or no adjoint")
        if self.divergence not in DIVERGENCES:
            raise InputError(f"divergence {self.divergence!r} is unknown, expected one of {sorted(DIVERGENCES)}")
        if self.pool < 1:
            raise InputError(f"pool is {self.pool}, expected at least 1 point")
        check_preconditioners(self.precondition)

    def ode(self, dim: int) -> ODEBijection:
        """The flow's ODE before training; the random weights come from torch's global stream."""
        arguments = dict(self.velocity)
        kind = arguments.pop("kind")
        if kind == "mlp":
            arguments.setdefault("time", True)
        try:
            velocity = NETS[kind](dim=dim, **arguments)
        except TypeError as error:
            raise InputError(f"velocity {self.velocity} has a setting that {kind!r} does not know: {error}") from error
        adaptive = Adaptive(self.tolerance, self.tolerance, adjoint=self.adjoint)
        solver = FixedGrid(self.steps) if self.steps else adaptive
        return ODEBijection(velocity, solver, "trace", DIVERGENCES[self.divergence]())

    def build(self, split: Split) -> Flow:
        """The flow before training: the preconditioners, fitted on the training points."""
        return preconditioned(self.precondition, split.train)

    def stages(self, flow: Flow, split: Split, history: TrainingHistory, seed: int) -> Iterator[Stage]:
        """One stage: maximum likelihood."""
        return end_to_end(flow, split, history, seed, self._whole, self.fit, self.pool)

    def _whole(self, dim: int) -> Whole:
        ode = self.ode(dim)
        inside = ODEBijection(ode.velocity, ode.solver, "trace", ode.divergence)
        counted = Counted(ode)
        return Whole(counted, inside, LikelihoodObjective(ode), lambda _: int(counted.evaluations))
