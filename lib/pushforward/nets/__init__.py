"""Velocity networks. Each is called as ``v(t, x)``; where the mathematics allows, it also answers
``velocity_and_divergence(t, x)`` or ``velocity_and_jacobian(t, x)`` by a closed form that costs about one more pass.
One that answers ``restrict_(start, end)`` becomes, in place, the velocity of a part of its path.
"""

from pushforward.nets.gated import Gated
from pushforward.nets.graph import ChebyshevNet
from pushforward.nets.lattice import Lattice
from pushforward.nets.mlp import MLP
from pushforward.nets.potential import Potential
from pushforward.nets.time_lattice import TimeLattice

NETS = {
    "mlp": MLP,
    "lattice": Lattice,
    "time-lattice": TimeLattice,
    "gated": Gated,
    "potential": Potential,
    "chebyshev": ChebyshevNet,
}

__all__ = ["MLP", "NETS", "ChebyshevNet", "Gated", "Lattice", "Potential", "TimeLattice"]
