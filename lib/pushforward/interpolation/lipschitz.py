"""Lipschitz constants of the flow map X_1 (initial law -> data) and of its inverse, in closed form.

Each is exp of the time integral of a bound in ``bounds``: over [0, 1] of the upper bound forwards, of minus the lower
one for the inverse. The integrals depend on the schedule through a_0 and b_0 alone. Singular values of the Jacobian of
X_1 lie between 1/(reverse constant) and the forward one.

Source: Gaussian interpolation flows (arXiv 2311.11475); where a docstring says *derived*, the constant is ours.
"""

import math

from pushforward.errors import InputError
from pushforward.interpolation.bounds import check_constant
from pushforward.interpolation.schedules import Schedule

MAX_EXPONENT = 709.0  # exp overflows float64 just above


def semi_log_concave(schedule: Schedule, kappa: float) -> float:
    """Lip(X_1) ≤ 1/√(κ a_0² + b_0²) for data with −∇² log p ≥ κ I; equality for N(m, I/κ).

    Raises:
        InputError: κ a_0² + b_0² not positive: then only a bound on the support or a mixture helps.
    """
    square = check_constant("kappa", kappa) * schedule.a0**2 + schedule.b0**2
    if square <= 0:
        raise InputError(
            f"kappa a_0² + b_0² is {square:g}, expected a positive number: for kappa={kappa:g} use "
            "bounded_semi_log_concave or mixture, which need no convexity"
        )
    return 1 / math.sqrt(square)


def bounded_semi_log_concave(schedule: Schedule, kappa: float, half_diameter: float) -> float:
    """Lip(X_1) ≤ (D/a_0) exp((1 − κD²)/2 − D² b_0²/(2 a_0²)) for data of diameter √2 D with −∇² log p ≥ κ I.

    Where κ + b_0²/a_0² ≥ 1/D² the semi-log-concave bound is the smaller one from the start, and is returned (derived).

    Raises:
        InputError: D not positive, or κ not finite.
    """
    kappa, scale = check_constant("kappa", kappa), check_constant("half_diameter", half_diameter, 0.0, open_end=True)
    exponent = (1 - scale**2 * (kappa + (schedule.b0 / schedule.a0) ** 2)) / 2
    if exponent <= 0:
        return semi_log_concave(schedule, kappa)
    return scale / schedule.a0 * exp_or_infinity(exponent)


def mixture(schedule: Schedule, sigma: float, radius: float) -> float:
    """Lip(X_1) ≤ √(σ²/c) exp(a_0² R²/(2 σ² c)) with c = a_0² + σ² b_0², for data N(0, σ² I) * ρ, ρ in a ball of
    radius R. Attained at x = 0 for two equal means.

    Raises:
        InputError: σ not positive, or R negative.
    """
    sigma, radius = check_constant("sigma", sigma, 0.0, open_end=True), check_constant("radius", radius, 0.0)
    variance = schedule.a0**2 + sigma**2 * schedule.b0**2
    return sigma / math.sqrt(variance) * exp_or_infinity(schedule.a0**2 * radius**2 / (2 * sigma**2 * variance))


def log_lipschitz(schedule: Schedule, constant: float) -> float:
    """Lip(X_1) ≤ exp(L² a_0²/(2 r²) + L a_0/r)/r with r² = a_0² + b_0², for data whose density relative to N(0, I) has
    an L-Lipschitz logarithm; exp(L²/2 + L) where a_0 = 1, b_0 = 0 (derived).

    Raises:
        InputError: L negative.
    """
    return exp_or_infinity(_log_lipschitz_exponent(schedule, constant)) / math.hypot(schedule.a0, schedule.b0)


def reverse_semi_log_convex(schedule: Schedule, beta: float) -> float:
    """Lip(X_1⁻¹) ≤ √(β a_0² + b_0²) for data with −∇² log p ≤ β I; equality for N(m, I/β).

    Raises:
        InputError: β not positive.
    """
    return math.sqrt(check_constant("beta", beta, 0.0, open_end=True) * schedule.a0**2 + schedule.b0**2)


def reverse_mixture(schedule: Schedule, sigma: float) -> float:
    """Lip(X_1⁻¹) ≤ √((a_0² + σ² b_0²)/σ²) for data N(0, σ² I) * ρ, whatever ρ.

    Raises:
        InputError: σ not positive.
    """
    return math.hypot(schedule.a0 / check_constant("sigma", sigma, 0.0, open_end=True), schedule.b0)


def reverse_log_lipschitz(schedule: Schedule, constant: float) -> float:
    """Lip(X_1⁻¹) ≤ r exp(L² a_0²/(2 r²) + L a_0/r), r² = a_0² + b_0², as in ``log_lipschitz`` (derived).

    Raises:
        InputError: L negative.
    """
    return exp_or_infinity(_log_lipschitz_exponent(schedule, constant)) * math.hypot(schedule.a0, schedule.b0)


def exp_or_infinity(exponent: float) -> float:
    """exp, infinite where it overflows: a bound that says nothing is still true."""
    return math.exp(exponent) if exponent < MAX_EXPONENT else math.inf


def _log_lipschitz_exponent(schedule: Schedule, constant: float) -> float:
    """L²/2 · a_0²/r² + L a_0/r, the integral of the half-width of ``bounds.log_lipschitz``."""
    cosine = schedule.a0 / math.hypot(schedule.a0, schedule.b0)
    reach = check_constant("constant", constant, 0.0) * cosine
    return reach**2 / 2 + reach
