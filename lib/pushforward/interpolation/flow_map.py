"""The flow map of dX/dt = v(t, X), with its Jacobian or its divergence carried along, to near rounding.

A velocity is anything called as (t, x) -> [n, d]; it may answer ``velocity_and_jacobian`` and
``velocity_and_divergence`` itself, as the closed forms do. Times run from 0 (noise) to 1 (data), either way.
"""

import torch
from torch import Tensor

from pushforward.distributions import GaussianMixture
from pushforward.errors import InputError
from pushforward.numerics import Adaptive, Exact, velocity_and_jacobian
from pushforward.numerics.jacobian import Velocity
from pushforward.numerics.ode import Field
from pushforward.shapes import PerPoint, Points, check_points

METHOD = "dopri8"
METHODS = ("dopri5", "dopri8")
BISECTIONS = 80  # halve a bracket of any width below 100 down to rounding


def transport(
    oracle: Velocity,
    x: Points,
    t0: float,
    t1: float,
    rtol: float = 1e-10,
    atol: float | None = None,
    method: str = METHOD,
) -> Points:
    """The points x [n, d] of time t0, carried to time t1 [n, d].

    ``atol`` is rtol/100 where it is not given; ``method`` is dopri5 or dopri8. The tolerances bound the error of a step
    in root mean square over the points.

    Raises:
        InputError: x is no finite [n, d] tensor, a time is outside [0, 1], the method is unknown, or rtol is
            below the precision of x.
        NotConverged: the step size underflowed.
    """
    return _solve(oracle, check_points(x), t0, t1, rtol, atol, method)


def transport_with_jacobian(
    oracle: Velocity,
    x: Points,
    t0: float,
    t1: float,
    rtol: float = 1e-10,
    atol: float | None = None,
    method: str = METHOD,
) -> tuple[Points, Tensor]:
    """The points carried from t0 to t1 [n, d], and the Jacobian ∂x(t1)_i/∂x(t0)_j [n, d, d] of that map.

    Solves the variational equation M' = ∇v(t, x) M, M(t0) = I together with the points.

    Raises: as ``transport``.
    """
    dim = check_points(x).shape[1]

    def field(t: Tensor, state: Tensor) -> Tensor:
        v, gradient = velocity_and_jacobian(oracle, t, state[:, :dim])
        return torch.cat([v, (gradient @ state[:, dim:].unflatten(1, (dim, dim))).flatten(1)], 1)

    eye = torch.eye(dim, dtype=x.dtype, device=x.device).flatten().expand(len(x), -1)
    state = _solve(field, torch.cat([x, eye], 1), t0, t1, rtol, atol, method)
    return state[:, :dim], state[:, dim:].unflatten(1, (dim, dim))


def transport_with_divergence(
    oracle: Velocity,
    x: Points,
    t0: float,
    t1: float,
    rtol: float = 1e-10,
    atol: float | None = None,
    method: str = METHOD,
) -> tuple[Points, PerPoint]:
    """The points carried from t0 to t1 [n, d], and ∫ div v dt from t0 to t1 along their paths [n], nats.

    It is log p_t0(x) − log p_t1(x'), so the log-density of data x is log p_0(x') plus the integral of a solve from 1
    to 0.

    Raises: as ``transport``.
    """
    check_points(x)
    divergence = Exact()(oracle, x)

    def field(t: Tensor, state: Tensor) -> Tensor:
        v, trace = divergence(t, state[:, :-1])
        return torch.cat([v, trace[:, None]], 1)

    state = _solve(field, torch.cat([x, x.new_zeros(len(x), 1)], 1), t0, t1, rtol, atol, method)
    return state[:, :-1], state[:, -1]


def quantile_map(law: GaussianMixture, z: Points) -> Points:
    """F⁻¹(Φ(z)) [n, 1], the increasing map from N(0, 1) to a mixture on the line, by bisection in float64.

    It is the flow map of every schedule with a_0 = 1, b_0 = 0 in one dimension. Tails are compared as logarithms, so
    that z = ±30 is no worse than z = 0.

    Raises:
        InputError: the law is not one-dimensional, or z no finite [n, 1] tensor.
    """
    if law.dim != 1:
        raise InputError(f"law has dimension {law.dim}, expected 1: an increasing map needs a line")
    nodes = check_points(z, 1).double()
    weights, means, scales = (v.to(nodes) for v in (law.weights, law.means[:, 0], law.roots[:, 0, 0]))
    # The left tail of −X at −x is the right tail of X: solve every point on the side where its tail is small.
    side = torch.where(nodes > 0, -1.0, 1.0).to(nodes)
    target = torch.special.log_ndtr(-nodes.abs())
    candidates = side * (means + scales * nodes)  # the quantile lies between those of the components
    low, high = candidates.amin(1, keepdim=True), candidates.amax(1, keepdim=True)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        tails = torch.special.log_ndtr((middle - side * means) / scales)
        below = torch.logsumexp(weights.log() + tails, 1, keepdim=True) < target
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (side * (low + high) / 2).to(z)


def _solve(field: Field, state: Tensor, t0: float, t1: float, rtol: float, atol: float | None, method: str) -> Tensor:
    """An adaptive solve between two times of [0, 1]. Its first trial step may look beyond the end, hence the clamp:

    schedules are defined on [0, 1] only, and a² < 0 beyond.
    """
    for name, t in (("t0", t0), ("t1", t1)):
        if not 0 <= t <= 1:
            raise InputError(f"{name} is {t:g}, expected a time in [0, 1]: 0 is noise, 1 is data")
    if method not in METHODS:
        raise InputError(f"method {method!r} is unknown, expected one of {METHODS}")
    if rtol < 10 * torch.finfo(state.dtype).eps:
        raise InputError(f"rtol is {rtol:g}, below the precision of {state.dtype}: pass x.double() or a larger rtol")
    if t0 == t1:
        return state
    first, last = min(t0, t1), max(t0, t1)
    solver = Adaptive(rtol, rtol / 100 if atol is None else atol, method)
    return solver(lambda t, y: field(t.clamp(first, last), y), state, t0, t1)
