"""Squares of 2 × 2 pixels become channels: the same numbers on a coarser grid."""

import math
from collections.abc import Sequence

from pushforward.errors import InputError
from pushforward.flows.bijection import Bijection
from pushforward.implicit.convnet import check_shape
from pushforward.shapes import PerPoint, Points


class Squeeze(Bijection):
    """Images [c, h, w] laid out flat to images [4c, h/2, w/2]: a permutation, of log-determinant 0.

    Channel 4i + 2j + k of the result holds the pixels of channel i at row parity j and column parity k.
    Source: RealNVP (arXiv 1605.08803), section 3.6.

    Args:
        shape: c, h and w, with h and w even.

    Raises:
        InputError: a shape that is none, or an odd side.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = check_shape(shape)
        if self.shape[1] % 2 or self.shape[2] % 2:
            raise InputError(f"shape is {self.shape}, expected an even height and width: pad or crop the images")
        self.dim = math.prod(self.shape)

    @property
    def squeezed(self) -> tuple[int, int, int]:
        """4c, h/2 and w/2."""
        channels, height, width = self.shape
        return 4 * channels, height // 2, width // 2

    def settings(self) -> dict:
        """The arguments that rebuild this bijection."""
        return {"shape": list(self.shape)}

    def forward(self, x: Points) -> Points:
        channels, height, width = self.shape
        squares = x.reshape(-1, channels, height // 2, 2, width // 2, 2)
        return squares.permute(0, 1, 3, 5, 2, 4).flatten(1)

    def inverse(self, z: Points) -> Points:
        channels, height, width = self.shape
        squares = z.reshape(-1, channels, 2, 2, height // 2, width // 2)
        return squares.permute(0, 1, 4, 2, 5, 3).flatten(1)

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        return self(x), x.new_zeros(len(x))
