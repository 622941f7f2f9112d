"""The exact affine bijection that gives the data mean zero and covariance one."""

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.flows.bijection import Bijection
from pushforward.shapes import PerPoint, Points, check_points


class Affine(Bijection):
    """z = W (x − m) with constants m [d] and W [d, d], not trained."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("matrix", torch.eye(dim))
        self.register_buffer("log_det", torch.zeros(()))

    @classmethod
    def from_moments(cls, mean: Tensor, covariance: Tensor) -> "Affine":
        """W = C^{-1/2}, the symmetric root: of all whitenings the nearest to the identity.

        It is also the optimal transport map between N(m, C) and N(0, I). The bijection has the dtype of ``mean``.

        Raises:
            InputError: the covariance is not positive definite.
        """
        values, vectors = torch.linalg.eigh(covariance.double())
        if not values[0] > 1e-12 * values[-1]:
            raise InputError(
                f"the covariance has eigenvalues from {values[0]:.3g} to {values[-1]:.3g}, expected a positive "
                "definite matrix: drop coordinates that are constant or combinations of others, or use more points"
            )
        affine = cls(len(mean)).to(mean.device, torch.float64)
        affine.mean = mean.double()
        affine.matrix = (vectors * values.rsqrt()) @ vectors.T
        affine.log_det = -0.5 * values.log().sum()
        return affine.to(mean.dtype)

    @classmethod
    def fit(cls, x: Points) -> "Affine":
        """Moments of the points x [n, d]; the flow with this bijection alone is the full-covariance Gaussian."""
        exact = check_points(x).double()
        covariance = torch.cov(exact.T, correction=0).reshape(x.shape[1], x.shape[1])
        return cls.from_moments(exact.mean(0), covariance).to(x.dtype)

    def settings(self) -> dict:
        """The arguments that rebuild this bijection."""
        return {"dim": self.dim}

    def forward(self, x: Points) -> Points:
        return (x - self.mean) @ self.matrix.T

    def inverse(self, z: Points) -> Points:
        return torch.linalg.solve(self.matrix, z.T).T + self.mean

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        return self(x), self.log_det.expand(len(x))
