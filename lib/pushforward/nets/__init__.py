"""Velocity networks. Each is called as ``v(t, x)``; where the mathematics allows, it also answers
``velocity_and_divergence(t, x)`` or ``velocity_and_jacobian(t, x)`` by a closed form that costs about one more pass.
"""

from pushforward.nets.gated import Gated
from pushforward.nets.lattice import Lattice
from pushforward.nets.mlp import MLP
from pushforward.nets.time_lattice import TimeLattice

NETS = {"mlp": MLP, "lattice": Lattice, "time-lattice": TimeLattice, "gated": Gated}

__all__ = ["MLP", "NETS", "Gated", "Lattice", "TimeLattice"]
