"""Estimators of ln det(I + J_g(x)) at every point, in nats, for a g of Lipschitz constant below 1.

The series is ln det(I + J) = Σ_{k≥1} (−1)^{k+1} tr(J^k)/k, each trace the mean of vᵀJ^k v over random signs v.
``g`` must act on each row alone. All randomness comes from one CPU generator; one length serves all rows of a call.

| estimator  | value                                   | gradient                  | memory             |
|------------|-----------------------------------------|---------------------------|--------------------|
| Exact      | exact                                   | exact                     | d tangents         |
| Truncated  | bias ≤ d κ^{n+1}/((n + 1)(1 − κ))       | of the value              | n products         |
| Roulette   | unbiased, variance: ``second_moment``   | of the value, unbiased    | N + m products     |
| Neumann    | the same value                          | another unbiased one      | one product        |
| Recomputed | that of the estimator inside            | that of the one inside    | none until backward|

Source: residual flows (arXiv 1906.02735); implicit flows (arXiv 2103.09527), eqs. 14 and 15.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pushforward.errors import InputError
from pushforward.implicit.equation import forward_mode_jacobian
from pushforward.implicit.tails import Geometric, Tail
from pushforward.shapes import PerPoint, Points

Map = Callable[[Points], Points]


@runtime_checkable
class LogDet(Protocol):
    """ln det(I + J_g(x)) [n] at the points x [n, d]; differentiable in x and in the parameters of g."""

    def __call__(self, g: Map, x: Points, generator: torch.Generator | None = None) -> PerPoint: ...


@dataclass(frozen=True)
class Exact:
    """The dense Jacobian and its determinant: the network's own ``value_and_jacobian(x)``, or forward mode."""

    def __call__(self, g: Map, x: Points, generator: torch.Generator | None = None) -> PerPoint:
        own = getattr(g, "value_and_jacobian", None)
        return _log_det(own(x)[1] if own is not None else forward_mode_jacobian(g, x))

    def with_value(self, g: Map, x: Points) -> tuple[Points, PerPoint]:
        """g(x) [n, d] beside it, which the network's own pass gives along with its Jacobian."""
        own = getattr(g, "value_and_jacobian", None)
        value, jacobian = own(x) if own is not None else (g(x), forward_mode_jacobian(g, x))
        return value, _log_det(jacobian)


@dataclass(frozen=True)
class Truncated:
    """The first ``terms`` terms of the series, traces by one probe a point: biased by what was cut."""

    terms: int = 10

    def __post_init__(self) -> None:
        if self.terms < 1:
            raise InputError(f"terms is {self.terms}, expected at least 1")

    def __call__(self, g: Map, x: Points, generator: torch.Generator | None = None) -> PerPoint:
        probe = _signs_like(x, generator)
        return _series(products(g, x, probe, self.terms), probe, [1.0] * self.terms)


@dataclass(frozen=True)
class Roulette:
    """K = N + m terms, those beyond the first m divided by P(N ≥ k − m), the chance that they are summed: unbiased.

    The variance is finite for the geometric law where κ² < 1 − p only, and for the Poisson law it need not be
    (``second_moment``): prefer ``Exact`` for small d, or more exact terms m.
    """

    tail: Tail = field(default_factory=Geometric)
    exact_terms: int = 2

    def __post_init__(self) -> None:
        _check_exact_terms(self.exact_terms)

    def __call__(self, g: Map, x: Points, generator: torch.Generator | None = None) -> PerPoint:
        probe, weights = _signs_like(x, generator), _weights(self.tail, self.exact_terms, generator)
        return _series(products(g, x, probe, len(weights)), probe, weights)


