"""Root solvers, each with the fixed point behind it."""

from pushforward.implicit.solvers.anderson import Anderson
from pushforward.implicit.solvers.broyden import Broyden
from pushforward.implicit.solvers.fixed_point import FixedPoint
from pushforward.implicit.solvers.gmres import GMRES
from pushforward.implicit.solvers.newton import Newton, NewtonKrylov

SOLVERS = {
    "fixed-point": FixedPoint,
    "anderson": Anderson,
    "broyden": Broyden,
    "newton": Newton,
    "newton-krylov": NewtonKrylov,
}  # GMRES is missing on purpose: it solves affine residuals alone

__all__ = ["GMRES", "SOLVERS", "Anderson", "Broyden", "FixedPoint", "Newton", "NewtonKrylov"]
