"""What one check of a claim found; *slack* means what it means for the interpolation theorems (``theorems.parts``)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pushforward.catalogue.settings import family
from pushforward.catalogue.theorems.parts import (
    DERIVED,
    EQUAL,
    PAPER,
    ROUNDING,
    Kind,
    largest,
    smallest,
)
from pushforward.errors import InputError

__all__ = ["DERIVED", "EQUAL", "PAPER", "ROUNDING", "Maker", "Part", "Sizes", "largest", "sizes", "smallest"]


@dataclass(frozen=True)
class Sizes:
    """On how much the claims are measured.

    Args:
        nets: random pairs of networks a dimension.
        points: points at each.
        starts: starts of every solve in T1.
        dims: dimensions.
        coeff: norm of every layer of the random networks, which have three.
        tolerances: at which solvers are stopped, and their certificates compared with the truth.

    Raises:
        InputError: a number below 1, or no dimension.
    """

    nets: int = 4
    points: int = 100
    starts: int = 8
    dims: tuple[int, ...] = (1, 2, 5)
    coeff: float = 0.99
    tolerances: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-10)

    def __post_init__(self) -> None:
        if min(self.nets, self.points, self.starts, *self.dims) < 1 or not self.dims or not self.tolerances:
            raise InputError(f"{self}: expected whole numbers from 1 on, and at least one dimension and tolerance")


def sizes(settings: Mapping[str, Any]) -> Sizes:
    """``Sizes`` from plain settings, as a YAML file holds them.

    Raises:
        InputError: a setting that does not exist, or out of its range.
    """
    return family(Sizes, settings)


@dataclass(frozen=True)
class Part:
    """One statement of a claim for one method (a family with its number of blocks, or a solver)."""

    claim: str
    method: str
    statement: str
    source: str
    kind: Kind
    slack: float
    tolerance: float

    @property
    def least(self) -> float:
        """The smallest slack with which the part holds."""
        return -self.tolerance if self.kind == "bound" else 0.0


@dataclass(frozen=True)
class Maker:
    """Makes the parts of one claim for one method."""

    claim: str
    method: str

    def bound(self, statement: str, source: str, gaps: object) -> Part:
        """``gaps``: bound − measured, an array or a number."""
        return Part(self.claim, self.method, statement, source, "bound", smallest(gaps), ROUNDING)

    def identity(self, statement: str, source: str, errors: object, tolerance: float) -> Part:
        """``errors``: absolute errors, an array or a number."""
        return Part(self.claim, self.method, statement, source, "identity", tolerance - largest(errors), tolerance)

    def equality(self, statement: str, source: str, gaps: object) -> Part:
        """``gaps``: bound − measured where they should agree."""
        return Part(self.claim, self.method, statement, source, "equality", EQUAL - largest(gaps), EQUAL)
