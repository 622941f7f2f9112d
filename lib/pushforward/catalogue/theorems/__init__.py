"""Gaussian interpolation flows, theorem by theorem: what is measured, and by how much it stays within its bound."""

from pushforward.catalogue.theorems.parts import Grid, Part, grid
from pushforward.catalogue.theorems.study import CLAIMS, Claim, Study

__all__ = ["CLAIMS", "Claim", "Grid", "Part", "Study", "grid"]
