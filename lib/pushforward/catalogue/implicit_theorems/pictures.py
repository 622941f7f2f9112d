"""What the figures of the implicit theorems draw: arrays, measured here, drawn in ``report.implicit_figures``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pushforward.catalogue.implicit_theorems.constructions import turned
from pushforward.catalogue.implicit_theorems.line import CENTRE, RADIUS, LineFit
from pushforward.catalogue.implicit_theorems.parts import Sizes
from pushforward.catalogue.implicit_theorems.roots import descent
from pushforward.catalogue.implicit_theorems.slopes import METHODS, interval, measured_slopes
from pushforward.implicit import SOLVERS

SPOKES = 12
# (network, its layers, coefficients) of the papers' experiments
SETTINGS = (("1-D and checkerboard", 3, 0.99), ("tabular", 5, 0.99), ("CIFAR-10", 3, 0.9), ("CIFAR-10", 3, 0.6))


def line(fits: Sequence[LineFit]) -> dict[str, dict[str, Any]]:
    """By method: x, the ramp, what was learned, its slope, the slopes that κ allows; and the ball."""
    return {
        fit.method: {
            "x": fit.x.flatten().numpy(),
            "target": fit.target(fit.x).flatten().numpy(),
            "learned": fit.y.flatten().numpy(),
            "slope": fit.slopes.numpy(),
            "limits": fit.limits,
            "ball": (CENTRE - RADIUS, CENTRE + RADIUS),
            "ramp": (fit.target.low, fit.target.high),
        }
        for fit in fits
    }


def errors(fits: Sequence[LineFit]) -> dict[str, dict[str, float]]:
    """By method: the measured error and, for residual blocks, the theorem's bounds."""
    found = {}
    for fit in fits:
        bounds = fit.bounds
        named = {} if bounds is None else {"r/2 (L − 2^ℓ)": bounds.paper, "r (L − 2^ℓ)": bounds.sharper}
        found[fit.method] = {"measured": fit.error, **named}
        if bounds is not None:
            found[fit.method]["r (L − ∏(1 + κ))"] = bounds.sharpest
    return found


def intervals(kappas: Sequence[float], sizes: Sizes) -> dict[str, dict[str, np.ndarray]]:
    """By method: ends of the interval over a fine range of κ, and the extremes of random networks at ``kappas``."""
    fine = np.linspace(0.0, max(kappas), 200)
    measured = measured_slopes(kappas, sizes)
    return {
        method: {
            "kappa": fine,
            "ends": np.array([interval(kappa, method) for kappa in fine]),
            "at": np.array(kappas),
            "measured": measured[method].numpy(),
        }
        for method in METHODS
    }


def certificates(sizes: Sizes) -> dict[str, np.ndarray]:
    """By solver, rows (mean iterations, largest true error, largest certified error), ever later stops."""
    return {
        name: np.array([(s.iterations, float(s.error.max()), float(s.bound.max())) for s in descent(name, sizes)])
        for name in SOLVERS
    }


def turns() -> dict[str, np.ndarray]:
    """Spokes [SPOKES, 2] of a wheel after every block of R3's witness."""
    angle = 2 * torch.pi * torch.arange(SPOKES, dtype=torch.float64) / SPOKES
    wheel = torch.stack([angle.cos(), angle.sin()], 1)
    return {name: x.numpy() for name, x in turned(wheel).items()}


def settings_table() -> list[dict[str, Any]]:
    """The slopes that the papers' networks allow: κ = c^m for m layers of norm c."""
    rows = []
    for name, layers, coeff in SETTINGS:
        kappa = coeff**layers
        row = {"network": name, "layers": layers, "c": coeff, "κ": kappa}
        for method in METHODS:
            low, high = interval(kappa, method)
            row |= {f"{method}, least": low, f"{method}, largest": high}
        rows.append(row)
    return rows
