"""An exact radial bijection: directions stay, radii are sent monotonically to the chi law."""

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from pushforward.errors import InputError
from pushforward.flows.bijection import Bijection
from pushforward.shapes import PerPoint, Points, check_points

KNOTS = 64


class Radial(Bijection):
    """z = x R/r with log R = S(log r), S a monotone rational-quadratic spline with straight tails.

    log |det dz/dx| = log S'(log r) + d (log R − log r). An elliptical law becomes exactly normal when the affine
    whitening comes first; what remains for the blocks is the dependence of the direction on the radius.
    The spline is the one of neural spline flows (Durkan et al. 2019, eqs. 4 to 7), here fitted by quantiles.
    """

    def __init__(self, dim: int, knots: int = KNOTS) -> None:
        super().__init__()
        self.dim, self.knots = dim, knots
        line = torch.linspace(-1, 1, knots)
        self.register_buffer("inputs", line)
        self.register_buffer("outputs", line.clone())
        self.register_buffer("slopes", torch.ones(knots))

    @classmethod
    def fit(cls, x: Points, knots: int = KNOTS) -> "Radial":
        """Match the quantiles of |x| over the points x [n, d], centred and whitened before, to those of the chi law.

        Raises:
            InputError: fewer points than knots, or points at the origin, or radii that repeat.
        """
        x = check_points(x)
        if len(x) < 4 * knots:
            raise InputError(f"x has {len(x)} points, expected at least {4 * knots} to place {knots} quantiles")
        radius = x.double().norm(dim=1).cpu().numpy()
        # Equal steps of the normal score put as many knots in the tails as the sample can place.
        reach = stats.norm.ppf(1 - 2 / len(x))
        level = stats.norm.cdf(np.linspace(-reach, reach, knots))
        quantiles = np.quantile(radius, level)
        if not (quantiles[0] > 0 and np.all(np.diff(quantiles) > 0)):
            raise InputError("the radii |x| have repeated quantiles or zeros, expected a continuous law: add noise")
        inputs = np.log(quantiles)
        outputs = np.log(stats.chi.ppf(level, x.shape[1]))
        secant = np.diff(outputs) / np.diff(inputs)
        slopes = np.concatenate([secant[:1], 2 / (1 / secant[1:] + 1 / secant[:-1]), secant[-1:]])
        radial = cls(x.shape[1], knots)
        for name, values in (("inputs", inputs), ("outputs", outputs), ("slopes", slopes)):
            setattr(radial, name, torch.as_tensor(values))
        return radial.to(x)

    def settings(self) -> dict:
        """The arguments that rebuild this bijection."""
        return {"dim": self.dim, "knots": self.knots}

    def forward(self, x: Points) -> Points:
        return self.forward_and_log_det(x)[0]

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        log_r = _log_norm(x)
        log_big_r, log_slope = self._spline(log_r)
        stretch = log_big_r - log_r
        return x * stretch.exp()[:, None], log_slope + self.dim * stretch

    def inverse(self, z: Points) -> Points:
        log_big_r = _log_norm(z)
        return z * (self._inverse_spline(log_big_r) - log_big_r).exp()[:, None]

    def _bin(self, value: Tensor, edges: Tensor) -> tuple[Tensor, ...]:
        k = torch.searchsorted(edges, value.detach().contiguous()).clamp(1, self.knots - 1)
        low, high = k - 1, k
        width = self.inputs[high] - self.inputs[low]
        height = self.outputs[high] - self.outputs[low]
        return self.inputs[low], width, self.outputs[low], height, self.slopes[low], self.slopes[high]

    def _spline(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """S(a) and log S'(a)."""
        left, width, bottom, height, d0, d1 = self._bin(a, self.inputs)
        secant = height / width
        xi = ((a - left) / width).clamp(0, 1)
        eta = xi * (1 - xi)
        bend = d0 + d1 - 2 * secant
        below = secant + bend * eta
        value = bottom + height * (secant * xi.square() + d0 * eta) / below
        numerator = secant.square() * (d1 * xi.square() + 2 * secant * eta + d0 * (1 - xi).square())
        log_slope = numerator.log() - 2 * below.log()
        # Straight tails: outside the knots xi is 0 or 1, so the slope above is already that of the end knot.
        beyond = a - a.clamp(self.inputs[0], self.inputs[-1])
        return value + beyond * log_slope.exp(), log_slope

    def _inverse_spline(self, b: Tensor) -> Tensor:
        left, width, bottom, height, d0, d1 = self._bin(b, self.outputs)
        secant = height / width
        rise = (b - bottom).clamp(torch.zeros_like(height), height)
        bend = d0 + d1 - 2 * secant
        qa = height * (secant - d0) + rise * bend
        qb = height * d0 - rise * bend
        qc = -secant * rise
        # The root in [0, 1], in the form that does not cancel.
        xi = 2 * qc / (-qb - (qb.square() - 4 * qa * qc).clamp_min(0).sqrt())
        beyond = b - b.clamp(self.outputs[0], self.outputs[-1])
        return left + xi * width + beyond / torch.where(beyond < 0, self.slopes[0], self.slopes[-1])


def _log_norm(x: Points) -> Tensor:
    return x.norm(dim=1).clamp_min(torch.finfo(x.dtype).tiny).log()
