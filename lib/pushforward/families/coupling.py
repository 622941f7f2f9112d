"""The baselines of zuko, neural spline flows and masked autoregressive flows, trained by likelihood."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from pushforward.datasets import Split
from pushforward.errors import InputError
from pushforward.families.end_to_end import Whole, end_to_end
from pushforward.families.stage import Stage, TrainingHistory
from pushforward.families.whitening import check_preconditioners, preconditioned
from pushforward.fit import FitConfig
from pushforward.flows import Flow, ZukoFlow
from pushforward.objectives import LikelihoodObjective


@dataclass(frozen=True)
class Zuko:
    """Settings of a flow of autoregressive or coupling transforms, see ``flows.ZukoFlow``.

    Args:
        kind: ``nsf`` (rational-quadratic splines) or ``maf`` (affine).
        transforms: how many.
        hidden: hidden widths of each transform's network.
        bins: of a spline.
        passes: 0: fully autoregressive; 2: coupling layers, whose inverse costs two passes.
        shuffled: random orders of the coordinates, where they would else turn round from transform to transform.
        precondition: exact bijections fitted first, of ``affine`` (whitening: splines act on [−5, 5]), ``radial`` and,
            for values in [0, 1], ``logit``.
        pool: training points: drawn from a law, or the first of a data set's.
        fit: the optimiser's settings.

    Raises:
        InputError: a setting out of its range, or an unknown name.
    """

    kind: str = "nsf"
    transforms: int = 5
    hidden: tuple[int, ...] = (64, 64)
    bins: int = 8
    passes: int = 0
    shuffled: bool = False
    precondition: tuple[str, ...] = ("affine",)
    pool: int = 300_000
    fit: FitConfig = field(default_factory=lambda: FitConfig(iterations=2000, batch=1000, lr=2e-3, clip=5.0))

    name: ClassVar[str] = "zuko"
    algorithm_version: ClassVar[int] = 1  # raise it when the same settings would train another flow

    def __post_init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            self.bijection(1)  # which says what is wrong with its own settings
        if self.pool < 1:
            raise InputError(f"pool is {self.pool}, expected at least 1 point")
        check_preconditioners(self.precondition)

    def bijection(self, dim: int) -> ZukoFlow:
        """The transforms before training; the random weights come from torch's global stream."""
        return ZukoFlow(dim, self.kind, self.transforms, self.hidden, self.bins, self.passes, self.shuffled)

    def build(self, split: Split) -> Flow:
        """The flow before training: the preconditioners, fitted on the training points."""
        return preconditioned(self.precondition, split.train)

    def stages(self, flow: Flow, split: Split, history: TrainingHistory, seed: int) -> Iterator[Stage]:
        """One stage: maximum likelihood."""
        return end_to_end(flow, split, history, seed, self._whole, self.fit, self.pool)

    def _whole(self, dim: int) -> Whole:
        bijection = self.bijection(dim)
        return Whole(bijection, bijection, LikelihoodObjective(bijection))
