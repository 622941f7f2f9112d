"""Is the map a bijection, is the density one, and how far do points travel."""

import math
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pushforward.errors import InputError, NonFinite
from pushforward.flows.bijection import Bijection
from pushforward.flows.flow import Flow
from pushforward.metrics.estimate import check_log_prob, check_pair, in_batches
from pushforward.metrics.likelihood import Density
from pushforward.shapes import Points, check_points

Box = tuple[tuple[float, float], tuple[float, float]]
NEGLIGIBLE = 3e-5  # of all mass, if the whole box had no more than this density times its area


class RoundTrip(NamedTuple):
    """The error e = T⁻¹(T(x)) − x over ``n`` points, in three norms."""

    max_abs: float  # largest |e| over points and coordinates
    rms: float  # √ mean over points of the squared Euclidean norm |e|²
    half_mean_square: float  # ½ mean |e|², the number of the official JKO-iFlow code
    n: int


def round_trip(flow: Flow | Bijection, x: Points, batch: int = 4096) -> RoundTrip:
    """How far data → latent → data ends from x [n, d]. Source: xu2023, official code and Table 1.

    Raises:
        InputError: x is not a finite floating tensor (n, d).
        NonFinite: a point comes back NaN or infinite.
    """
    bijection = flow.bijection if isinstance(flow, Flow) else flow
    x = check_points(x, bijection.dim)
    back = in_batches(lambda part: bijection.inverse(bijection(part)), x, batch)
    lost = ~torch.isfinite(back).all(1)
    if lost.any():
        raise NonFinite(
            f"round trip: {int(lost.sum())} of {len(x)} points come back NaN or infinite, the first is row "
            f"{int(lost.nonzero()[0])}: the inverse overflows there; take more steps or a tighter tolerance"
        )
    error = back.double() - x.double()
    mean_square = float(error.square().sum(1).mean())
    return RoundTrip(float(error.abs().max()), math.sqrt(mean_square), mean_square / 2, len(x))


def integral(
    density: Density, box: Box = ((-6.0, 6.0), (-6.0, 6.0)), resolution: int = 500, batch: int = 16384
) -> float:
    """∫ exp(log p) over a 2-D box by the midpoint rule on resolution × resolution cells; 1 for a density that fits in.

    On a smooth density the rule converges faster than any power: cells up to 1.5 standard deviations of the finest
    Gaussian detail leave 2e-4, coarser ones soon leave per cents. The cells are those of ``density_grid``, summed in
    float64.

    Raises:
        InputError: the density is not 2-D, the box is empty, or resolution is below one.
        NonFinite: a log density on the grid is NaN or +inf.
    """
    area = math.prod((high - low) / resolution for low, high in box) if resolution > 0 else 0.0
    return float(density_grid(density, box, resolution, batch).sum()) * area


def density_grid(density: Density, box: Box, resolution: int, batch: int = 16384) -> Tensor:
    """exp(log p) at the cell centres of a grid over a 2-D box [resolution, resolution], float64; along x, then y.

    Evaluated in the dtype of the density's parameters (float64 if it has none). First in the middle of every block of
    3 × 3 cells: where the middles of a block and of the eight around it are so low that a box of that density would
    hold less than 3e-5, its other cells are taken to be 0. So all that is left out is less than that, unless a detail
    with sharp edges, at most three cells wide, hides between the middles.

    Raises:
        InputError: the density is not 2-D, the box is empty, or resolution is below one.
        NonFinite: a log density is NaN or +inf, in a cell that is looked at.
    """
    if getattr(density, "dim", 2) != 2:
        raise InputError(f"the density has dimension {density.dim}, expected 2: a grid covers the plane only")
    if resolution < 1 or any(not low < high for low, high in box):
        raise InputError(f"box is {box} with resolution {resolution}, expected low < high and at least one cell")
    like = _parameter(density)
    cells = torch.arange(resolution, dtype=torch.float64) + 0.5
    grid = torch.cartesian_prod(*(cells * ((high - low) / resolution) + low for low, high in box)).to(like)
    values = torch.zeros(resolution, resolution, dtype=torch.float64, device=grid.device)
    middles = (torch.arange(0, resolution, 3) + 1).clamp_max(resolution - 1)
    looked_at = torch.zeros(resolution, resolution, dtype=torch.bool)
    looked_at[middles[:, None], middles] = True

    def fill(chosen: Tensor) -> None:
        rows = chosen.flatten().nonzero()[:, 0].to(grid.device)
        if len(rows):
            log_prob = check_log_prob(in_batches(density.log_prob, grid[rows], batch), allow_zero_density=True)
            values.view(-1)[rows] = log_prob.double().exp()

    fill(looked_at)
    area = math.prod(high - low for low, high in box)
    fill(_near_mass(values[middles[:, None], middles].cpu() * area > NEGLIGIBLE, resolution) & ~looked_at)
    return values


def _near_mass(mass: Tensor, resolution: int) -> Tensor:
    """Cells [r, r] of the blocks with ``mass``, or beside one that has."""
    wide = nn.functional.max_pool2d(mass.float()[None, None], 3, 1, 1)[0, 0] > 0
    block = torch.arange(resolution) // 3
    return wide[block][:, block]


def _parameter(density: Density) -> Tensor:
    """A floating tensor of the density, whose dtype and device it computes in."""
    tensors = chain(density.parameters(), density.buffers()) if isinstance(density, nn.Module) else ()
    return next((t for t in tensors if t.is_floating_point()), torch.zeros((), dtype=torch.float64))


def movement(x: Points, y: Points) -> float:
    """Mean squared displacement mean |y − x|², x and y [n, d] row by row; its root is S_k of xu2023 §4.2.

    Raises:
        InputError: x or y is not a finite floating tensor (n, d), or their shapes differ.
    """
    x, y = check_pair(x, y, equal_length=True)
    return float((y - x).square().sum(1).mean())


def movement_ratio(x: Points, y: Points) -> float:
    """mean |y − x|² / mean |y|², the stopping rule for a block that sends x to y [n, d]. Source: xu2023 Alg. 1.

    Raises:
        InputError: as ``movement``, or every y is the origin.
    """
    size = movement(torch.zeros_like(y), y)
    if size == 0:
        raise InputError("y is zero everywhere, expected points with some spread: the ratio is 0 / 0")
    return movement(x, y) / size
