"""The usual two-dimensional toys, each with its exact log-density. All live roughly within [−4, 4]²."""

import math

import torch
from torch import Tensor

from pushforward.distributions.base import Distribution, Entropy
from pushforward.distributions.gaussian_mixture import GaussianMixture
from pushforward.distributions.quadrature import grid_entropy
from pushforward.shapes import PerPoint, Points


class Checkerboard(Distribution):
    """Uniform on the 8 squares of side 2 of [−4, 4)² where floor(x/2) + floor(y/2) is even: entropy log 32."""

    name = "checkerboard"
    dim = 2

    def _draw(self, n: int, generator: torch.Generator | None) -> Points:
        column = torch.randint(-2, 2, (n,), generator=generator)
        pair = torch.randint(-1, 1, (n,), generator=generator)
        corner = torch.stack([column, 2 * pair + column % 2], 1)
        # midpoints of 2²² steps: float32 holds them exactly, so no draw is rounded onto the edge of its square
        place = (torch.randint(2**22, (n, 2), generator=generator) + 0.5).double() / 2**22
        return 2.0 * (corner + place)

    def _log_density(self, x: Points) -> PerPoint:
        cell = torch.floor(x / 2)
        inside = (cell >= -2).all(1) & (cell < 2).all(1) & (cell.sum(1) % 2 == 0)
        return x.new_full((len(x),), -math.log(32)).masked_fill(~inside, -math.inf)

    def _find_entropy(self) -> Entropy:
        return Entropy(math.log(32), 0.0)


class Rings(Distribution):
    """Equal circles blurred by an isotropic Gaussian, equally likely; exact through a Bessel function.

    A uniform circle of radius R about c, blurred by N(0, σ²I), has at distance r from c the density
    exp(−(r² + R²)/2σ²) I₀(rR/σ²) / 2πσ² (the angle integrates to a Bessel function).

    Args:
        centres: [k, 2].
        radius: R > 0.
        noise: σ > 0.
    """

    name = "rings"
    dim = 2

    def __init__(self, centres: Tensor, radius: float, noise: float) -> None:
        self.centres, self.radius, self.noise = centres.double(), radius, noise

    @property
    def _width(self) -> int:
        return self.centres.numel()

    def _draw(self, n: int, generator: torch.Generator | None) -> Points:
        ring = torch.randint(len(self.centres), (n,), generator=generator)
        angle = 2 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
        noise = self.noise * torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return self.centres[ring] + self.radius * torch.stack([angle.cos(), angle.sin()], 1) + noise

    def _log_density(self, x: Points) -> PerPoint:
        variance = self.noise**2
        r = torch.linalg.vector_norm(x[:, None] - self.centres.to(x), dim=2)
        # i0e(u) = exp(−u) I₀(u) stays finite; its exponent completes the square
        log_ring = torch.special.i0e(r * self.radius / variance).log() - (r - self.radius).square() / (2 * variance)
        return torch.logsumexp(log_ring, 1) - math.log(2 * math.pi * variance * len(self.centres))

    def _find_entropy(self) -> Entropy:
        reach = self.radius + 9 * self.noise
        low, high = self.centres.amin(0) - reach, self.centres.amax(0) + reach
        return grid_entropy(self.log_prob, low, high, 0.5 * self.noise)


class Twisted(Distribution):
    """A planar law whose points at radius r are turned by the angle ``rate · r``.

    The twist keeps areas (determinant 1), so log p(x) = log p_base(x turned back), and the entropy is the base's.

    Args:
        base: a law on R².
        rate: radians per unit of radius, anticlockwise.
        name: shown in tables.
    """

    dim = 2

    def __init__(self, base: Distribution, rate: float, name: str) -> None:
        self.base, self.rate, self.name = base, rate, name

    def _draw(self, n: int, generator: torch.Generator | None) -> Points:
        return _turn(self.base.sample(n, generator, torch.float64), self.rate)

    def _log_density(self, x: Points) -> PerPoint:
        return self.base.log_prob(_turn(x, -self.rate))

    def _find_entropy(self) -> Entropy:
        return self.base.entropy()


def eight_gaussians() -> GaussianMixture:
    """Eight Gaussians of standard deviation √2/4 at the corners of a regular octagon of radius 2√2."""
    return _curve("8-gaussians", 2 * math.sqrt(2) * _unit(torch.arange(8) * math.pi / 4), noise=math.sqrt(2) / 4)


def rings() -> Rings:
    """The five Olympic rings: three above, two below and between; radius 1.2, noise 0.1."""
    centres = [(-2.64, 0.6), (0.0, 0.6), (2.64, 0.6), (-1.32, -0.6), (1.32, -0.6)]
    return Rings(torch.tensor(centres, dtype=torch.float64), radius=1.2, noise=0.1)


def two_spirals() -> GaussianMixture:
    """Two arms of one and a half turns; by definition the mixture of 2 × 200 Gaussians, σ = 0.1."""
    turn = 3 * math.pi * ((torch.arange(200, dtype=torch.float64) + 0.5) / 200).sqrt()  # even steps along the arm
    arm = turn[:, None] / 3 * _unit(turn)
    return _curve("two-spirals", torch.cat([arm, -arm]), noise=0.1)


def moons() -> GaussianMixture:
    """Two interleaved half circles of radius 2; by definition the mixture of 2 × 64 Gaussians, σ = 0.2."""
    angle = math.pi * (torch.arange(64, dtype=torch.float64) + 0.5) / 64
    upper = 2 * _unit(angle) - torch.tensor([1.0, 0.5], dtype=torch.float64)
    return _curve("moons", torch.cat([upper, -upper]), noise=0.2)


def pinwheel() -> Twisted:
    """Five Gaussian blades around the origin, swept back by a twist.

    The usual pinwheel turns by a function of one coordinate of the blade, which has no exact density; ours turns by
    the radius, which has.
    """
    angle = 2 * math.pi * torch.arange(5) / 5
    out, across = _unit(angle), _unit(angle + math.pi / 2)
    covariances = 0.6**2 * out[:, :, None] * out[:, None, :] + 0.2**2 * across[:, :, None] * across[:, None, :]
    blades = GaussianMixture(torch.ones(5), 2 * out, covariances=covariances, name="blades")
    return Twisted(blades, rate=0.4, name="pinwheel")


def swiss_roll() -> GaussianMixture:
    """A spiral strip of one and a half turns; by definition the mixture of 400 Gaussians, σ = 0.15."""
    turn = math.pi * (1.5 + 3 * (torch.arange(400, dtype=torch.float64) + 0.5) / 400)
    return _curve("swiss-roll", turn[:, None] / 4 * _unit(turn), noise=0.15)


def _curve(name: str, nodes: Tensor, noise: float) -> GaussianMixture:
    """Equal weights at the nodes [k, 2] of a thickened curve."""
    return GaussianMixture(torch.ones(len(nodes)), nodes, scales=noise, name=name)


def _unit(angle: Tensor) -> Tensor:
    """Unit vectors [k, 2] at the angles [k]."""
    angle = angle.double()
    return torch.stack([angle.cos(), angle.sin()], 1)


def _turn(x: Points, rate: float) -> Points:
    """x [n, 2] turned about the origin by ``rate`` times its radius."""
    angle = rate * torch.linalg.vector_norm(x, dim=1)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], 1)
