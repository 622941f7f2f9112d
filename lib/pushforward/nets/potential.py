"""The velocity of optimal transport, minus the gradient of a potential, with its Hessian in closed form."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pushforward.errors import InputError
from pushforward.shapes import PerPoint, Points, Time

SMALL = 0.1  # size of the first quadratic form: at zero it would have no gradient and never leave zero


def _log_cosh(a: Tensor) -> Tensor:
    """|a| + log(1 + e^{−2|a|}), the antiderivative of tanh."""
    return softplus(2 * a, threshold=40) - a


class Potential(nn.Module):
    """v(t, x) = −∇_x Φ(x, t) with Φ = wᵀN(s) + ½ |As|² + bᵀs at s = [x, t].

    N(s) opens with u = σ(K_0 s + k_0), σ' = tanh, and goes on with ``layers`` − 1 residual layers
    u ← u + h σ(Ku + k), h = 1/(layers − 1). The gradient is a recursion backwards through them, and the Hessian the
    sum over layers of Jᵀ diag(h σ''·z) J, J being the Jacobian of what enters σ and z the gradient in what leaves the
    layer: exact, O(width² d) a point. w and b start at zero and A small, so a new block is nearly the identity.
    A constant would change neither v nor ∂_tΦ: Φ has none. Source: OT-Flow (arXiv 2006.00104), section 3.

    Args:
        dim: dimension d of the points.
        width: numbers of u.
        layers: the opening one and those after it, at least 2.
        rank: rows of A, no more than d + 1 are made.

    Raises:
        InputError: no width, no rank, or less than 2 layers.
    """

    def __init__(self, dim: int, width: int = 32, layers: int = 2, rank: int = 10) -> None:
        super().__init__()
        check_sizes(width, layers, rank)
        self.dim, self.width, self.rank = dim, width, rank
        self.opening = nn.Linear(dim + 1, width)
        self.residual = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))
        self.weight = nn.Parameter(torch.zeros(width))  # w [m]
        rows = min(rank, dim + 1)
        self.quadratic = nn.Parameter(SMALL * torch.randn(rows, dim + 1) / math.sqrt(rows))  # A [r, d + 1]
        self.linear = nn.Parameter(torch.zeros(dim + 1))  # b [d + 1]

    def settings(self) -> dict:
        """The arguments that rebuild this network."""
        return {"dim": self.dim, "width": self.width, "layers": len(self.residual) + 1, "rank": self.rank}

    @property
    def step(self) -> float:
        """h, the size of a residual layer."""
        return 1 / len(self.residual)

    def potential(self, t: Time, x: Points) -> PerPoint:
        """Φ(x, t) [n], t a scalar or one time a point [n]."""
        s = _with_time(t, x)
        u = _log_cosh(self.opening(s))
        for layer in self.residual:
            u = u + self.step * _log_cosh(layer(u))
        return u @ self.weight + 0.5 * (s @ self.quadratic.T).square().sum(1) + s @ self.linear

    def forward(self, t: Time, x: Points) -> Points:
        """v(t, x) = −∇_x Φ [n, d]."""
        return -self._gradient(t, x)[0][:, :-1]

    def gradient_and_laplacian(self, t: Time, x: Points) -> tuple[Tensor, PerPoint]:
        """∇Φ [n, d + 1], the derivative in t last, and the trace of the Hessian in x [n]."""
        gradient, slopes, curvatures = self._gradient(t, x)
        first = self.opening.weight[:, :-1].square().sum(1)
        laplacian = curvatures[0] @ first + self.quadratic[:, :-1].square().sum()
        for tangents, curvature in zip(self._tangents(slopes), curvatures[1:], strict=True):
            laplacian = laplacian + (tangents.square().sum(0) * curvature).sum(1)
        return gradient, laplacian

    def velocity_and_divergence(self, t: Time, x: Points) -> tuple[Points, PerPoint]:
        """v [n, d] and its exact divergence −ΔΦ [n]."""
        gradient, laplacian = self.gradient_and_laplacian(t, x)
        return -gradient[:, :-1], -laplacian

    def velocity_and_jacobian(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        """v [n, d] and its Jacobian in x, minus the Hessian [n, d, d]: symmetric."""
        gradient, slopes, curvatures = self._gradient(t, x)
        first, quadratic = self.opening.weight[:, :-1], self.quadratic[:, :-1]
        hessian = first.T @ (curvatures[0][:, :, None] * first) + quadratic.T @ quadratic
        for tangents, curvature in zip(self._tangents(slopes), curvatures[1:], strict=True):
            hessian = hessian + torch.einsum("inm,nm,jnm->nij", tangents, curvature, tangents)
        return -gradient[:, :-1], -hessian

    def _gradient(self, t: Time, x: Points) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """∇Φ [n, d + 1]; of each layer the slopes σ' [n, m], and h σ''·z [n, m], first layer first."""
        s = _with_time(t, x)
        inner = self.opening(s)
        u, slopes = _log_cosh(inner), [torch.tanh(inner)]
        for layer in self.residual:
            inner = layer(u)
            u = u + self.step * _log_cosh(inner)
            slopes.append(torch.tanh(inner))
        z, curvatures = self.weight.expand_as(u), []
        for layer, slope in zip(reversed(self.residual), reversed(slopes[1:]), strict=True):
            curvatures.append(self.step * (1 - slope.square()) * z)
            z = z + self.step * (slope * z) @ layer.weight
        curvatures.append((1 - slopes[0].square()) * z)
        own = (s @ self.quadratic.T) @ self.quadratic + self.linear
        return (slopes[0] * z) @ self.opening.weight + own, slopes, curvatures[::-1]

    def _tangents(self, slopes: list[Tensor]) -> list[Tensor]:
        """The Jacobian in x of what enters σ in each residual layer [d, n, m]."""
        moved = self.opening.weight[:, :-1].T[:, None] * slopes[0]
        entering = []
        for layer, slope in zip(self.residual, slopes[1:], strict=True):
            entering.append(moved @ layer.weight.T)
            moved = moved + self.step * slope * entering[-1]
        return entering


def check_sizes(width: int, layers: int, rank: int) -> None:
    """Raise InputError where there is no width, no rank, or less than two layers."""
    if width < 1 or rank < 1:
        raise InputError(f"width={width}, rank={rank}: expected both to be at least 1")
    if layers < 2:
        raise InputError(f"layers is {layers}, expected at least 2: an opening layer and a residual one")


def _with_time(t: Time, x: Points) -> Tensor:
    return torch.cat([x, torch.as_tensor(t, dtype=x.dtype, device=x.device).reshape(-1, 1).expand(len(x), 1)], 1)
