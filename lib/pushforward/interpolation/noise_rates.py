"""Variance preserving schedules by the rate β of their noise: the forward diffusion of ScoreSDE.

dy = −½ β(τ) y dτ + √β(τ) dB runs from data (τ = 0) to noise (τ = 1), and t = 1 − τ is the time of this library. With
B(τ) = ∫₀^τ β the interpolation is b = exp(−B/2), a² = 1 − b². ``linear`` and ``quadratic`` rise
to their maximum from β(0) = 0.1, ``constant`` is at it throughout.

Source: JKO-iFlow (arXiv 2212.14424), Tables A.3 and A.4, vary three rates and five maxima; of these a quadratic rate
with maximum 5 is confirmed. Not confirmed, hence this library's choice: the form of ``quadratic`` (another one in use
is the square of a linear function), that the third rate is ``constant``, the 0.1, and the other maxima.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.interpolation.schedules import CUT, VARIANTS, Schedule, register

LEAST = 0.1  # β(0) of the rates that rise
MAXIMA = (1.0, 5.0, 10.0, 15.0, 20.0)

Curve = Callable[[Tensor, float], Tensor]  # (τ, maximum) -> β or B


def _power(exponent: int) -> tuple[Curve, Curve]:
    """β = LEAST + (maximum − LEAST) τ^exponent, and its integral."""

    def rate(tau: Tensor, maximum: float) -> Tensor:
        return LEAST + (maximum - LEAST) * tau**exponent

    def total(tau: Tensor, maximum: float) -> Tensor:
        return LEAST * tau + (maximum - LEAST) / (exponent + 1) * tau ** (exponent + 1)

    return rate, total


def _constant() -> tuple[Curve, Curve]:
    return lambda tau, maximum: torch.full_like(tau, maximum), lambda tau, maximum: maximum * tau


RATES: dict[str, tuple[Curve, Curve]] = {"linear": _power(1), "quadratic": _power(2), "constant": _constant()}


def noise_rate(rate: str, maximum: float) -> Schedule:
    """The schedule of a rate: ``linear``, ``quadratic`` or ``constant``, with its maximum at the noise.

    ``vp-<rate>-<maximum>`` is its name, under which ``by_name`` knows those of ``MAXIMA``; register others.

    Raises:
        InputError: an unknown rate, or a maximum that is not above β(0) = 0.1.
    """
    if rate not in RATES:
        raise InputError(f"noise rate {rate!r} is unknown, expected one of {sorted(RATES)}")
    if not LEAST < maximum < math.inf:
        raise InputError(f"the maximal noise rate is {maximum}, expected a number above {LEAST}, such as 5")
    beta, total = RATES[rate]

    def b(t: Tensor) -> Tensor:
        return torch.exp(-0.5 * total(1 - t, maximum))

    return Schedule(
        f"vp-{rate}-{maximum:g}".replace(".", "-"),
        lambda t: -torch.expm1(-total(1 - t, maximum)),
        lambda t: -0.5 * beta(1 - t, maximum) * b(t) ** 2,
        b,
        lambda t: 0.5 * beta(1 - t, maximum) * b(t),
        CUT,
    )


for _rate in RATES:
    for _maximum in MAXIMA:
        register(noise_rate(_rate, _maximum), VARIANTS)
