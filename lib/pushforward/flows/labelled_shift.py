"""A Gaussian target at every node of a graph, whose mean depends on the node's label."""

import math

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.flows.bijection import Bijection
from pushforward.flows.flow import Flow, standard_normal_log_prob
from pushforward.shapes import PerPoint, Points


class LabelledShift(Bijection):
    """(x, Y) ↦ (((x_v − μ(Y_v))/σ)_v, Y): where it ends a flow, z = T(x) given the labels is N(μ(Y_v), σ²) at node v.

    Labels are further coordinates of a point, one a node behind all features, which no block moves: the trainer,
    storage and the inverse need no word of them. The mean is ±gap/2 in every feature for the labels 1 and 0. Where
    ``sigma`` is None, σ² is the distance of the two means over 8. Source: IGNN (arXiv 2206.01163) as its code begins,
    gap 4.65; that JKO-iFlow uses the same is not confirmed, and neither that the distance is the Euclidean one.

    Raises:
        InputError: no node, no feature, or a gap or a sigma that is not positive.
    """

    def __init__(self, nodes: int, features: int = 2, gap: float = 4.65, sigma: float | None = None) -> None:
        super().__init__()
        if nodes < 1 or features < 1 or not 0 < gap < math.inf:
            raise InputError(f"nodes={nodes}, features={features}, gap={gap}: expected 1 or more, a positive gap")
        if sigma is not None and not 0 < sigma < math.inf:
            raise InputError(f"sigma is {sigma}, expected a positive number, or None for the source's rule")
        self.nodes, self.features, self.gap = nodes, features, gap
        self.inside = nodes * features
        self.dim = self.inside + nodes
        self.sigma = math.sqrt(gap * math.sqrt(features) / 8) if sigma is None else sigma

    def settings(self) -> dict:
        """The arguments that rebuild this map."""
        return {"nodes": self.nodes, "features": self.features, "gap": self.gap, "sigma": self.sigma}

    def means(self, labels: Tensor) -> Points:
        """μ(Y) [n, nodes · features] of labels [n, nodes], linear between 0 and 1."""
        return (self.gap * (labels - 0.5)).repeat_interleave(self.features, 1)

    def forward(self, x: Points) -> Points:
        features, labels = self._parts(x)
        return torch.cat([(features - self.means(labels)) / self.sigma, labels], 1)

    def inverse(self, z: Points) -> Points:
        features, labels = self._parts(z)
        return torch.cat([self.sigma * features + self.means(labels), labels], 1)

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        return self(x), x.new_full((len(x),), -self.inside * math.log(self.sigma))

    def potential(self, y: Points) -> PerPoint:
        """V(y) = ½ Σ_v |y_v − μ(Y_v)|²/σ² [n] of points with their labels: a target for ``JKOObjective``."""
        features, labels = self._parts(y)
        return 0.5 * ((features - self.means(labels)) / self.sigma).square().sum(1)

    def _parts(self, x: Points) -> tuple[Points, Tensor]:
        return x[:, : self.inside], x[:, self.inside :]


def log_prob_given_labels(flow: Flow, points: Points, nodes: int) -> PerPoint:
    """log p(x | Y) in nats [n] of points with their labels behind them, for a flow that ends with a ``LabelledShift``.

    The flow takes the labels for N(0, 1) like every coordinate; that part is taken off again.

    Raises:
        InputError: the flow ends with none, or with one of another number of nodes.
    """
    _check_nodes(flow, nodes)
    return flow.log_prob(points) - standard_normal_log_prob(points[:, -nodes:])


def _check_nodes(flow: Flow, nodes: int) -> None:
    found = [part.nodes for part in flow.modules() if isinstance(part, LabelledShift)]
    if found != [nodes]:
        raise InputError(f"nodes is {nodes}, expected a flow with one LabelledShift, of as many: it has {found}")


@torch.no_grad()
def sample_given_labels(flow: Flow, labels: Tensor, generator: torch.Generator | None = None) -> Points:
    """A draw of x for every row of labels [n, nodes], with its labels behind it [n, d].

    Raises:
        InputError: labels that are no floating [n, nodes], nodes below the dimension of the flow.
    """
    if labels.ndim != 2 or not labels.is_floating_point() or not 0 < labels.shape[1] < flow.dim:
        raise InputError(
            f"labels have shape {tuple(labels.shape)} and dtype {labels.dtype}, expected a floating (n, nodes) with "
            f"fewer than {flow.dim} nodes"
        )
    noise = torch.randn(len(labels), flow.dim - labels.shape[1], generator=generator, dtype=labels.dtype)
    return flow.bijection.inverse(torch.cat([noise.to(labels), labels], 1))
