"""Laws of the random length N of a series, and the second moment that each one gives to a roulette."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from pushforward.errors import InputError


@runtime_checkable
class Tail(Protocol):
    """A law on the integers: a draw, and P(N ≥ k)."""

    def draw(self, generator: torch.Generator | None = None) -> int: ...

    def at_least(self, k: int) -> float: ...


@dataclass(frozen=True)
class Geometric:
    """N ≥ 1 with P(N ≥ k) = (1 − p)^(k−1); mean 1/p. The papers' choice for tabular data, p = 0.5."""

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.p < 1:
            raise InputError(f"p is {self.p}, expected a number in (0, 1)")

    def draw(self, generator: torch.Generator | None = None) -> int:
        u = float(torch.rand((), generator=generator, dtype=torch.float64))
        return 1 + int(math.log1p(-u) / math.log1p(-self.p))

    def at_least(self, k: int) -> float:
        return (1 - self.p) ** max(k - 1, 0)


@dataclass(frozen=True)
class Poisson:
    """N ≥ 0 with P(N ≥ k) = 1 − e^−λ Σ_{i<k} λ^i/i!; mean λ. The papers' choice for images, λ = 2."""

    rate: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.rate < math.inf:
            raise InputError(f"rate is {self.rate}, expected a positive number")

    def draw(self, generator: torch.Generator | None = None) -> int:
        return int(torch.poisson(torch.tensor(self.rate, dtype=torch.float64), generator=generator))

    def at_least(self, k: int) -> float:
        # The regularised lower incomplete gamma function: the sum above would cancel for large k.
        rate = torch.tensor(self.rate, dtype=torch.float64)
        return 1.0 if k <= 0 else float(torch.special.gammainc(torch.tensor(float(k), dtype=torch.float64), rate))


def second_moment(tail: Tail, kappa: float, exact_terms: int = 2, terms: int = 100) -> Tensor:
    """Partial sums [terms] of E[S²], nats², for the roulette S of ln(1 − κ): the worst Jacobian, J = −κ in d = 1.

    With a_k = κ^k/k, tail sums R_k = Σ_{l>k} a_l and the weights 1/P_k of the terms, E[S²] = Σ_k a_k (a_k + 2 R_k)/P_k.
    For the geometric law the ratio of its terms tends to κ²/(1 − p): the sum, and with it the variance, is infinite
    where κ² ≥ 1 − p. For the Poisson law it is infinite whatever κ is. J = −κ I in R^d has d² times as much.
    Derived from the definition of the estimator.

    Raises:
        InputError: κ outside (0, 1).
    """
    if not 0 < kappa < 1:
        raise InputError(f"kappa is {kappa}, expected a number in (0, 1)")
    beyond = math.ceil(math.log(1e-17) / math.log(kappa))  # terms that a tail sum takes to be exact to rounding
    k = torch.arange(1, terms + beyond + 1, dtype=torch.float64)
    a = kappa**k / k
    from_k = a.flip(0).cumsum(0).flip(0)  # summed from the small end: as a difference, R_k would cancel to noise
    chance = torch.tensor([tail.at_least(i - exact_terms) for i in range(1, terms + 1)], dtype=torch.float64)
    return (a * (2 * from_k - a))[:terms].div(chance).cumsum(0)
