"""Grey-scale pictures as laws on [−4, 4]²: a Gaussian of half a pixel pitch at every inked pixel."""

import math
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pushforward.distributions.base import Distribution, Entropy, chunked, pick
from pushforward.distributions.quadrature import refined
from pushforward.errors import DataError, InputError
from pushforward.shapes import PerPoint, Points

HALF_WIDTH = 4.0
TINY = 1e-250  # below it the product of kernels loses digits to underflow, and log-sum-exp takes over
NODES_PER_PITCH = (4, 6)  # of the two entropy grids


class ImageDensity(Distribution):
    """Σ_ij w_ij N((x_j, y_i), diag(s_x², s_y²)): w a picture, x_j and y_i linspaces of [−4, 4], s half their pitch.

    Source: xu2023 (arXiv 2212.14424), official code.

    Args:
        weights: [h, w] with h, w ≥ 2, not negative; row i stands at height y_i (upwards), column j at x_j.
        name: shown in tables.

    Raises:
        InputError: another shape, NaN, negative numbers, or no ink at all.
    """

    dim = 2

    def __init__(self, weights: Tensor, name: str = "image") -> None:
        weights = torch.as_tensor(weights, dtype=torch.float64)
        if weights.ndim != 2 or min(weights.shape) < 2:
            raise InputError(f"weights has shape {tuple(weights.shape)}, expected (h, w), both at least 2")
        if not torch.isfinite(weights).all() or (weights < 0).any():
            raise InputError("weights holds NaN, infinite or negative numbers, expected the ink of each pixel, ≥ 0")
        if not (weights > 0).any():
            raise InputError("weights are all zero, expected some ink: a constant picture is no law")
        self.name = name
        self.weights = weights / weights.sum()
        self._y, self._x = (_centres(count) for count in weights.shape)
        self._scales = torch.stack([_pitch(self._x), _pitch(self._y)]) / 2
        self._rows, self._columns = self.weights.nonzero(as_tuple=True)

    @classmethod
    def from_image(cls, picture: str | PathLike | np.ndarray | Tensor, name: str | None = None) -> "ImageDensity":
        """The law of a picture: grey values, rotated by 180°, weights = max − value; dark is dense.

        With y upwards the picture stands upright, and left and right are exchanged: its first row is at the top, its
        first column at the right.

        Args:
            picture: a file that PIL reads, or an array [h, w] or [h, w, 3] (colours are averaged).
            name: shown in tables; the file's stem, or "image".

        Raises:
            DataError: the file is missing or is not a picture.
            InputError: the array is empty, of another shape, holds NaN, or is constant.
        """
        if isinstance(picture, str | PathLike):
            name = name or Path(picture).stem
            picture = _read(Path(picture))
        grey = _grey(picture)
        return cls(torch.as_tensor(np.ascontiguousarray(grey.max() - np.rot90(grey, 2))), name or "image")

    @property
    def _width(self) -> int:
        return sum(self.weights.shape)

    def _draw(self, n: int, generator: torch.Generator | None) -> Points:
        pixel = pick(self.weights[self._rows, self._columns], n, generator)
        centre = torch.stack([self._x[self._columns[pixel]], self._y[self._rows[pixel]]], 1)
        return centre + self._scales * torch.randn(n, 2, generator=generator, dtype=torch.float64)

    def _log_density(self, x: Points) -> PerPoint:
        # The kernel is a product, so the double sum is a(y)ᵀ W b(x): a and b are scaled to have maximum 1
        sx, sy = self._scales.tolist()
        column = -0.5 * ((x[:, :1] - self._x.to(x)) / sx).square()
        row = -0.5 * ((x[:, 1:] - self._y.to(x)) / sy).square()
        top_column, top_row = column.amax(1, keepdim=True), row.amax(1, keepdim=True)
        inked = (row - top_row).exp() @ self.weights.to(x)
        total = (inked * (column - top_column).exp()).sum(1)
        far = total < TINY
        log_total = torch.where(far, 1.0, total).log() + (top_column + top_row).squeeze(1)
        if far.any():
            log_total = log_total.index_put((far,), chunked(self._log_sum, x[far], len(self._rows)))
        return log_total - math.log(2 * math.pi) - float(self._scales.log().sum())

    def _log_sum(self, x: Points) -> PerPoint:
        """log Σ_m w_m exp(−|u − c_m|²/2) over the inked pixels one by one, in units of s: slower, right anywhere."""
        scales = self._scales.to(x)
        u = x / scales
        centre = torch.stack([self._x[self._columns], self._y[self._rows]], 1).to(x) / scales
        log_weight = self.weights[self._rows, self._columns].log().to(x)
        exponent = torch.addmm(log_weight - 0.5 * centre.square().sum(1), u, centre.T)  # the square, multiplied out
        top = exponent.amax(1)
        # a term below e^−60 of the largest changes no digit; without them this is 4 to 7 times faster than logsumexp
        row, pixel = (exponent > top[:, None] - 60).nonzero(as_tuple=True)
        total = torch.zeros_like(top).index_add(0, row, (exponent[row, pixel] - top[row]).exp())
        return total.log() + top - 0.5 * u.square().sum(1)

    def _find_entropy(self) -> Entropy:
        return refined(*(self._grid_entropy(nodes) for nodes in NODES_PER_PITCH))

    def _grid_entropy(self, nodes: int) -> float:
        """−Σ p log p on a grid of ``nodes`` per pitch, which is A W Bᵀ: two matrix products for the whole grid."""
        a, b = _kernel(self._y, nodes), _kernel(self._x, nodes)
        cell = math.prod((2 * self._scales / nodes).tolist())
        p = a @ self.weights @ b.T
        return -cell * float(torch.xlogy(p, p).sum())


