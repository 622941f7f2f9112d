"""FFJORD: continuous flows trained end to end by likelihood, without a price on their paths (arXiv 1810.01367)."""

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.errors import InputError
from pushforward.families.counting import Counted
from pushforward.families.end_to_end import EndToEnd, Whole
from pushforward.families.jko import DIVERGENCES
from pushforward.families.stage import LATER
from pushforward.fit import FitConfig
from pushforward.flows import Chain, ODEBijection
from pushforward.nets import NETS
from pushforward.numerics import Adaptive, FixedGrid
from pushforward.objectives import LikelihoodObjective
from pushforward.shapes import Points

VELOCITY = {"kind": "mlp", "widths": (64, 64, 64), "activation": "tanh"}


@dataclass(frozen=True)
class FFJORD(EndToEnd):
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
        blocks: how many ODEs follow one another, each with a network of its own and over [0, 1], trained together: the
            source's flow steps (5 on POWER, 2 on BSDS300).

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
    blocks: int = field(default=1, metadata=LATER)

    name: ClassVar[str] = "ffjord"
    algorithm_version: ClassVar[int] = 1  # raise it when the same settings would train another flow

    def __post_init__(self) -> None:
        super().__post_init__()
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
        if not isinstance(self.blocks, int) or self.blocks < 1:
            raise InputError(f"blocks is {self.blocks!r}, expected a number of ODEs, at least 1")

    def ode(self, dim: int) -> ODEBijection:
        """One ODE of the flow before training; the random weights come from torch's global stream."""
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

    def whole(self, x: Points) -> Whole:
        """All ODEs: those in training count what they evaluate, those of the flow share their velocities."""
        dim = x.shape[1]
        odes = [self.ode(dim) for _ in range(self.blocks)]
        inside = Chain(dim, [ODEBijection(ode.velocity, ode.solver, "trace", ode.divergence) for ode in odes])
        trained = Chain(dim, odes) if self.blocks > 1 else odes[0]  # alone, as states of one are stored
        return Whole(Counted(trained), inside, LikelihoodObjective(trained))
