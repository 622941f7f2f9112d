"""The interpolation of a Gaussian mixture in closed form: velocity, score, posterior, and their derivatives.

With C_i = a²I + b²S_i, y_i = x − bμ_i and responsibilities r_i(x), everything is a weighted sum over components. No
formula divides by a or b: all are finite at t = 0 and t = 1. In the eigenbasis of each S_i all matrices are diagonal.
Source: Gaussian interpolation flows (arXiv 2311.11475); the closed forms are derived here.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.distributions import GaussianMixture
from pushforward.errors import InputError
from pushforward.interpolation.box import Box
from pushforward.interpolation.schedules import Coefficients, Schedule
from pushforward.shapes import PerPoint, Points, Time, check_points

REACH = 9.0  # standard deviations that a box reaches beyond the outermost component
CHUNK = 2**19  # numbers held at once, n·k·d: temporaries of 4 MB stay near the cache and bound the memory


class _Frame(NamedTuple):
    """The components in their eigenbases, S_i = U_i diag(λ_i) U_iᵀ."""

    log_weights: Tensor  # [k]
    means: Tensor  # [k, d]
    spread: Tensor  # λ [k, d]
    basis: Tensor  # U [k, d, d], eigenvectors in its columns
    flat: Tensor  # Uᵀ [k d, d]: one matrix product turns a point into all bases
    centre: Tensor  # Uᵀ μ [k, d]

    def to(self, like: Tensor) -> "_Frame":
        return _Frame(*(part.to(like) for part in self))


class _State(NamedTuple):
    """What all answers share, for some points; m is 1, or n where every point has its own time."""

    frame: _Frame  # as the points: their dtype and device
    at: Coefficients  # each [m, 1, 1], float64
    spread: Tensor  # λ again [k, d], float64
    c: Tensor  # eigenvalues of C_i [m, k, d], float64
    y: Tensor  # x − bμ_i in the eigenbasis [n, k, d]
    log_p: Tensor  # [n]
    r: Tensor  # responsibilities [n, k]


class MixtureInterpolation:
    """X_t = a Z + b X_1 with Z ~ N(0, I) and X_1 ~ ``law``, a Gaussian mixture.

    Calling it gives the velocity, so it serves wherever a velocity (t, x) -> [n, d] does. Times t are numbers or 0-d
    tensors, 0 noise and 1 data; ``log_prob``, ``score``, the velocity with or without divergence, ``posterior_mean``
    and ``sample`` also take one time a point, t [n]. Answers have the dtype and device of x.

    Raises:
        InputError: the law is not a ``GaussianMixture``; and in every method, where x is not a finite floating tensor
            (n, d) or t has another shape, or is a number outside [0, 1].
    """

    def __init__(self, law: GaussianMixture, schedule: Schedule) -> None:
        if not isinstance(law, GaussianMixture):
            raise InputError(f"law is a {type(law).__name__}, expected a GaussianMixture, which has closed forms")
        self.law, self.schedule, self.dim = law, schedule, law.dim
        basis, root, _ = torch.linalg.svd(law.roots)  # S = R Rᵀ: the singular values of R lose no digits
        centre = (basis.mT @ law.means[:, :, None]).squeeze(2)
        self._frame = _Frame(
            law.weights.log(), law.means, root.square(), basis, basis.mT.flatten(0, 1).contiguous(), centre
        )

    def __call__(self, t: Time, x: Points) -> Points:
        """v = Σ r_i v_i, v_i = b'μ_i + A_i (x − bμ_i), A_i = (aa'I + bb'S_i) C_i⁻¹; x [n, d] -> [n, d]."""
        return self._answer(t, x, _velocity)[0]

    def log_prob(self, t: Time, x: Points) -> PerPoint:
        """log p_t(x) in nats, [n]."""
        return self._answer(t, x, lambda s: (s.log_p,))[0]

    def score(self, t: Time, x: Points) -> Points:
        """∇ log p_t = Σ r_i g_i, g_i = −C_i⁻¹(x − bμ_i); [n, d]."""
        return self._answer(t, x, lambda s: (_mean(s, -1 / s.c, 0.0),))[0]

    def posterior_mean(self, t: Time, x: Points) -> Points:
        """E[X_1 | X_t = x] = Σ r_i (μ_i + b S_i C_i⁻¹(x − bμ_i)); [n, d]."""
        return self._answer(t, x, lambda s: (_mean(s, s.at.b * s.spread / s.c, 1.0),))[0]

    def velocity_and_divergence(self, t: Time, x: Points) -> tuple[Points, PerPoint]:
        """v [n, d] and tr ∇v [n]."""
        return self._answer(t, x, _velocity_and_divergence)

    def velocity_and_jacobian(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        """v [n, d] and ∇v = Σ r_i A_i + Σ r_i (v_i − v)(g_i − s)ᵀ [n, d, d], symmetric; one time for all points."""
        return self._answer(self._one_time(t), x, _velocity_and_jacobian)

    def hessian(self, t: Time, x: Points) -> Tensor:
        """∇² log p_t = −Σ r_i C_i⁻¹ + Σ r_i (g_i − s)(g_i − s)ᵀ [n, d, d]; one time for all points."""
        return self._answer(self._one_time(t), x, _hessian)[0]

    def posterior_covariance(self, t: Time, x: Points) -> Tensor:
        """Cov(X_1 | X_t = x) [n, d, d]: a² S_i C_i⁻¹ within components, the posterior means' spread between them."""
        return self._answer(self._one_time(t), x, _posterior_covariance)[0]

    def sample(
        self, t: Time, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> Points:
        """n exact draws of a Z + b X_1, [n, d], on the CPU; t as a tensor [n] gives each its own time."""
        data = self.law.sample(n, generator, torch.float64)
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        at = self._coefficients(t, n)
        return (at.a2.sqrt()[..., 0] * noise + at.b[..., 0] * data).to(dtype)

    def box(self, t: Time) -> Box:
        """The box that holds all but 1e-17 of p_t, one time; its width is the least deviation of any component."""
        at = self.schedule.at(t)
        b, variances = float(at.b), self._frame.basis.square() @ self._frame.spread[:, :, None]  # diagonals of S_i
        reach = REACH * (at.a2.cpu() + b**2 * variances[:, :, 0]).sqrt()
        centre = b * self._frame.means
        width = float((at.a2.cpu() + b**2 * self._frame.spread).min().sqrt())
        return Box((centre - reach).amin(0), (centre + reach).amax(0), width)

    def _answer(self, t: Time, x: Points, part: Callable[[_State], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """``part`` of the state, a few rows of x at a time."""
        x = check_points(x, self.dim)
        pieces = [part(state) for state in self._states(self._coefficients(t, len(x)), x)]
        return tuple(torch.cat(piece) for piece in zip(*pieces, strict=True))

    def _coefficients(self, t: Time, n: int) -> Coefficients:
        at = self.schedule.at(t)
        if at.b.shape not in ((), (n,)):
            raise InputError(f"t has shape {tuple(at.b.shape)}, expected one time, or {(n,)}: one a point")
        return Coefficients(*(value.reshape(-1, 1, 1) for value in at))

    def _one_time(self, t: Time) -> Time:
        if isinstance(t, Tensor) and t.ndim > 0:
            raise InputError(f"t has shape {tuple(t.shape)}, expected one time: a matrix a point has one time for all")
        return t

    def _states(self, at: Coefficients, x: Points) -> Iterator[_State]:
        frame = self._frame.to(x)
        exact = self._frame.to(at.b.to(x.device))  # widths, weights and coefficients stay in float64
        rows = max(1, CHUNK // self._frame.means.numel())
        for start in range(0, len(x), rows):
            own = at if len(at.b) == 1 else Coefficients(*(value[start : start + rows] for value in at))
            own = Coefficients(*(value.to(x.device) for value in own))
            yield _state(frame, exact, own, x[start : start + rows])


def _state(frame: _Frame, exact: _Frame, at: Coefficients, x: Points) -> _State:
    c = at.a2 + at.b.square() * exact.spread
    y = (x @ frame.flat.T).unflatten(1, frame.centre.shape) - (at.b * exact.centre).to(x)
    scale = exact.log_weights - 0.5 * c.log().sum(2) - 0.5 * x.shape[1] * math.log(2 * math.pi)
    joint = scale.to(x) - 0.5 * (y * y * (1 / c).to(x)).sum(2)
    log_p = torch.logsumexp(joint, 1)
    return _State(frame, at, exact.spread, c, y, log_p, torch.exp(joint - log_p[:, None]))


def _mean(s: _State, slope: Tensor, shift: Tensor | float) -> Points:
    """Σ r_i (shift μ_i + U_i slope_i y_i) [n, d]: slope [m, k, d] in the eigenbases, shift [m, 1, 1] or a number."""
    turned = (s.r[:, :, None] * (s.y * slope.to(s.y))).flatten(1) @ s.frame.flat
    return turned + torch.as_tensor(shift).reshape(-1, 1).to(s.y) * (s.r @ s.frame.means)


def _each(s: _State, slope: Tensor, shift: Tensor | float) -> Tensor:
    """shift μ_i + U_i slope_i y_i of every component, [n, k, d]."""
    turned = torch.einsum("kdj,nkj->nkd", s.frame.basis, s.y * slope.to(s.y))
    return turned + torch.as_tensor(shift).to(s.y) * s.frame.means


def _blend(s: _State, spectrum: Tensor) -> Tensor:
    """Σ r_i U_i diag(spectrum_i) U_iᵀ [n, d, d], spectrum [1, k, d]."""
    matrices = (s.frame.basis * spectrum.to(s.y)[0, :, None]) @ s.frame.basis.mT
    return (s.r @ matrices.flatten(1)).unflatten(1, matrices.shape[1:])


def _velocity(s: _State) -> tuple[Points]:
    return (_mean(s, _rate(s), s.at.b_prime),)


def _velocity_and_divergence(s: _State) -> tuple[Points, PerPoint]:
    v, score = _velocity(s)[0], _mean(s, -1 / s.c, 0.0)
    own = s.y * _rate(s).to(s.y) + s.at.b_prime.to(s.y) * s.frame.centre  # v_i in the eigenbasis
    traces = _rate(s).sum(2).to(s.y) - (own * s.y / s.c.to(s.y)).sum(2)  # tr A_i + v_i·g_i
    return v, (s.r * traces).sum(1) - (v * score).sum(1)


def _velocity_and_jacobian(s: _State) -> tuple[Points, Tensor]:
    v = _velocity(s)[0]
    velocities, scores = _each(s, _rate(s), s.at.b_prime), _each(s, -1 / s.c, 0.0)
    return v, _blend(s, _rate(s)) + _covariance(s.r, velocities, scores)


def _hessian(s: _State) -> tuple[Tensor]:
    scores = _each(s, -1 / s.c, 0.0)
    return (_covariance(s.r, scores, scores) - _blend(s, 1 / s.c),)


def _posterior_covariance(s: _State) -> tuple[Tensor]:
    means = _each(s, s.at.b * s.spread / s.c, 1.0)
    return (_covariance(s.r, means, means) + _blend(s, s.at.a2 * s.spread / s.c),)


def _rate(s: _State) -> Tensor:
    """Eigenvalues of A_i [m, k, d]."""
    return (s.at.aa_prime + s.at.b * s.at.b_prime * s.spread) / s.c


def _covariance(r: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Σ r_i (left_i − mean)(right_i − mean)ᵀ [n, d, d] of left and right [n, k, d] under weights r [n, k]."""
    left, right = (part - (r[:, :, None] * part).sum(1, keepdim=True) for part in (left, right))
    return (r[:, :, None] * left).mT @ right
