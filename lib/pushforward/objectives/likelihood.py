"""Maximum likelihood, end to end."""

from dataclasses import dataclass

import torch

from pushforward.flows import Bijection
from pushforward.flows.flow import standard_normal_log_prob
from pushforward.flows.implicit import drawing_from
from pushforward.objectives.loss import Loss
from pushforward.shapes import Points


@dataclass(frozen=True)
class LikelihoodObjective:
    """The mean of −log p(x) = −log N(T(x); 0, I) − log |det dT/dx|, in nats; an estimate where the determinant is one.

    Source: implicit flows (arXiv 2103.09527), equation 13.
    """

    bijection: Bijection

    def __call__(self, x: Points, generator: torch.Generator) -> Loss:
        with drawing_from(self.bijection, generator):
            z, log_det = self.bijection.forward_and_log_det(x)
        return Loss({"nll": -(standard_normal_log_prob(z) + log_det).mean()})
