"""Grey values in [0, 1] to the whole line, and a flow's draws back into [0, 1]."""

import math

import torch
from torch.nn.functional import softplus

from pushforward.errors import InputError
from pushforward.flows.bijection import Bijection
from pushforward.shapes import PerPoint, Points, check_points


class Logit(Bijection):
    """z = ln(s/(1 − s)) with s = α + (1 − 2α) x, coordinate by coordinate; nothing is trained.

    α keeps the ends 0 and 1 away from infinity. Draws of the inverse may leave [0, 1] by at most α/(1 − 2α).
    Source: RealNVP (arXiv 1605.08803), section 4.1; implicit flows take α = 0.05 for CIFAR-10.

    Args:
        dim: dimension d of the points.
        alpha: α in (0, 1/2).

    Raises:
        InputError: α outside (0, 1/2); in use, points outside [0, 1] by α/(1 − 2α) or more.
    """

    def __init__(self, dim: int, alpha: float = 0.05) -> None:
        super().__init__()
        if not 0 < alpha < 0.5:
            raise InputError(f"alpha is {alpha}, expected a number in (0, 1/2) such as 0.05")
        self.dim, self.alpha = dim, alpha

    @classmethod
    def fit(cls, x: Points) -> "Logit":
        """The map for points x [n, d] in [0, 1], at the default α.

        Raises:
            InputError: points outside [0, 1].
        """
        low, high = float(check_points(x).min()), float(x.max())
        if low < 0 or high > 1:
            raise InputError(f"x lies in [{low:g}, {high:g}], expected [0, 1]: divide by the number of grey levels")
        return cls(x.shape[1])

    def settings(self) -> dict:
        """The arguments that rebuild this bijection."""
        return {"dim": self.dim, "alpha": self.alpha}

    def forward(self, x: Points) -> Points:
        return torch.logit(self._inner(x))

    def inverse(self, z: Points) -> Points:
        return (torch.sigmoid(z) - self.alpha) / (1 - 2 * self.alpha)

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        # ln dz/dx = ln(1 − 2α) − ln s − ln(1 − s), and −ln s − ln(1 − s) = softplus(−z) + softplus(z).
        z = self(x)
        return z, (math.log(1 - 2 * self.alpha) + softplus(z) + softplus(-z)).sum(1)

    def _inner(self, x: Points) -> Points:
        inner = self.alpha + (1 - 2 * self.alpha) * x
        if not (inner.min() > 0 and inner.max() < 1):  # NaN is neither
            raise InputError(
                f"x has values from {float(x.min()):g} to {float(x.max()):g}, expected [0, 1]: "
                "divide by the number of grey levels, or leave the logit out"
            )
        return inner