@dataclass(frozen=True)
class Neumann:
    """The value of ``Roulette`` with the gradient wᵀ ∂J v, w = Σ_{k≥0} (−1)^k c_k (J^k)ᵀ v, c_k the roulette's weights.

    ∂ ln det(I + J) = tr((I + J)⁻¹ ∂J) is the mean of that. All products but one are taken without a graph, and the
    value is still the log-likelihood's: what is logged can be read.
    """

    tail: Tail = field(default_factory=Geometric)
    exact_terms: int = 2

    def __post_init__(self) -> None:
        _check_exact_terms(self.exact_terms)

    def __call__(self, g: Map, x: Points, generator: torch.Generator | None = None) -> PerPoint:
        probe, weights = _signs_like(x, generator), _weights(self.tail, self.exact_terms, generator)
        with torch.no_grad():
            powers = products(g, x, probe, len(weights))
            value = _series(powers, probe, weights)
            left = probe + sum(
                (-1) ** k * c * power for k, (c, power) in enumerate(zip(weights, powers, strict=True), 1)
            )
        if not torch.is_grad_enabled():
            return value
        surrogate = (products(g, x, left, 1)[0] * probe).sum(1)
        return value + surrogate - surrogate.detach()


@dataclass(frozen=True)
class Recomputed:
    """Any estimator, with its graph dropped after the forward pass and built again, with the same draws, in backward.

    One block's graph is alive at a time, not those of all blocks, for one more evaluation. The gradient is that of the
    estimator for any upstream gradient: nothing is assumed of the loss.
    """

    estimator: LogDet

    def __call__(self, g: Map, x: Points, generator: torch.Generator | None = None) -> PerPoint:
        seed = int(torch.randint(2**62, (), generator=generator))

        def estimate(points: Points) -> PerPoint:
            return self.estimator(g, points, torch.Generator().manual_seed(seed))

        return checkpoint(estimate, x, use_reentrant=False, preserve_rng_state=False)


def products(g: Map, x: Points, v: Points, count: int) -> list[Points]:
    """vᵀJ, vᵀJ², …, vᵀJ^count, each [n, d], with a graph where gradients are on."""
    graph = torch.is_grad_enabled()
    found = []
    with torch.enable_grad():
        point = x if graph and x.requires_grad else x.detach().requires_grad_()
        y = g(point)
        for _ in range(count):
            (v,) = torch.autograd.grad(y, point, v, create_graph=graph, retain_graph=True, materialize_grads=True)
            found.append(v)
    return found


def _series(powers: Sequence[Points], probe: Points, weights: Sequence[float]) -> PerPoint:
    terms = enumerate(zip(powers, weights, strict=True), 1)
    return sum((-1) ** (k + 1) / k * weight * (power * probe).sum(1) for k, (power, weight) in terms)


def _weights(tail: Tail, exact_terms: int, generator: torch.Generator | None) -> list[float]:
    """c_1 … c_K with K = N + m and c_k = 1/P(N ≥ k − m), which is 1 for the first m: E[c_k 1(k ≤ K)] = 1."""
    length = tail.draw(generator) + exact_terms
    return [1.0 if k <= exact_terms else 1 / tail.at_least(k - exact_terms) for k in range(1, length + 1)]


def _log_det(jacobian: Tensor) -> PerPoint:
    """ln det(I + J) of J [n, d, d]; by its formula in the plane, where a factorisation would cost more than the net."""
    if jacobian.shape[-1] == 2:
        (a, b), (c, d) = jacobian.unbind(-2)[0].unbind(-1), jacobian.unbind(-2)[1].unbind(-1)
        return ((1 + a) * (1 + d) - b * c).log()
    eye = torch.eye(jacobian.shape[-1], dtype=jacobian.dtype, device=jacobian.device)
    return torch.linalg.slogdet(jacobian + eye)[1]


def _signs_like(x: Points, generator: torch.Generator | None) -> Tensor:
    return (torch.randint(2, x.shape, generator=generator) * 2 - 1).to(x)


def _check_exact_terms(exact_terms: int) -> None:
    if exact_terms < 0:
        raise InputError(f"exact_terms is {exact_terms}, expected 0 or more")
