"""A generated series that ramps on a graph of ten sites, whose law given the labels is known exactly."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.distributions.base import Distribution, Entropy
from pushforward.errors import InputError
from pushforward.shapes import PerPoint, Points, check_points

NODES = 10
CHORDS = ((0, 5), (2, 7), (3, 6))  # beside the ring 0 – 1 – … – 9 – 0
CENTRE, UNIT = 1.0, 0.5  # x = (value − CENTRE)/UNIT, near what standardising would do
LOG_TWO_PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class RampingSeries:
    """Pairs (current, previous) of ten sites, their labels Y_v ∈ {0, 1} behind them: points [n, 30], node by node.

    Values are log-normal. The log of the previous ones is N(0, spread² R), R the correlations of the heat kernel
    exp(−L) on the graph; the current ones differ by a ratio whose log is N(D Y_v log ramp, noise²). D = ±1, a fair coin
    for the whole graph, says whether a front darkens or clears the sites that ramp. Every row is drawn anew.

    With u the logs, m(Y) the ramps and C the covariance of u:  p(x | Y) = ½ Σ_± N(u; ±m(Y), C) Π_i UNIT e^(−u_i).

    Labels: half of the rows have a front, in which a site ramps with probability 0.6; in the others it does with 0.05.
    It stands in for the solar series of JKO-iFlow (arXiv 2212.14424), section 9.4, which changes by more than +100 % or
    −50 % where it is labelled: hence the default ramp of 2.5.

    Raises:
        InputError: a ramp not above 1, a spread or noise that is not positive.
    """

    ramp: float = 2.5
    spread: float = 0.3
    noise: float = 0.25

    name: ClassVar[str] = "ramping-series"
    nodes: ClassVar[int] = NODES
    features: ClassVar[int] = 2
    front: ClassVar[tuple[float, float, float]] = (0.5, 0.6, 0.05)  # P(front), P(Y = 1) with it, and without

    def __post_init__(self) -> None:
        if not (1 < self.ramp < math.inf and 0 < self.spread < math.inf and 0 < self.noise < math.inf):
            raise InputError(
                f"ramp={self.ramp}, spread={self.spread}, noise={self.noise}: expected a ramp above 1, two positive"
            )

    @property
    def dim(self) -> int:
        """Features and labels together, 30."""
        return NODES * 3

    @property
    def adjacency(self) -> list[list[float]]:
        """The graph: a ring with three chords, weights 1."""
        a = torch.zeros(NODES, NODES)
        for u, v in [*((v, (v + 1) % NODES) for v in range(NODES)), *CHORDS]:
            a[u, v] = a[v, u] = 1.0
        return a.tolist()

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32) -> Points:
        """n draws of features and labels [n, 30] on the CPU.

        Raises:
            InputError: n is not a positive integer.
        """
        if not isinstance(n, int) or n < 1:
            raise InputError(f"n is {n!r}, expected a positive integer: the number of points to draw")
        chance, often, rarely = self.front
        front = torch.rand(n, 1, generator=generator, dtype=torch.float64) < chance
        level = torch.where(front, often, rarely)
        labels = (torch.rand(n, NODES, generator=generator, dtype=torch.float64) < level).double()
        return torch.cat([self.features_given(labels, generator), labels], 1).to(dtype)

    def features_given(self, labels: Tensor, generator: torch.Generator | None = None) -> Points:
        """A draw of x [n, 20], float64, for every row of labels [n, 10]."""
        sign = 2.0 * torch.randint(2, (len(labels), 1), generator=generator) - 1
        noise = torch.randn(len(labels), 2 * NODES, generator=generator, dtype=torch.float64)
        u = sign * self._ramps(labels) + noise @ self._root.T
        return (u.exp() - CENTRE) / UNIT

    def log_prob(self, points: Points) -> PerPoint:
        """log p(x | Y) in nats [n] of points with their labels [n, 30]; −inf where a value is not positive.

        Raises:
            InputError: not finite, not floating, of another shape, or labels that are not 0 or 1.
        """
        exact = check_points(points, self.dim).double()
        x, labels = exact[:, : 2 * NODES], exact[:, 2 * NODES :]
        if not ((labels == 0) | (labels == 1)).all():
            raise InputError("points have labels that are not 0 or 1 in their last ten columns: put the labels there")
        values = CENTRE + UNIT * x
        inside = (values > 0).all(1)
        u = torch.where(inside[:, None], values, 1.0).log()
        ramps = self._ramps(labels)
        both = torch.stack([self._normal(u - ramps), self._normal(u + ramps)])
        density = torch.logsumexp(both, 0) - math.log(2) - u.sum(1) + 2 * NODES * math.log(UNIT)
        return torch.where(inside, density, -math.inf).to(points.dtype)

    def given(self, labels: Tensor) -> "RampingGiven":
        """The law of x on R^20 for one row of labels [10]."""
        return RampingGiven(self, labels)

    def conditional_entropy(self, labels: Tensor) -> float:
        """−E log p(x | Y) in nats for one row of labels: that of a Gaussian, that of the coin as far as x tells it, and
        E Σ u_i − 20 log UNIT of the change of variables, where E Σ u_i = 0.
        """
        shift = torch.linalg.solve_triangular(self._root, self._ramps(labels[None].double()).T, upper=False)
        gaussian = NODES * (LOG_TWO_PI + 1) + float(self._root.diagonal().log().sum())
        return gaussian + two_sided_information(float(shift.norm())) - 2 * NODES * math.log(UNIT)

    def moments(self, labels: Tensor) -> tuple[Points, Tensor]:
        """Mean [n, 20] and covariance [n, 20, 20] of x given every row of labels [n, 10], float64.

        Of all Gaussians given Y the one with these moments is nearest to the law. With C the covariance of u,
        E e^u = ½ Σ_± e^(±m + diag C/2), and products of two such factors times e^(C_ij) are the second moments.
        """
        ramps, covariance = self._ramps(labels), self._root @ self._root.T
        signs = torch.stack([ramps, -ramps])
        each = (signs + covariance.diagonal() / 2).exp()  # [2, n, 20]
        second = torch.einsum("sni,snj->nij", each, each) / 2 * covariance.exp()
        mean = each.mean(0)
        return (mean - CENTRE) / UNIT, (second - mean[:, :, None] * mean[:, None]) / UNIT**2

    def _ramps(self, labels: Tensor) -> Points:
        """m(Y) [n, 20]: current values alone ramp."""
        up = math.log(self.ramp) * labels.double()
        return torch.stack([up, torch.zeros_like(up)], 2).flatten(1)

    def _normal(self, u: Points) -> PerPoint:
        root = self._root.to(u.device)
        white = torch.linalg.solve_triangular(root, u.T, upper=False)
        return -0.5 * white.square().sum(0) - root.diagonal().log().sum() - NODES * LOG_TWO_PI

    @cached_property
    def _root(self) -> Tensor:
        """The Cholesky factor of C [20, 20], float64."""
        a = torch.tensor(self.adjacency, dtype=torch.float64)
        heat = torch.linalg.matrix_exp(a - torch.diag(a.sum(1)))
        scale = heat.diagonal().rsqrt()
        previous = self.spread**2 * scale[:, None] * heat * scale
        covariance = previous.repeat_interleave(2, 0).repeat_interleave(2, 1)
        covariance.diagonal()[::2] += self.noise**2  # of the current values, which come first at every node
        return torch.linalg.cholesky(covariance)


class RampingGiven(Distribution):
    """The law of x for one row of labels.

    Raises:
        InputError: labels of another shape than (10,), or not 0 or 1.
    """

    dim = 2 * NODES

    def __init__(self, series: RampingSeries, labels: Tensor) -> None:
        labels = torch.as_tensor(labels).double()
        if labels.shape != (NODES,) or not ((labels == 0) | (labels == 1)).all():
            raise InputError(f"labels are {labels.tolist()}, expected ten numbers 0 or 1: one for every site")
        self.series, self.labels = series, labels
        self.name = "ramping-given-" + "".join(str(int(label)) for label in labels)

    def _draw(self, n: int, generator: torch.Generator | None) -> Points:
        return self.series.features_given(self.labels.expand(n, -1), generator)

    def _log_density(self, x: Points) -> PerPoint:
        return self.series.log_prob(torch.cat([x, self.labels.to(x).expand(len(x), -1)], 1))

    def _find_entropy(self) -> Entropy:
        return Entropy(self.series.conditional_entropy(self.labels), 0.0)


def two_sided_information(distance: float) -> float:
    """What N(s·distance, 1) tells of a fair coin s = ±1, in nats: 0 at 0, log 2 far away.

    log 2 − E log(1 + exp(−2 distance·(distance + Z))), by the trapezoid rule, which is exact to rounding here.
    """
    step = 1 / (16 * (1 + distance))
    z = torch.arange(-10, 10, step, dtype=torch.float64)
    weight = step * torch.exp(-0.5 * z.square() - 0.5 * LOG_TWO_PI)
    return math.log(2) - float((weight * torch.nn.functional.softplus(-2 * distance * (distance + z))).sum())
