"""Velocities of an interpolation learned through a network, and the quantities that the network may predict."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pushforward.errors import InputError
from pushforward.interpolation.schedules import Schedule
from pushforward.numerics import Exact, velocity_and_jacobian
from pushforward.shapes import PerPoint, Points, Time


class Conversion(NamedTuple):
    """v(t, x) = slope · x + gain · N(clock, scale · x), with N the network."""

    slope: Tensor
    gain: Tensor
    scale: Tensor
    clock: Tensor


@dataclass(frozen=True)
class Prediction:
    """What a network predicts: its regression target, and how the velocity follows from the prediction."""

    target: Callable[[Schedule, Tensor, Points, Points], Points]  # (schedule, t [n, 1], z, x1) -> [n, d]
    conversion: Callable[[Schedule, Tensor], Conversion]


def _velocity_target(schedule: Schedule, t: Tensor, z: Points, x1: Points) -> Points:
    return schedule.aa_prime(t) / schedule.a(t) * z + schedule.b_prime(t) * x1


def _angle_target(schedule: Schedule, t: Tensor, z: Points, x1: Points) -> Points:
    a, b = schedule.a(t), schedule.b(t)
    return (a * x1 - b * z) / torch.hypot(a, b)


def _plain(schedule: Schedule, t: Tensor) -> Conversion:
    one = torch.ones_like(t)
    return Conversion(0 * one, one, one, t)


def _denoiser(schedule: Schedule, t: Tensor) -> Conversion:
    a2 = schedule.a2(t)
    return Conversion(schedule.aa_prime(t) / a2, schedule.w(t) / a2, torch.ones_like(t), t)


def _noise(schedule: Schedule, t: Tensor) -> Conversion:
    b = schedule.b(t)
    return Conversion(schedule.b_prime(t) / b, -schedule.w(t) / (schedule.a(t) * b), torch.ones_like(t), t)


def _angle(schedule: Schedule, t: Tensor) -> Conversion:
    a2, b = schedule.a2(t), schedule.b(t)
    a, r2 = a2.sqrt(), a2 + b * b
    slope = (schedule.aa_prime(t) + b * schedule.b_prime(t)) / r2
    # w/a = ab' − (aa'/a)b is 0/0 at t = 1, or infinite where a' is (Föllmer, VP, VE): hence EDGE.
    return Conversion(slope, schedule.w(t) / (a * r2.sqrt()), 1 / r2.sqrt(), torch.atan2(b, a) * (2 / math.pi))


PREDICTIONS: dict[str, Prediction] = {
    "velocity": Prediction(_velocity_target, _plain),
    "denoiser": Prediction(lambda schedule, t, z, x1: x1, _denoiser),
    "noise": Prediction(lambda schedule, t, z, x1: z, _noise),
    "angle": Prediction(_angle_target, _angle),
}


class InterpolationVelocity(nn.Module):
    """v(t, x) of an interpolation through a network that predicts one of ``PREDICTIONS``:

    ``velocity``
        a'z + b'x₁ itself.
    ``denoiser``
        the data x₁:  v = (a'/a) x + (w/a²) x̂₁, which amplifies errors as t → 1.
    ``noise``
        the noise z:  v = (b'/b) x − (w/(ab)) ẑ, which amplifies them as t → 0.
    ``angle``
        y' = cos φ x₁ − sin φ z at y = cos φ z + sin φ x₁, the same point x/r on the circle tan φ = b/a, r² = a² + b²:
        v = ((aa' + bb')/r²) x + (w/(ar)) ŷ'. All schedules agree in these coordinates (claim A6), the target has unit
        variance at all times for whitened data, and a network that says 0 is the exact flow of a Gaussian.

    Args:
        net: called as net(clock, x) with a scalar clock or one time a point [n]; the clock is t, or 2φ/π for ``angle``.
        schedule: a and b.
        prediction: a key of ``PREDICTIONS``.

    Raises:
        InputError: an unknown prediction.
    """

    EDGE = 1e-6  # t is kept this far from 0 and 1, where a coefficient may be 0/0

    def __init__(self, net: nn.Module, schedule: Schedule, prediction: str = "angle") -> None:
        super().__init__()
        if prediction not in PREDICTIONS:
            raise InputError(f"prediction {prediction!r} is unknown, expected one of {sorted(PREDICTIONS)}")
        self.net, self.dim, self.schedule, self.prediction = net, net.dim, schedule, prediction

    def settings(self) -> dict:
        """What rebuilds this velocity beside its network."""
        return {"schedule": self.schedule.name, "prediction": self.prediction}

    def conversion(self, t: Time, x: Points) -> Conversion:
        """Coefficients in the dtype of x, scalars or [n], computed in float64."""
        t = torch.as_tensor(t, dtype=torch.float64, device=x.device).clamp(self.EDGE, 1 - self.EDGE)
        return Conversion(*(part.to(x.dtype) for part in PREDICTIONS[self.prediction].conversion(self.schedule, t)))

    def target(self, t: Tensor, z: Points, x1: Points) -> Points:
        """What the network should say on average at x = a z + b x₁ [n, d], t [n]."""
        t = t.double().clamp(self.EDGE, 1 - self.EDGE)[:, None]
        return PREDICTIONS[self.prediction].target(self.schedule, t, z, x1).to(x1.dtype)

    def predict(self, t: Time, x: Points) -> Points:
        """The network's prediction at (t, x) [n, d]."""
        c = self.conversion(t, x)
        return self.net(c.clock, _column(c.scale) * x)

    def forward(self, t: Time, x: Points) -> Points:
        """v [n, d]."""
        c = self.conversion(t, x)
        return _column(c.slope) * x + _column(c.gain) * self.net(c.clock, _column(c.scale) * x)

    def velocity_and_jacobian(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        """v [n, d] and its Jacobian [n, d, d], t a scalar."""
        c = self.conversion(t, x)
        value, jacobian = velocity_and_jacobian(self.net, c.clock, c.scale * x)
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        return c.slope * x + c.gain * value, c.slope * eye + c.gain * c.scale * jacobian

    def velocity_and_divergence(self, t: Time, x: Points) -> tuple[Points, PerPoint]:
        """v [n, d] and its exact divergence [n], t a scalar."""
        c = self.conversion(t, x)
        value, divergence = Exact()(self.net, x)(c.clock, c.scale * x)
        return c.slope * x + c.gain * value, c.slope * self.dim + c.gain * c.scale * divergence


def _column(coefficient: Tensor) -> Tensor:
    return coefficient[:, None] if coefficient.ndim else coefficient
