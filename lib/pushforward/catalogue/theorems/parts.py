"""What one check of a claim found, and what *slack* means: the one number by which a claim holds or fails.

bound
    the smallest of (bound − measured) over the target's points and times, so that a claim holds where it is at least
    −1e-9, and an inequality that is attained shows a slack of about 0.
identity
    the tolerance minus the largest error; holds where it is at least 0.
equality
    1e-10 minus the largest |bound − measured| where the two should be the same number; holds where it is at least 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pushforward.distributions import GaussianMixture
from pushforward.errors import InputError
from pushforward.interpolation import Oracle, Schedule, Target
from pushforward.seeds import stream
from pushforward.shapes import Points

ROUNDING = 1e-9  # by which rounding and the solver may push a measured number beyond its bound
EQUAL = 1e-10  # between a bound and what attains it

PAPER = "the paper"  # statement seen in the paper
RECALLED = "the paper, as recalled"  # and verified here; its exact form there is not confirmed
DERIVED = "derived here"
KNOWN = "well known"  # and not marked as the paper's

Kind = Literal["bound", "identity", "equality"]


@dataclass(frozen=True)
class Grid:
    """How densely the claims are measured.

    Args:
        times: even times in [0, 1] at which bounds on gradients are compared.
        side: points along an axis of the grid over p_t, in two dimensions; ten times as many in one.
        points: random points, of p_t for identities and of the source for flow maps.
        errors: times at which the error of a perturbed velocity is integrated, odd.
        etas: sizes of the perturbation.
        starts: points along an axis of the grid over the source from which Jacobians of the flow map start, odd.
        rtols: the solver's tolerances in loops.
    """

    times: int = 41
    side: int = 61
    points: int = 50
    errors: int = 201
    etas: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01)
    starts: int = 31
    rtols: tuple[float, ...] = (1e-6, 1e-8)

    def evenly(self, count: int | None = None) -> Tensor:
        """``count`` (or ``times``) even times from 0 to 1."""
        return torch.linspace(0, 1, count or self.times, dtype=torch.float64)


def grid(settings: Mapping[str, Any]) -> Grid:
    """``Grid`` from plain settings, as a YAML file holds them.

    Raises:
        InputError: a setting that does not exist.
    """
    known = [field.name for field in fields(Grid)]
    unknown = [key for key in settings if key not in known]
    if unknown:
        raise InputError(f"grid has {', '.join(unknown)}, expected some of {', '.join(known)}")
    return Grid(**{key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()})


@dataclass(frozen=True)
class Part:
    """One statement of a claim on one target under one schedule. ``slack`` is defined above."""

    claim: str
    schedule: str
    target: str
    statement: str
    source: str
    kind: Kind
    slack: float
    tolerance: float

    @property
    def least(self) -> float:
        """The smallest slack with which the part holds."""
        return -self.tolerance if self.kind == "bound" else 0.0

    @property
    def error(self) -> float:
        """The largest error of an identity or of an equality."""
        return self.tolerance - self.slack


@dataclass(frozen=True)
class Maker:
    """Makes the parts of one claim on one target under one schedule."""

    claim: str
    schedule: Schedule
    target: Target

    def bound(self, statement: str, source: str, gaps: object) -> Part:
        """``gaps``: bound − measured, an array or a number."""
        return self._part(statement, source, "bound", smallest(gaps), ROUNDING)

    def identity(self, statement: str, source: str, errors: object, tolerance: float) -> Part:
        """``errors``: absolute errors, an array or a number."""
        return self._part(statement, source, "identity", tolerance - largest(errors), tolerance)

    def equality(self, statement: str, source: str, gaps: object) -> Part:
        """``gaps``: bound − measured where they should agree."""
        return self._part(statement, source, "equality", EQUAL - largest(gaps), EQUAL)

    def _part(self, statement: str, source: str, kind: Kind, slack: float, tolerance: float) -> Part:
        return Part(self.claim, self.schedule.name, self.target.name, statement, source, kind, slack, tolerance)


def largest(values: object) -> float:
    """The largest absolute value; NaN if there is one."""
    return float(np.max(np.abs(_array(values))))


def smallest(values: object) -> float:
    """The smallest value; NaN if there is one."""
    return float(np.min(_array(values)))


def _array(values: object) -> np.ndarray:
    parts = values if isinstance(values, list | tuple) else [values]
    return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts])


def draws(oracle: Oracle, t: float, n: int) -> Points:
    """n draws of p_t [n, d], float64, the same at every call."""
    return oracle.sample(t, n, stream(0, f"theorems: p_t at {t:.6f}"), torch.float64)


def noise(n: int, dim: int) -> Points:
    """n standard normal points [n, d], float64, the same at every call."""
    return torch.randn(n, dim, generator=stream(0, "theorems: noise"), dtype=torch.float64)


def marginal(law: GaussianMixture, schedule: Schedule, t: float) -> GaussianMixture:
    """p_t, the law of a Z + b X_1, itself a mixture."""
    a2, b = float(schedule.a2(t)), float(schedule.b(t))
    eye = torch.eye(law.dim, dtype=torch.float64)
    return GaussianMixture(law.weights, b * law.means, a2 * eye + b**2 * covariances(law), name=f"{law.name} at {t:g}")


def covariances(law: GaussianMixture) -> Tensor:
    """Of the components [k, d, d]."""
    return law.roots @ law.roots.mT


def second_moment(law: GaussianMixture) -> float:
    """E|X_1|²."""
    return float(law.weights @ (law.means.square().sum(1) + covariances(law).diagonal(dim1=1, dim2=2).sum(1)))


def is_symmetric_pair(target: Target) -> bool:
    """Two equal components at ±μ: the mixture bounds are attained at x = 0."""
    law = target.law
    return law is not None and len(law.weights) == 2 and bool((law.means.sum(0).abs() == 0).all()) and _equal(law)


def _equal(law: GaussianMixture) -> bool:
    return bool(law.weights[0] == law.weights[1]) and bool((law.roots[0] == law.roots[1]).all())


def is_gaussian(target: Target) -> bool:
    """One component: the bounds by κ and β are attained everywhere."""
    return target.law is not None and len(target.law.weights) == 1
