"""Roots of implicit blocks and their gradients: every solve certified, none silent."""

from pushforward.implicit.activations import LipSwish, Sin
from pushforward.implicit.audit import Audit
from pushforward.implicit.convnet import LipschitzConv
from pushforward.implicit.gradient import implicit_root
from pushforward.implicit.lipschitz import Lipschitz, LipschitzMLP, SpectralConv2d, update_norms
from pushforward.implicit.log_det import Exact, LogDet, Neumann, Recomputed, Roulette, Truncated
from pushforward.implicit.parts import build_network, build_part, describe_network, describe_part
from pushforward.implicit.root import RootResult, RootSolver, solve_or_raise
from pushforward.implicit.solvers import GMRES, SOLVERS, Anderson, Broyden, FixedPoint, Newton, NewtonKrylov
from pushforward.implicit.tails import Geometric, Poisson, Tail, second_moment

__all__ = [
    "GMRES",
    "SOLVERS",
    "Anderson",
    "Audit",
    "Broyden",
    "Exact",
    "FixedPoint",
    "Geometric",
    "LipSwish",
    "Lipschitz",
    "LipschitzConv",
    "LipschitzMLP",
    "LogDet",
    "Neumann",
    "Newton",
    "NewtonKrylov",
    "Poisson",
    "Recomputed",
    "RootResult",
    "RootSolver",
    "Roulette",
    "Sin",
    "SpectralConv2d",
    "Tail",
    "Truncated",
    "build_network",
    "build_part",
    "describe_network",
    "describe_part",
    "implicit_root",
    "second_moment",
    "solve_or_raise",
    "update_norms",
]
