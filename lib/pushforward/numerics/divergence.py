"""Three ways to the divergence of a velocity: exact, Hutchinson, and finite-difference Hutchinson.

A ``Divergence`` is asked once per solve: it fixes its random probe and returns a function
``(t, x) -> (v [n, d], div v [n])``. One probe serves the whole solve, or the field that the solver sees would be
random and an adaptive solver could not converge.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.numerics.jacobian import Velocity, velocity_and_jacobian, velocity_and_tangent
from pushforward.shapes import PerPoint, Points, Time

VelocityAndDivergence = Callable[[Time, Points], tuple[Points, PerPoint]]


@runtime_checkable
class Divergence(Protocol):
    """Fixes its probe for the points ``x`` and returns ``(t, x) -> (v, div v)``."""

    def __call__(
        self, velocity: Velocity, x: Points, generator: torch.Generator | None = None
    ) -> VelocityAndDivergence: ...


@dataclass(frozen=True)
class Exact:
    """The trace of the Jacobian: the velocity's own closed form where it has one, d tangents elsewhere."""

    def __call__(
        self, velocity: Velocity, x: Points, generator: torch.Generator | None = None
    ) -> VelocityAndDivergence:
        own = getattr(velocity, "velocity_and_divergence", None)
        if own is not None:
            return own

        def trace(t: Time, y: Points) -> tuple[Points, PerPoint]:
            v, jacobian = velocity_and_jacobian(velocity, t, y)
            return v, jacobian.diagonal(dim1=1, dim2=2).sum(1)

        return trace


@dataclass(frozen=True)
class Hutchinson:
    """εᵀ J ε with one probe a point, an unbiased estimate of tr J.

    Its variance is 2‖sym J‖²_F for Gaussian probes, and that less 2 Σ J_ii² for Rademacher ones.
    """

    probe: Literal["gaussian", "rademacher"] = "rademacher"

    def __post_init__(self) -> None:
        if self.probe not in ("gaussian", "rademacher"):
            raise InputError(f"probe {self.probe!r} is unknown, expected 'gaussian' or 'rademacher'")

    def __call__(
        self, velocity: Velocity, x: Points, generator: torch.Generator | None = None
    ) -> VelocityAndDivergence:
        probe = _gaussian_like(x, generator)
        if self.probe == "rademacher":
            probe = probe.sign()

        def estimate(t: Time, y: Points) -> tuple[Points, PerPoint]:
            v, tangent = velocity_and_tangent(velocity, t, y, probe)
            return v, (probe * tangent).sum(1)

        return estimate


@dataclass(frozen=True)
class FiniteDifference:
    """ε·(v(x + σε) − v(x))/σ with ε ~ N(0, I) and σ = σ₀/√d: one extra plain evaluation, no Jacobian product.

    By Stein's identity it is unbiased for the divergence of v smoothed by N(0, σ²I), hence biased by
    σ²/2 Δ(div v) + O(σ⁴) for v itself. In float32 the subtraction loses about 1e-7 |v|/σ.
    Source: JKO-iFlow (arXiv 2212.14424), App. B.2.
    """

    sigma0: float = 0.02

    def __post_init__(self) -> None:
        if not self.sigma0 > 0:
            raise InputError(f"sigma0 is {self.sigma0}, expected a positive number")

    def __call__(
        self, velocity: Velocity, x: Points, generator: torch.Generator | None = None
    ) -> VelocityAndDivergence:
        probe = _gaussian_like(x, generator)
        sigma = self.sigma0 / math.sqrt(x.shape[1])

        def estimate(t: Time, y: Points) -> tuple[Points, PerPoint]:
            v = velocity(t, y)
            return v, (probe * (velocity(t, y + sigma * probe) - v)).sum(1) / sigma

        return estimate


def _gaussian_like(x: Points, generator: torch.Generator | None) -> Tensor:
    return torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
