"""The loss of one JKO block."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pushforward.errors import InputError
from pushforward.flows import ODEBijection
from pushforward.objectives.loss import Loss
from pushforward.shapes import PerPoint, Points


@dataclass(frozen=True)
class JKOObjective:
    """L(v) = E[ V(y) − log |det ∂y/∂x| + |y − x|²/(2h) ] with y = T(x) and V(y) = |y|²/2, in nats.

    Unit-time convention: the block integrates s over [0, 1] and h enters as the weight of the movement only. At v = 0
    the loss is E|x|²/2, and a trained block is below it. Up to a constant, potential + volume is KL(T#p ‖ N(0, I)).
    h = ∞ leaves the movement out (the free block). ``potential`` is V of another target exp(−V), [n, d] -> [n], such as
    ``LabelledShift.potential`` for a target that depends on labels. Source: JKO-iFlow (arXiv 2212.14424), Prop. 3.1.

    Raises:
        InputError: h is not positive.
    """

    block: ODEBijection
    h: float
    potential: Callable[[Points], PerPoint] | None = None

    def __post_init__(self) -> None:
        if not self.h > 0:
            raise InputError(f"the step size h is {self.h}, expected a positive number (math.inf for a free block)")

    def __call__(self, x: Points, generator: torch.Generator | None = None) -> Loss:
        self.block.generator = generator
        y, log_det = self.block.forward_and_log_det(x)
        potential = 0.5 * y.square().sum(1) if self.potential is None else self.potential(y)
        terms = {"potential": potential.mean(), "volume": -log_det.mean()}
        if not math.isinf(self.h):
            terms["movement"] = (y - x).square().sum(1).mean() / (2 * self.h)
        return Loss(terms)
