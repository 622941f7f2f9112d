"""A recipe is one way to train a block; the baseline and every idea are recipes, run by the library's own ``fit``."""

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import NamedTuple

from torch import nn

from benchmarks.curve import Curve, Enough
from benchmarks.paper_faithful import AdjointGrid, PlainMLP
from benchmarks.problem import Problem, paper_network
from pushforward.fit import FitConfig, fit
from pushforward.flows import ODEBijection
from pushforward.flows.ode import LogDet
from pushforward.nets import Lattice
from pushforward.numerics import Divergence, Exact, FiniteDifference, FixedGrid, Solver
from pushforward.objectives import JKOObjective


class Timed(NamedTuple):
    """CPU-seconds of training, and whether they reached what they were to reach."""

    seconds: float
    reached: bool


@dataclass(frozen=True)
class Recipe:
    """Network, solver, log-determinant and optimiser of one block."""

    fit: FitConfig
    network: Callable[[int], nn.Module] = paper_network  # seed -> velocity
    solver: Solver = FixedGrid(1)
    log_det: LogDet = "discrete"
    divergence: Divergence = Exact()

    def but(self, **changes: object) -> "Recipe":
        """This recipe with other settings; those of ``FitConfig`` are found there."""
        of_fit = {f.name for f in fields(FitConfig)}
        inner = {key: value for key, value in changes.items() if key in of_fit}
        outer = {key: value for key, value in changes.items() if key not in of_fit}
        return replace(self, fit=replace(self.fit, **inner), **outer)

    def settings(self) -> dict:
        """All of it as plain values, for the provenance."""
        return {
            "network": self.network.__name__,
            "solver": repr(self.solver),
            "log_det": self.log_det,
            "divergence": repr(self.divergence),
            "fit": asdict(self.fit),
        }

    def train(self, problem: Problem, seed: int, target: float = -math.inf, budget: float = math.inf) -> Curve:
        """Train a new block until the target NLL, the budget in CPU-seconds, or the end of its schedule."""
        velocity = self.network(seed)
        block = ODEBijection(velocity, self.solver, self.log_det, self.divergence)
        curve = Curve(lambda: problem.nll(velocity), target, budget)
        with contextlib.suppress(Enough):
            fit(velocity, JKOObjective(block, problem.h), problem.x, self.fit, seed, validate=curve.look)
        return curve

    def time_to(self, problem: Problem, seed: int, target: float, limit: float) -> Timed:
        """CPU-seconds to the target NLL. A schedule that ends above it counts and is retried at twice its length."""
        spent, recipe = 0.0, self
        while spent < limit:
            curve = recipe.train(problem, seed, target, limit - spent)
            spent += curve.seconds[-1]
            if curve.nll[-1] <= target:
                return Timed(spent, True)
            recipe = recipe.but(iterations=2 * recipe.fit.iterations)
        return Timed(spent, False)

    def step_seconds(self, problem: Problem, seed: int, steps: int) -> float:
        """CPU-seconds of one optimiser step, the mean over ``steps``."""
        velocity = self.network(seed)
        block = ODEBijection(velocity, self.solver, self.log_det, self.divergence)
        config = replace(self.fit, iterations=steps, validate_every=0)
        return fit(velocity, JKOObjective(block, problem.h), problem.x, config, seed).seconds / steps


def warm_up(problem: Problem, recipes: Iterable[Recipe]) -> None:
    """One step of each recipe, so that no lazy import is timed."""
    for recipe in recipes:
        recipe.step_seconds(problem, seed=0, steps=1)


def plain_paper_network(seed: int) -> PlainMLP:
    """The paper's network with the same weights, for recipes that ask for no Jacobian."""
    return PlainMLP(paper_network(seed))


def lattice(seed: int) -> Lattice:
    """The library's velocity in the plane; its control points start at zero whatever the seed."""
    return Lattice(2)


# The trainer of the released code: 3 sub-intervals, adjoint rk4, finite-difference Hutchinson, Adam at 1e-4, clip 1.
PAPER = Recipe(
    FitConfig(
        iterations=1_000_000,  # a budget in seconds ends it
        batch=2000,
        lr=1e-4,
        schedule="constant",
        warmup=0,
        betas=(0.9, 0.999),
        clip=1.0,
        validate_every=15,
    ),
    network=plain_paper_network,
    solver=AdjointGrid(3),
    log_det="trace",
    divergence=FiniteDifference(0.02),
)
OURS = Recipe(FitConfig(iterations=240, batch=500, lr=4e-3, betas=(0.9, 0.98), validate_every=5))
LATTICE = Recipe(
    FitConfig(iterations=60, batch=1000, lr=0.06, betas=(0.9, 0.98), validate_every=2),
    network=lattice,
    solver=FixedGrid(2),
)
