"""The flow-matching loss that no network can beat; the rest of a loss is the integral of the stability theorem."""

from pushforward.errors import InputError
from pushforward.interpolation.targets import Oracle

STEPS = 10  # grid points per width of the law: the posterior turns faster between components than the density falls


def loss_floor(oracle: Oracle, t: float) -> float:
    """F(t) = (w²/a⁴) E tr Cov(X_1 | X_t): the loss E|v − a'Z − b'X_1|² of the exact velocity, summed over coordinates.

    The loss of any other field ṽ exceeds it by E|ṽ − v|² under p_t. By the trapezoid rule, in dimension 1 or 2.
    Source: derived for this library.

    Raises:
        InputError: t outside [0, 1], or a(t) = 0, where F is a limit that may be infinite; a dimension above 2; or a
            law too narrow for its extent, whose grid would have more than 4 million points.
    """
    a2 = float(oracle.schedule.at(t).a2)
    if a2 <= 0:
        raise InputError(f"a is 0 at t = {t}, expected an earlier time: the floor is a limit there, infinite for some")
    if oracle.dim > 2:
        raise InputError(f"the law has dimension {oracle.dim}, expected 1 or 2: the floor is taken on a grid")
    box = oracle.box(t)
    x, volume = box.grid(box.width / STEPS)
    spread = oracle.posterior_covariance(t, x).diagonal(dim1=1, dim2=2).sum(1)
    mean = volume * float((oracle.log_prob(t, x).exp() * spread).sum())
    return float(oracle.schedule.w(t)) ** 2 / a2**2 * mean
