"""Gaussian interpolation flows: schedules, closed-form velocities of known laws, and the theorems' bounds."""

from pushforward.interpolation.box import Box
from pushforward.interpolation.interval import IntervalInterpolation, bimodal, uniform
from pushforward.interpolation.loss_floor import loss_floor
from pushforward.interpolation.mixture import MixtureInterpolation
from pushforward.interpolation.noise_rates import MAXIMA, RATES, noise_rate
from pushforward.interpolation.schedules import (
    SCHEDULES,
    VARIANTS,
    Schedule,
    by_name,
    register,
    ve,
    ve_linear,
    vp,
)
from pushforward.interpolation.targets import TARGETS, Oracle, Target
from pushforward.interpolation.velocity import PREDICTIONS, InterpolationVelocity

__all__ = [
    "MAXIMA",
    "PREDICTIONS",
    "RATES",
    "SCHEDULES",
    "TARGETS",
    "VARIANTS",
    "Box",
    "InterpolationVelocity",
    "IntervalInterpolation",
    "MixtureInterpolation",
    "Oracle",
    "Schedule",
    "Target",
    "bimodal",
    "by_name",
    "loss_floor",
    "noise_rate",
    "register",
    "uniform",
    "ve",
    "ve_linear",
    "vp",
]
