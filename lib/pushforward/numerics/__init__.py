"""ODE solvers, divergences and Jacobians: mathematics that knows nothing of flows."""

from pushforward.numerics.divergence import Divergence, Exact, FiniteDifference, Hutchinson
from pushforward.numerics.jacobian import velocity_and_jacobian
from pushforward.numerics.ode import Adaptive, FixedGrid, Solver

__all__ = [
    "Adaptive",
    "Divergence",
    "Exact",
    "FiniteDifference",
    "FixedGrid",
    "Hutchinson",
    "Solver",
    "velocity_and_jacobian",
]
