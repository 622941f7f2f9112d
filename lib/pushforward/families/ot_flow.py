"""OT-Flow: one continuous flow along a potential, end to end, with a price on its path (arXiv 2006.00104)."""

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.errors import InputError
from pushforward.families.counting import Counted
from pushforward.families.end_to_end import EndToEnd, Whole
from pushforward.fit import FitConfig
from pushforward.flows import ODEBijection
from pushforward.nets import Potential
from pushforward.nets.potential import check_sizes
from pushforward.numerics import FixedGrid
from pushforward.objectives import OTFlowObjective
from pushforward.objectives.ot_flow import check_weights
from pushforward.shapes import Points


@dataclass(frozen=True)
class OTFlow(EndToEnd):
    """Settings of OT-Flow. The defaults are those of the authors' code for laws in the plane, but for the optimiser's.

    Args:
        width, layers, rank: of the potential, see ``nets.Potential``.
        weights: α₁ of the transport, α₂ of the likelihood and α₃ of the Hamilton–Jacobi equation.
        steps: Runge–Kutta steps of training.
        test_steps: those of validation and of the flow: the density of a coarse grid is not that of its ODE, and
            training may exploit the difference.
        precondition: exact bijections fitted first, of ``affine`` (whitening), ``radial`` and, for values in [0, 1],
            ``logit``.
        pool: training points: drawn from a law, or the first of a data set's.
        fit: the optimiser's settings.

    Raises:
        InputError: a setting out of its range, or an unknown name.
    """

    width: int = 32
    layers: int = 2
    rank: int = 10
    weights: tuple[float, float, float] = (1.0, 15.0, 2.0)
    steps: int = 8
    test_steps: int = 16
    precondition: tuple[str, ...] = ("affine",)
    pool: int = 300_000
    fit: FitConfig = field(default_factory=lambda: FitConfig(iterations=2000, batch=2000, lr=0.02))

    name: ClassVar[str] = "ot-flow"
    algorithm_version: ClassVar[int] = 1  # raise it when the same settings would train another flow

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self.width, self.layers, self.rank)
        check_weights(self.weights)
        if self.steps < 1 or self.test_steps < self.steps:
            raise InputError(f"steps={self.steps}, test_steps={self.test_steps}: expected 1 <= steps <= test_steps")

    def ode(self, dim: int) -> ODEBijection:
        """The flow's ODE before training; the random weights come from torch's global stream."""
        return ODEBijection(Potential(dim, self.width, self.layers, self.rank), FixedGrid(self.test_steps), "trace")

    def whole(self, x: Points) -> Whole:
        """The ODE, on the coarse grid in training."""
        ode = self.ode(x.shape[1])
        trained = ODEBijection(ode.velocity, FixedGrid(self.steps), "trace")
        return Whole(Counted(trained), ode, OTFlowObjective(trained, self.weights))
