"""The maps that the claims are shown on: random and linear networks, monotone maps, and blocks made to order."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pushforward.catalogue.implicit_theorems.parts import Sizes
from pushforward.flows import Chain, ImplicitBlock
from pushforward.implicit import LipschitzMLP, RootSolver
from pushforward.implicit.equation import forward_mode_jacobian
from pushforward.seeds import stream
from pushforward.shapes import Points

WIDTHS = (16, 16)
JITTER = 1e-3  # on orthogonal weights: a matrix has its one largest singular value


class Known(nn.Module):
    """A map of R^d whose Lipschitz constant is at most ``kappa``, as a network of a block."""

    def __init__(self, function: Callable[[Points], Points], dim: int, kappa: float) -> None:
        super().__init__()
        self.function, self.dim, self.kappa = function, dim, kappa

    def forward(self, x: Points) -> Points:
        return self.function(x)


class Linear(nn.Module):
    """x ↦ A x on rows, A [d, d]."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, x: Points) -> Points:
        return x @ self.matrix.T


class Ramp(nn.Module):
    """Slope ``low`` far on the left, ``high`` far on the right, C¹ between: the kink of the paper's figure 2, smoothed.

    f(x) = low x + (high − low) softplus(β x)/β.
    """

    def __init__(self, low: float = 0.1, high: float = 10.0, beta: float = 200.0) -> None:
        super().__init__()
        self.low, self.high, self.beta = low, high, beta

    def forward(self, x: Tensor) -> Tensor:
        return self.low * x + (self.high - self.low) * softplus(self.beta * x) / self.beta

    def slope(self, x: float) -> float:
        """f'(x), increasing in x."""
        return self.low + (self.high - self.low) / (1 + math.exp(-self.beta * x))


class Monotone(nn.Module):
    """f(x) = A x + Wᵀ σ(W x + b) with the logistic σ; A and W random, A not symmetric.

    J = A + Wᵀ diag(σ') W with 0 ≤ σ' ≤ 1/4, so vᵀJv ≥ m|v|² for m the least eigenvalue of A's symmetric part, and
    |J| ≤ M = |A| + |W|²/4 in the 2-norm.
    """

    def __init__(self, dim: int, seed: int) -> None:
        super().__init__()
        generator = stream(seed, f"implicit theorems: monotone map, d = {dim}")
        normal = torch.randn(3, dim, dim, generator=generator, dtype=torch.float64)
        self.register_buffer("matrix", torch.eye(dim, dtype=torch.float64) + (normal[0] - normal[0].T) / dim)
        self.register_buffer("weight", normal[1])
        self.register_buffer("bias", normal[2][0])
        self.dim = dim

    @property
    def monotonicity(self) -> float:
        """m."""
        return float(torch.linalg.eigvalsh((self.matrix + self.matrix.T) / 2).min())

    @property
    def stretch(self) -> float:
        """M."""
        norms = torch.linalg.matrix_norm(torch.stack([self.matrix, self.weight]), 2)
        return float(norms[0] + norms[1] ** 2 / 4)

    def forward(self, x: Points) -> Points:
        return x @ self.matrix.T + torch.sigmoid(x @ self.weight.T + self.bias) @ self.weight


def random_net(dim: int, coeff: float, seed: int, activation: str = "sin") -> LipschitzMLP:
    """A network of three layers, each nearly coeff times an orthogonal matrix, so that κ = coeff³."""
    net = _plain_net(dim, coeff, activation)
    generator = stream(seed, f"implicit theorems: net, d = {dim}")
    weights = [nn.init.orthogonal_(layer.weight.detach().clone(), generator=generator) for layer in net.layers]
    return _with_weights(net, weights, generator, bias=1.0)


def aligned_net(dim: int, coeff: float, seed: int, sign: int) -> LipschitzMLP:
    """Random layers that add up: the Jacobian at 0 is nearly ±coeff³ I, so that bounds by κ are all but attained."""
    net = _plain_net(dim, coeff, "sin")
    generator = stream(seed, f"implicit theorems: aligned net, d = {dim}")
    first, middle, _ = (layer.weight.detach().clone() for layer in net.layers)
    nn.init.orthogonal_(first, generator=generator)
    nn.init.orthogonal_(middle, generator=generator)
    return _with_weights(net, [first, middle, sign * (middle @ first).T], generator, bias=0.0)


def _plain_net(dim: int, coeff: float, activation: str) -> LipschitzMLP:
    with torch.random.fork_rng(devices=[]):  # its first weights are replaced
        return LipschitzMLP(dim, WIDTHS, activation, coeff).double()


