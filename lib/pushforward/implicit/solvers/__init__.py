"""Root solvers, each with the fixed point behind it."""

from pushforward.implicit.solvers.anderson import Anderson
from pushforward.implicit.solvers.broyden import Broyden
from pushforward.implicit.solvers.direct import Direct
from pushforward.implicit.solvers.fixed_point import FixedPoint
from pushforward.implicit.solvers.gmres import GMRES
from pushforward.implicit.solvers.newton import Newton, NewtonKrylov

SOLVERS = {
    "fixed-point": FixedPoint,
    "anderson": Anderson,
    "broyden": Broyden,
    "newton": Newton,
    "newton-krylov": NewtonKrylov,
}  # Direct and GMRES are missing on purpose: they solve affine residuals alone

__all__ = ["GMRES", "SOLVERS", "Anderson", "Broyden", "Direct", "FixedPoint", "Newton", "NewtonKrylov"]
