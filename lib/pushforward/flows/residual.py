"""The residual block of IGNN: nothing bounds its network, so invertibility is watched instead of guaranteed."""

import torch
from torch import Tensor, nn

from pushforward.errors import InputError, NonFinite, NotConverged, NotInvertible
from pushforward.flows.bijection import Bijection
from pushforward.flows.determinant import determinant, log_with_barrier
from pushforward.flows.inversion import invert
from pushforward.implicit.log_det import Truncated
from pushforward.numerics import velocity_and_jacobian
from pushforward.shapes import PerPoint, Points


class ResidualBlock(Bijection):
    """x ↦ x + g(x) with any velocity network g of ``pushforward.nets``, called at time 0.

    Where the determinant of I + J_g is not positive the block folds. Evaluation refuses that; in training the log goes
    on below 0.05 as a straight line, a barrier that pushes folds back. ``terms`` > 0 trains by so many terms of the
    power series of ln det(I + J_g) instead, which cost no Jacobian and converge only where J_g is a contraction.
    Evaluation is exact. Source: IGNN (arXiv 2206.01163).

    Raises:
        InputError: terms below 0; NotInvertible or NonFinite, in evaluation: a point where the block folds, or a NaN.
    """

    def __init__(self, net: nn.Module, terms: int = 0) -> None:
        super().__init__()
        if terms < 0:
            raise InputError(f"terms is {terms}, expected 0 (exact) or the length of the series")
        self.net, self.dim, self.terms = net, net.dim, terms
        self.generator: torch.Generator | None = None  # of the series' probes; None is torch's global one

    def forward(self, x: Points) -> Points:
        return x + self.net(0.0, x)

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        if self.training and self.terms:
            series = Truncated(self.terms)
            return self(x), series(lambda y: self.net(0.0, y), x, self.generator)
        z, jacobian = self._with_jacobian(x)
        if self.training:
            return z, log_with_barrier(determinant(jacobian))
        sign, log_det = torch.linalg.slogdet(jacobian)
        if not log_det.isfinite().all() and jacobian.isnan().any():
            raise NonFinite("the residual network gives NaN: train it again with a smaller learning rate")
        if (sign <= 0).any():
            raise NotInvertible(
                f"{int((sign <= 0).sum())} of {len(x)} points meet a determinant that is not positive: the residual "
                "block folds, for nothing bounds its network; raise gamma, or lower the learning rate"
            )
        return z, log_det

    def inverse(self, z: Points) -> Points:
        """Fixed-point steps x ← z − g(x), then damped Newton steps, until x + g(x) returns z to rounding.

        Raises:
            NotConverged: some points have no such x, or none is found.
        """
        try:
            return invert(self.forward, lambda y: y, self._with_jacobian, z)
        except NotConverged as error:
            raise NotConverged(
                f"a residual block whose network nothing bounds cannot be inverted ({error}): train with a larger gamma"
            ) from error

    def _with_jacobian(self, x: Points) -> tuple[Points, Tensor]:
        value, jacobian = velocity_and_jacobian(self.net, 0.0, x)
        return x + value, jacobian + torch.eye(self.dim, dtype=x.dtype, device=x.device)
