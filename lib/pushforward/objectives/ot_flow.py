"""The loss of an OT-Flow: likelihood, length of the paths, and how far the potential is from optimal."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.flows import ODEBijection
from pushforward.flows.flow import standard_normal_log_prob
from pushforward.objectives.loss import Loss
from pushforward.shapes import Points, Time


@dataclass(frozen=True)
class OTFlowObjective:
    """α₁ E∫ ½|v|² dt + α₂ E[−log p(x)] + α₃ E∫ |∂_tΦ − ½|∇Φ|²| dt with v = −∇Φ, in nats where α₂ = 1.

    The three integrals travel with the point and the log-determinant, through the same steps of the block's solver:
    d + 3 numbers a sample. The last vanishes for the potential of the optimal map (its Hamilton–Jacobi equation), on
    whose paths |v| is constant. Source: OT-Flow (arXiv 2006.00104), equations 7 and 8.

    Args:
        block: an ODE bijection whose velocity answers ``gradient_and_laplacian``, as ``nets.Potential`` does.
        weights: α₁, α₂ and α₃.

    Raises:
        InputError: another velocity, a clock that does not run forward, or weights that are negative or without
            likelihood.
    """

    block: ODEBijection
    weights: tuple[float, float, float] = (1.0, 15.0, 2.0)

    def __post_init__(self) -> None:
        if not hasattr(self.block.velocity, "gradient_and_laplacian"):
            raise InputError(
                f"the velocity is a {type(self.block.velocity).__name__}, expected one with gradient_and_laplacian: "
                "use nets.Potential"
            )
        if not self.block.t_data < self.block.t_latent:
            raise InputError(
                f"the clock runs from {self.block.t_data} to {self.block.t_latent}, expected t_data < t_latent: the "
                "lengths would be negative"
            )
        check_weights(self.weights)

    def __call__(self, x: Points, generator: torch.Generator | None = None) -> Loss:
        start = torch.cat([x, x.new_zeros(len(x), 3)], 1)
        end = self.block.solver(self._field, start, self.block.t_data, self.block.t_latent)
        log_det, transport, violation = end[:, -3:].unbind(1)
        alpha1, alpha2, alpha3 = self.weights
        return Loss(
            {
                "transport": alpha1 * transport.mean(),
                "likelihood": -alpha2 * (standard_normal_log_prob(end[:, :-3]) + log_det).mean(),
                "hamilton-jacobi": alpha3 * violation.mean(),
            }
        )

    def _field(self, t: Time, state: Tensor) -> Tensor:
        """The speeds of the point, of log |det|, of the transport and of the violation [n, d + 3]."""
        gradient, laplacian = self.block.velocity.gradient_and_laplacian(t, state[:, :-3])
        kinetic = 0.5 * gradient[:, :-1].square().sum(1)
        violation = (gradient[:, -1] - kinetic).abs()
        return torch.cat([-gradient[:, :-1], torch.stack([-laplacian, kinetic, violation], 1)], 1)


def check_weights(weights: tuple[float, ...]) -> None:
    """Raise InputError where ``weights`` are not α₁ ≥ 0, α₂ > 0 and α₃ ≥ 0."""
    if len(weights) != 3 or min(weights) < 0 or not weights[1] > 0:
        raise InputError(
            f"weights is {weights}, expected three numbers of at least 0 for transport, likelihood and the "
            "Hamilton–Jacobi equation, the second above 0"
        )
