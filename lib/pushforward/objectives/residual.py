"""Maximum likelihood of a stack of residual blocks, with a price on what each of them moves."""

from dataclasses import dataclass

import torch

from pushforward.errors import InputError
from pushforward.flows import Chain, ResidualBlock
from pushforward.flows.flow import standard_normal_log_prob
from pushforward.objectives.loss import Loss
from pushforward.shapes import Points


@dataclass(frozen=True)
class ResidualObjective:
    """The mean of −log p(x), and γ Σ_b ½ E|g_b(x_b)|² over the residual blocks b, in nats.

    Source: IGNN (arXiv 2206.01163), the Wasserstein-2 regularisation.

    Raises:
        InputError: γ negative.
    """

    chain: Chain
    gamma: float

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise InputError(f"gamma is {self.gamma}, expected 0 or more")

    def __call__(self, x: Points, generator: torch.Generator) -> Loss:
        total, moved = x.new_zeros(len(x)), x.new_zeros(len(x))
        for block in self.chain.blocks:
            before = x
            if isinstance(block, ResidualBlock):
                block.generator = generator
            x, log_det = block.forward_and_log_det(before)
            total = total + log_det
            if isinstance(block, ResidualBlock):
                moved = moved + 0.5 * (x - before).square().sum(1)
        nll = -(standard_normal_log_prob(x) + total).mean()
        return Loss({"nll": nll, "movement": self.gamma * moved.mean()})
