"""The spectral norm of a layer's weight, and the parametrisation that keeps it at most c.

torch's own ``spectral_norm`` iterates in ``forward`` and scales small weights up; its parametrisation mechanism serves.
Source: residual flows (arXiv 1906.02735), implicit flows (arXiv 2103.09527).
"""

import math
from typing import Protocol

import torch
from scipy.linalg import eigh
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d
from torch.nn.utils import parametrize

MAX_ITERATIONS = 200  # of one tolerance-driven power iteration, the papers' cap
DENSE_WORK = 2**30  # short side² × long side of a convolution's matrix that is still decomposed, about a second


class Operator(Protocol):
    """What a weight stands for: a linear map, its adjoint, its leading singular vectors, and a bound on its norm."""

    def apply(self, weight: Tensor, v: Tensor) -> Tensor: ...

    def adjoint(self, weight: Tensor, u: Tensor) -> Tensor: ...

    def leading(self, weight: Tensor) -> tuple[Tensor, Tensor] | None:
        """u and v without iteration, or None where that is too dear."""

    def norm_bound(self, weight: Tensor) -> float:
        """The operator norm, or a number certainly not below it."""


class Matrix:
    """v ↦ W v."""

    def apply(self, weight: Tensor, v: Tensor) -> Tensor:
        return weight @ v

    def adjoint(self, weight: Tensor, u: Tensor) -> Tensor:
        return weight.T @ u

    def leading(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        exact = weight.double()
        if len(exact) > exact.shape[1]:
            v = _top(exact.T @ exact)
            return _unit(exact @ v, torch.ones_like(exact[:, 0])), v
        u = _top(exact @ exact.T)
        return u, _unit(exact.T @ u, torch.ones_like(exact[0]))

    def norm_bound(self, weight: Tensor) -> float:
        return float(torch.linalg.matrix_norm(weight.double(), 2))


MATRIX = Matrix()


def _top(gram: Tensor) -> Tensor:
    """The eigenvector of the largest eigenvalue. One vector costs a fifth of a singular value decomposition."""
    if len(gram) < 16 or gram.device.type != "cpu":
        return torch.linalg.eigh(gram)[1][:, -1]
    last = len(gram) - 1
    found = eigh(gram.numpy(), subset_by_index=[last, last])[1]
    if found.shape[1] == 0:  # LAPACK may find none where many eigenvalues are equal
        return torch.linalg.eigh(gram)[1][:, -1]
    return torch.from_numpy(found[:, 0])


class Convolution:
    """v ↦ W * v on images of one size, zero padded to keep it: the norm depends on that size."""

    def __init__(self, size: tuple[int, int], kernel: int) -> None:
        self.size, self.kernel, self.padding = size, kernel, kernel // 2

    def apply(self, weight: Tensor, v: Tensor) -> Tensor:
        return conv2d(v[None], weight, padding=self.padding)[0]

    def adjoint(self, weight: Tensor, u: Tensor) -> Tensor:
        return conv_transpose2d(u[None], weight, padding=self.padding)[0]

    def leading(self, weight: Tensor) -> tuple[Tensor, Tensor] | None:
        dense = self._dense(weight)
        if dense is None:
            return None
        u, v = MATRIX.leading(dense)
        return u.view(-1, *self.size), v.view(-1, *self.size)

    def norm_bound(self, weight: Tensor) -> float:
        """Exact where the dense matrix is small; else the norm of the circular convolution on the padded image, of
        which this operator is a compression: one small matrix a frequency.
        """
        dense = self._dense(weight)
        if dense is not None:
            return MATRIX.norm_bound(dense)
        torus = [side + self.kernel - 1 for side in self.size]
        symbols = torch.fft.fft2(weight.double(), s=torus).permute(2, 3, 0, 1)
        return float(torch.linalg.matrix_norm(symbols, 2).max())

    def _dense(self, weight: Tensor) -> Tensor | None:
        """The matrix [c_out h w, c_in h w], or None where decomposing it is too dear."""
        pixels = math.prod(self.size)
        short, long = sorted(channels * pixels for channels in weight.shape[:2])
        if short**2 * long > DENSE_WORK:
            return None
        basis = torch.eye(weight.shape[1] * pixels, dtype=weight.dtype, device=weight.device)
        return conv2d(basis.view(-1, weight.shape[1], *self.size), weight, padding=self.padding).flatten(1).T


class SoftSpectral(nn.Module):
    """The parametrisation W ↦ W / max(1, σ̂/c) with σ̂ = ⟨u, W v⟩ differentiable in W, u and v constant.

    It only shrinks. σ̂ never exceeds the true norm σ, so the result has norm at most c only once u and v have converged;
    ``norm_bound`` of the layer's weight says what holds.
    """

    def __init__(self, weight: Tensor, coeff: float, operator: Operator, v: Tensor) -> None:
        super().__init__()
        self.coeff, self.operator = coeff, operator
        self.register_buffer("v", v / v.norm())
        self.register_buffer("u", operator.apply(weight.detach(), self.v))
        self.update(weight)

    def sigma(self, weight: Tensor) -> Tensor:
        """σ̂, a scalar."""
        return (self.u * self.operator.apply(weight, self.v)).sum()

    def forward(self, weight: Tensor) -> Tensor:
        return weight / (self.sigma(weight) / self.coeff).clamp_min(1.0)

    @torch.no_grad()
    def update(self, weight: Tensor, iterations: int | None = None, tolerance: float | None = None) -> None:
        """Renew u and v; see ``update_norms``."""
        found = self.operator.leading(weight) if iterations is None and tolerance is None else None
        if found is not None:
            self.u.copy_(found[0])
            self.v.copy_(found[1])
            return
        if iterations is None and tolerance is None:
            iterations, tolerance = 5 * MAX_ITERATIONS, 1e-5
        for _ in range(iterations or MAX_ITERATIONS):
            before = self.v.clone()
            self.u.copy_(_unit(self.operator.apply(weight, self.v), self.u))
            self.v.copy_(_unit(self.operator.adjoint(weight, self.u), self.v))
            if tolerance is not None and (self.v - before).norm() <= tolerance:
                return


def _unit(vector: Tensor, fallback: Tensor) -> Tensor:
    """The vector at length 1; a zero weight sends everything to 0, there any direction does."""
    length = vector.norm()
    return torch.where(length > 0, vector / length, fallback)


def normalise(layer: nn.Module, coeff: float, operator: Operator, start: Tensor) -> None:
    """Give ``layer`` the weight W / max(1, σ̂/c); ``start`` is where the power iteration for v begins."""
    parametrize.register_parametrization(layer, "weight", SoftSpectral(layer.weight, coeff, operator, start))