@torch.no_grad()
def _with_weights(net: LipschitzMLP, weights: list[Tensor], generator: torch.Generator, bias: float) -> LipschitzMLP:
    for (layer, _), weight in zip(net.spectral, weights, strict=True):
        jitter = JITTER * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        layer.parametrizations.weight.original.copy_(2 * weight + jitter)
        layer.bias.copy_(bias * torch.randn(layer.bias.shape, generator=generator, dtype=weight.dtype))
    return net.eval()


def linear_net(matrix: Tensor) -> Known:
    """x ↦ A x with κ = |A|."""
    return Known(Linear(matrix), len(matrix), float(torch.linalg.matrix_norm(matrix, 2)))


def pairs(sizes: Sizes, coeff: float | None = None) -> Iterator[tuple[int, LipschitzMLP, LipschitzMLP, Points]]:
    """(d, g_x, g_z, points [n, d]) of every dimension and draw: aligned networks in turn with random LipSwish ones."""
    coeff = coeff or sizes.coeff
    for dim in sizes.dims:
        for k in range(sizes.nets):
            sign = 1 if k % 4 == 0 else -1
            if k % 2 == 0:
                nets = aligned_net(dim, coeff, 2 * k, sign), aligned_net(dim, coeff, 2 * k + 1, -sign)
            else:
                nets = tuple(random_net(dim, coeff, 2 * k + one, "lipswish") for one in (0, 1))
            yield dim, *nets, points(sizes.points, dim, k)


def residual_flows(sizes: Sizes, blocks: int, dims: tuple[int, ...]) -> Iterator[Chain]:
    """Random ResFlows of so many blocks."""
    for dim in dims:
        for k in range(sizes.nets):
            nets = [random_net(dim, sizes.coeff, 100 * k + block) for block in range(blocks)]
            yield Chain(dim, [ImplicitBlock(g_x=net) for net in nets]).eval()


def points(n: int, dim: int, seed: int = 0) -> Points:
    """The origin, then normal points with standard deviation 2 [n, d], float64."""
    x = 2 * torch.randn(n, dim, generator=stream(seed, "implicit theorems: points"), dtype=torch.float64)
    x[0] = 0
    return x


def jacobian(g: Callable[[Points], Points], x: Points) -> Tensor:
    """J[n, i, j] = ∂g_i/∂x_j, without a graph."""
    with torch.no_grad():
        return forward_mode_jacobian(g, x)


def identity(x: Points) -> Tensor:
    """I [d, d]."""
    return torch.eye(x.shape[1], dtype=x.dtype)


def block_jacobian(block: ImplicitBlock, x: Points) -> Tensor:
    """∂z/∂x [n, d, d] of a block, by the implicit function theorem."""
    with torch.no_grad():
        z = block(x)
    right = identity(x) + (0 if block.g_x is None else jacobian(block.g_x, x))
    left = identity(x) + (0 if block.g_z is None else jacobian(block.g_z, z))
    return torch.linalg.solve(left.expand(len(x), -1, -1), right.expand(len(x), -1, -1))


def chain_jacobian(chain: Chain, x: Points) -> Tensor:
    """∂z/∂x [n, d, d] of blocks one after the other."""
    total = identity(x).expand(len(x), -1, -1)
    for block in chain.blocks:
        total = block_jacobian(block, x) @ total
        with torch.no_grad():
            x = block(x)
    return total


def contraction(gamma: float, m: float, stretch: float) -> float:
    """κ of γ f − Id where vᵀJ_f v ≥ m|v|² and |J_f| ≤ M:  κ² = 1 − 2γm + γ²M², least at γ = m/M²."""
    return math.sqrt(1 - 2 * gamma * m + (gamma * stretch) ** 2)


def scaled(f: Callable[[Points], Points], gamma: float, dim: int, kappa: float) -> Known:
    """γ f − Id."""
    return Known(lambda x: gamma * f(x) - x, dim, kappa)


def block_of(
    f: Callable[[Points], Points], gamma: float, dim: int, kappa: float, solver: RootSolver | None = None
) -> ImplicitBlock:
    """The one implicit block that equals f: g_x = γ f − Id, which is κ-Lipschitz, and g_z = (γ − 1) Id."""
    g_z = linear_net((gamma - 1) * torch.eye(dim, dtype=torch.float64))
    return ImplicitBlock(scaled(f, gamma, dim, kappa), g_z, solver=solver).eval()
