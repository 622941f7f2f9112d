"""A planar velocity that depends on time, on lattices of several resolutions."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.errors import InputError
from pushforward.nets.lattice import _Spline, _weights
from pushforward.shapes import Points, Time

LEVELS = ((160, 0.96, 1), (96, 0.9, 3), (48, 0.7, 4), (22, 0.0, 8))  # as many numbers as an MLP 3 × 256


class TimeLattice(nn.Module):
    """v(t, x) = Σ_levels Σ_k hat_k(t) Σ_ab c_kab β(x₁/s − a) β(x₂/s − b): cubic splines in x, piecewise linear in t.

    A level of size s covers the times from its start to 1, and vanishes before: towards the data (t = 1) an
    interpolation grows details as fine as its noise level, and only there are the fine lattices needed. Control points
    start at zero; three rings of zeros around them let the field fade out at the border.

    Args:
        dim: must be 2.
        levels: (control points a side, start in [0, 1), intervals in time) of each level.
        radius, core: half the sides of the squares that noise (t = 0) and data (t = 1) fill. A level that starts at t
            covers √(radius² cos² + core² sin²) at the angle πt/2: no control point lies where nothing ever comes.

    Raises:
        InputError: dim is not 2, or a level without enough control points, a start or an interval.
    """

    def __init__(
        self, dim: int = 2, levels: Sequence[Sequence[float]] = LEVELS, radius: float = 4.0, core: float = 2.6
    ) -> None:
        super().__init__()
        if dim != 2:
            raise InputError(f"dim is {dim}, but a lattice velocity is planar: use 'mlp'")
        if not levels or any(len(level) != 3 for level in levels):
            raise InputError(f"levels is {levels}, expected at least one (size, start, intervals)")
        if any(size < 8 or not 0 <= start < 1 or intervals < 1 for size, start, intervals in levels):
            raise InputError(
                f"levels is {levels}, expected sizes from 8, starts in [0, 1) and at least one interval each"
            )
        if not (radius > 0 and core > 0):
            raise InputError(f"radius is {radius} and core {core}, expected positive numbers")
        self.dim, self.radius, self.core = dim, radius, core
        self.levels = tuple((int(size), float(start), int(intervals)) for size, start, intervals in levels)
        # A level that begins later is zero at its start; the first knot is a parameter where the start is 0.
        self.control = nn.ParameterList(
            nn.Parameter(torch.zeros(intervals + (start == 0), size, size, 2)) for size, start, intervals in self.levels
        )

    def settings(self) -> dict:
        """The arguments that rebuild this network."""
        return {"dim": 2, "levels": [list(level) for level in self.levels], "radius": self.radius, "core": self.core}

    def reach(self, level: int) -> float:
        """Half the side of the square that a level covers."""
        angle = math.pi / 2 * self.levels[level][1]
        return math.hypot(self.radius * math.cos(angle), self.core * math.sin(angle))

    def _knots(self, level: int) -> Tensor:
        """The lattice at every knot of a level, in its rings of zeros: [intervals + 1, size + 6, size + 6, 2]."""
        control, (_, start, _) = self.control[level], self.levels[level]
        return nn.functional.pad(control, (0, 0, 3, 3, 3, 3, int(start > 0), 0))

    def _hats(self, level: int, t: Tensor) -> tuple[Tensor, Tensor]:
        """The knot before t and the weight of the one after; before the start both belong to the knot of zeros."""
        _, start, intervals = self.levels[level]
        position = ((t - start) / (1 - start) * intervals).clamp(0, intervals)
        knot = position.floor().clamp(max=intervals - 1)
        return knot.long(), position - knot

    def forward(self, t: Time, x: Points) -> Points:
        """v(t, x) [n, 2], t a scalar or one time a point [n]."""
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).clamp(0, 1)
        if t.ndim == 0:
            return self.velocity_and_jacobian(t, x)[0]
        with torch.autocast(x.device.type, enabled=False):
            return sum(self._at_own_times(level, t, x) for level in range(len(self.levels)))

    def _at_own_times(self, level: int, t: Tensor, x: Points) -> Points:
        knots = self._knots(level)
        size = knots.shape[1]
        reach = self.reach(level)
        position = (x + reach) * ((size - 3) / (2 * reach))
        inside = ((position >= 0) & (position < size - 3)).all(1) & (t >= self.levels[level][1])
        rows = inside.nonzero()[:, 0]  # the fine levels see few of the times
        position = position[rows]
        corner = position.floor()
        space = _weights(position - corner)[0]  # [n, axis, 4]
        space = (space[:, 0, :, None] * space[:, 1, None, :]).flatten(1)
        knot, late = self._hats(level, t[rows])
        near, corner = torch.arange(4, device=x.device), corner.long()
        index = ((knot * size + corner[:, 0])[:, None] + near)[:, :, None] * size + (corner[:, 1, None] + near)[:, None]
        index = index.flatten(1)
        index = torch.cat([index, index + size * size], 1)
        weights = torch.cat([space * (1 - late)[:, None], space * late[:, None]], 1)
        v = nn.functional.embedding_bag(index, knots.flatten(0, 2), per_sample_weights=weights, mode="sum")
        return x.new_zeros(len(x), 2).index_put((rows,), v)

    def velocity_and_jacobian(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        """v [n, 2] and its Jacobian in x [n, 2, 2] at one time for all points."""
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device).clamp(0, 1)
        pieces = []
        with torch.autocast(x.device.type, enabled=False):
            for level, (_, start, _) in enumerate(self.levels):
                if t < start:
                    continue
                knots = self._knots(level)
                knot, late = self._hats(level, t)
                pieces.append(_Spline.apply(x, torch.lerp(knots[knot], knots[knot + 1], late), self.reach(level)))
        if not pieces:
            return torch.zeros_like(x), x.new_zeros(len(x), 2, 2)
        return sum(v for v, _ in pieces), sum(jacobian for _, jacobian in pieces)

    def velocity_and_divergence(self, t: Time, x: Points) -> tuple[Points, Tensor]:
        """v [n, 2] and its exact divergence [n]."""
        v, jacobian = self.velocity_and_jacobian(t, x)
        return v, jacobian[:, 0, 0] + jacobian[:, 1, 1]
