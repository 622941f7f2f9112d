"""A velocity on the nodes of a graph: Chebyshev filters of its Laplacian, then layers at every node."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.errors import InputError
from pushforward.nets.mlp import ACTIVATIONS
from pushforward.shapes import PerPoint, Points, Time


class ChebyshevNet(nn.Module):
    """v_v = B_v σ(A_v σ(Σ_k Σ_u T_k(L̃)_vu W_kᵀ x_u + b) + c_v) + e_v for nodes v with ``features`` numbers x_v each.

    T_k are Chebyshev polynomials, T_0 = 1, T_1 = s, T_k = 2s T_{k−1} − T_{k−2}, of the Laplacian scaled into [−1, 1],
    L̃ = −D^(−1/2) A D^(−1/2): with K = 3 a node sees two steps far. The filter is one for all nodes; the two layers
    behind it are each node's own, or one for all with ``shared`` (the source leaves both readings of "per node").
    B and e start at zero, so that a new block is the identity.

    A point is [n, d], node after node; with ``labels`` another column a node follows, which the velocity neither reads
    nor moves: see ``flows.LabelledShift``. Source: IGNN (arXiv 2206.01163), JKO-iFlow (arXiv 2212.14424), section 9.4.

    Args:
        dim: nodes · features, and nodes more with ``labels``.
        adjacency: weights A [nodes, nodes], symmetric, not negative; the diagonal is left out.
        features: numbers a node.
        order: K, the number of polynomials.
        widths: of the filter's output and of the hidden layer at a node.
        activation: ``softplus``, ``silu`` or ``tanh``.

    Raises:
        InputError: an adjacency of another form, a dim that does not fit it, or an unknown activation.
    """

    def __init__(
        self,
        dim: int,
        adjacency: Sequence[Sequence[float]],
        features: int = 2,
        order: int = 3,
        widths: Sequence[int] = (64, 64),
        activation: str = "silu",
        labels: bool = False,
        shared: bool = False,
    ) -> None:
        super().__init__()
        weights = _checked(adjacency)
        nodes = len(weights)
        if features < 1 or order < 1 or len(widths) != 2 or min(widths) < 1:
            raise InputError(
                f"features={features}, order={order}, widths={tuple(widths)}: expected 1 or more, two widths"
            )
        if dim != nodes * (features + labels):
            raise InputError(
                f"dim is {dim}, expected {nodes * (features + labels)}: {nodes} nodes of {features} features"
                f"{' and a label' if labels else ''}"
            )
        if activation not in ACTIVATIONS:
            raise InputError(f"activation {activation!r} is unknown, expected one of {sorted(ACTIVATIONS)}")
        self.dim, self.nodes, self.features, self.order = dim, nodes, features, order
        self.adjacency, self.widths, self.activation = weights.tolist(), tuple(widths), activation
        self.labels, self.shared = labels, shared
        first, second = widths
        own = 1 if shared else nodes
        self.register_buffer("polynomials", chebyshev(weights, order), persistent=False)  # float64 until moved
        self.filters = nn.Parameter(torch.randn(order, features, first) / math.sqrt(order * features))  # W
        self.offset = nn.Parameter(torch.zeros(first))  # b
        self.inner = nn.Parameter(torch.randn(own, first, second) / math.sqrt(first))  # A
        self.inner_bias = nn.Parameter(torch.zeros(own, second))  # c
        self.outer = nn.Parameter(torch.zeros(own, second, features))  # B
        self.outer_bias = nn.Parameter(torch.zeros(own, features))  # e

    def settings(self) -> dict:
        """The arguments that rebuild this network."""
        return {
            "dim": self.dim,
            "adjacency": self.adjacency,
            "features": self.features,
            "order": self.order,
            "widths": list(self.widths),
            "activation": self.activation,
            "labels": self.labels,
            "shared": self.shared,
        }

    def forward(self, t: Time, x: Points) -> Points:
        """v(x) [n, d]; the field is autonomous, t is not used."""
        return self._flat(self._layers(x)[0])

    def velocity_and_divergence(self, t: Time, x: Points) -> tuple[Points, PerPoint]:
        """v [n, d] and its exact divergence [n]: only the way from a node to itself counts, as in a plain MLP."""
        v, slope, slope2 = self._layers(x)
        here = torch.einsum("kvv,kfi->vfi", self._operators(), self.filters)  # x_v to the filter's output at v
        coupling = self._each(self.inner) * torch.einsum("vjf,vfi->vij", self._each(self.outer), here)
        return self._flat(v), torch.einsum("nvi,vij,nvj->n", slope, coupling, slope2)

    def velocity_and_jacobian(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        """v [n, d] and its Jacobian [n, d, d], all tangents in one pass."""
        v, slope, slope2 = self._layers(x)
        paths = torch.einsum("kvu,kfi->vufi", self._operators(), self.filters)
        tangents = torch.einsum("vufi,nvi,vij->nvufj", paths, slope, self._each(self.inner))
        jacobian = torch.einsum("nvufj,nvj,vjg->nvguf", tangents, slope2, self._each(self.outer))
        inside = self.nodes * self.features
        full = jacobian.reshape(len(x), inside, inside)
        return self._flat(v), nn.functional.pad(full, (0, self.dim - inside, 0, self.dim - inside))

    def _layers(self, x: Points) -> tuple[Tensor, Tensor, Tensor]:
        """Velocities [n, nodes, features] and the slopes of both activations [n, nodes, width]."""
        act = ACTIVATIONS[self.activation]
        values = x[:, : self.nodes * self.features].unflatten(1, (self.nodes, self.features))
        seen = torch.einsum("kvu,nuf,kfi->nvi", self._operators(), values, self.filters)
        a, slope = act(seen + self.offset)
        a, slope2 = act(torch.einsum("nvi,vij->nvj", a, self._each(self.inner)) + self.inner_bias)
        return torch.einsum("nvj,vjf->nvf", a, self._each(self.outer)) + self.outer_bias, slope, slope2

    def _operators(self) -> Tensor:
        """T_k(L̃) [order, nodes, nodes] in the dtype of the weights."""
        return self.polynomials.to(self.filters)

    def _each(self, weight: Tensor) -> Tensor:
        """A layer's weights, one set a node."""
        return weight.expand(self.nodes, -1, -1)

    def _flat(self, v: Tensor) -> Points:
        return nn.functional.pad(v.flatten(1), (0, self.dim - self.nodes * self.features))


def chebyshev(adjacency: Tensor, order: int) -> Tensor:
    """T_0 … T_{order−1} of L̃ = −D^(−1/2) A D^(−1/2) [order, nodes, nodes]; a lone node has a row of zeros."""
    a = adjacency - torch.diag(adjacency.diagonal())
    degree = a.sum(1)
    root = torch.where(degree > 0, degree, 1).rsqrt()
    scaled = -root[:, None] * a * root
    found = [torch.eye(len(a), dtype=a.dtype), scaled]
    while len(found) < order:
        found.append(2 * scaled @ found[-1] - found[-2])
    return torch.stack(found[:order])


def _checked(adjacency: Sequence[Sequence[float]]) -> Tensor:
    try:
        weights = torch.as_tensor(adjacency, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"adjacency is no matrix ({error}), expected weights [nodes, nodes]") from error
    if weights.ndim != 2 or len(weights) == 0 or weights.shape[0] != weights.shape[1]:
        raise InputError(f"adjacency has shape {tuple(weights.shape)}, expected (nodes, nodes)")
    if not (weights.isfinite().all() and (weights >= 0).all() and torch.equal(weights, weights.T)):
        raise InputError("adjacency is not symmetric, finite and at least 0: take the larger of A and its transpose")
    return weights
