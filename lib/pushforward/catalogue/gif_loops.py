"""Auto-encoding and cycle consistency: flows that share their source translate one data set into another and back."""

import copy
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from pushforward import datasets
from pushforward.datasets import Split
from pushforward.flows import Flow, with_solver
from pushforward.metrics import round_trip
from pushforward.numerics import Adaptive
from pushforward.shapes import Points

SIDE = 8  # pixels of a digit
TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


@torch.no_grad()
def translate(first: Flow, second: Flow, x: Points) -> Points:
    """T = Y_1 ∘ X_1⁻¹: points of the first flow's data [n, d] to its latent space, and from there to the second's."""
    return second.bijection.inverse(first.bijection(x))


@torch.no_grad()
def loop_errors(first: Flow, second: Flow, x: Points, tolerances: Iterable[float]) -> list[tuple[float, float]]:
    """(tolerance, rms of |T'(T(x)) − x|) in float64 under dopri5; with first and second alike, that of auto-encoding.

    The loop closes for any velocity, learned well or not: the error is the solver's (claim A7).
    """
    errors, x = [], x.double()
    for tolerance in tolerances:
        a, b = (with_solver(copy.deepcopy(f).double(), Adaptive(tolerance, tolerance)) for f in (first, second))
        if first is second:
            errors.append((tolerance, round_trip(a, x).rms))
        else:
            back = translate(b, a, translate(a, b, x))
            errors.append((tolerance, float((back - x).square().sum(1).mean().sqrt())))
    return errors


@torch.no_grad()
def angles(flow: Flow, x: Points) -> np.ndarray:
    """Polar angles [n] of the latent points, which colour a picture of the plane."""
    z = flow.bijection(x)
    return torch.atan2(z[:, 1], z[:, 0]).numpy()


def rotated_digits(profile: str, seed: int = 0) -> Split:
    """The 8 × 8 digits turned by a quarter, with their noise: the same law, its pixels permuted."""
    split = datasets.load("digits", profile, seed)
    parts = {part: _turned(getattr(split, part)) for part in ("train", "val", "test")}
    return replace(split, **parts, name="digits-rotated")


def _turned(x: Points) -> Points:
    return torch.rot90(x.reshape(-1, SIDE, SIDE), 1, (1, 2)).reshape(len(x), -1)


def digit_loop(first: Flow, second: Flow, x: Points, split: Split) -> dict[str, np.ndarray]:
    """Pictures [n, 8, 8] in grey values: digits, their translations, and what comes back."""
    there = translate(first, second, x)
    rows = {"digit": x, "translated": there, "back": translate(second, first, there)}
    return {name: split.preprocessing.inverse(p).reshape(-1, SIDE, SIDE).numpy() for name, p in rows.items()}
