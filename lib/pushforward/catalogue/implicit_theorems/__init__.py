"""Implicit flows, claim by claim: what is measured, and by how much it stays within its bound (arXiv 2103.09527)."""

from pushforward.catalogue.implicit_theorems.line import LineFit, fit_line
from pushforward.catalogue.implicit_theorems.parts import Part, Sizes, sizes
from pushforward.catalogue.implicit_theorems.study import CLAIMS, Claim, Study

__all__ = ["CLAIMS", "Claim", "LineFit", "Part", "Sizes", "Study", "fit_line", "sizes"]