def _centres(count: int) -> Tensor:
    return torch.linspace(-HALF_WIDTH, HALF_WIDTH, count, dtype=torch.float64)


def _pitch(centres: Tensor) -> Tensor:
    return (centres[-1] - centres[0]) / (len(centres) - 1)


def _kernel(centres: Tensor, nodes: int) -> Tensor:
    """N(grid; centre, (pitch/2)²) [g, k] on a grid of ``nodes`` per pitch that reaches 5 pitches = 10 sd outside."""
    pitch, reach = _pitch(centres), 5
    grid = torch.arange(-reach * nodes, (len(centres) - 1 + reach) * nodes + 1, dtype=torch.float64) / nodes
    steps = grid[:, None] - torch.arange(len(centres), dtype=torch.float64)
    return torch.exp(-2 * steps.square()) / (pitch / 2 * math.sqrt(2 * math.pi))


def _read(path: Path) -> np.ndarray:
    """A picture file as [h, w] or [h, w, 3]; transparent parts are laid on white."""
    try:
        with Image.open(path) as file:
            file.load()
            if file.mode in {"L", "F"} or file.mode.startswith("I"):
                return np.asarray(file)
            picture = file.convert("RGBA")
    except FileNotFoundError as error:
        raise DataError(f"no picture at {path}: check the path") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path} is not a picture that PIL can read ({error}): save it as PNG") from error
    white = Image.new("RGBA", picture.size, "white")
    return np.asarray(Image.alpha_composite(white, picture).convert("RGB"))


def _grey(picture: object) -> np.ndarray:
    """Any array as grey values [h, w], float64."""
    try:
        grey = np.asarray(picture, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"picture is a {type(picture).__name__}, expected a path or an array of numbers") from error
    if grey.ndim == 3 and grey.shape[2] == 3:
        grey = grey.mean(2)
    if grey.ndim != 2 or min(grey.shape) < 2:
        raise InputError(f"picture has shape {grey.shape}, expected (h, w) or (h, w, 3) with at least 2 × 2 pixels")
    if not np.isfinite(grey).all():
        raise InputError(f"picture has {np.count_nonzero(~np.isfinite(grey))} NaN or infinite pixels: repair them")
    if grey.max() == grey.min():
        raise InputError(f"picture is constant ({grey.max():g}), expected dark ink on a lighter ground")
    return grey
