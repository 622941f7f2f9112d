"""What a family hands to the trainer: one stage after the other, each a module, an objective and its points."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import nn

from pushforward.datasets import Split
from pushforward.fit import FitConfig, FitHistory
from pushforward.flows import Flow
from pushforward.objectives import Objective
from pushforward.shapes import Points

LATER = {"later": True}  # metadata of a setting that is younger than remembered flows: unused, it is not in their keys


@dataclass(frozen=True)
class Stage:
    """One thing to fit. ``module`` holds the parameters; ``points`` are in the space where the module begins."""

    name: str
    module: nn.Module
    objective: Objective
    points: Points
    config: FitConfig
    validate: Callable[[], float | None] | None = None
    after_step: Callable[[], None] | None = None  # whenever the parameters have changed


@dataclass
class TrainingHistory:
    """What training saw: a row a stage (``stages``), and the curve of each fit (``fits``, by stage name)."""

    stages: list[dict] = field(default_factory=list)
    fits: dict[str, FitHistory] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """CPU-seconds of training: preconditioners, optimiser steps, checking each block and pushing the points."""
        return sum(row["seconds"] for row in self.stages)

    @property
    def minibatches(self) -> int:
        """Optimiser steps of training, those of dropped blocks included."""
        return sum(fit.iterations for fit in self.fits.values())

    @property
    def evaluations(self) -> int:
        """Passes of one network over the points of one minibatch in the losses of training, dropped blocks included.

        A pass that carries the divergence or the Jacobian along is one; a finite difference is two. Each block of a
        stack counts for itself: a step of a solver's grid (rk4: four), a residual block of IGNN (two where a series
        estimates its log-determinant, whose products with the Jacobian are part of the second), a transform of zuko.
        An antithetic minibatch is two. Gradients do not count, but the solves of an adjoint do, and validation does
        not. ``Implicit`` counts minibatches: the steps of its root solvers are in the audit of its last row.
        """
        return sum(row.get("evaluations", 0) for row in self.stages)


@runtime_checkable
class Family(Protocol):
    """Settings of one method. ``stages`` is a generator: a stage is fitted before the next computes its points."""

    name: str
    algorithm_version: int

    def build(self, split: Split) -> Flow: ...

    def stages(self, flow: Flow, split: Split, history: TrainingHistory, seed: int) -> Iterator[Stage]: ...
