"""What every invertible map answers for, and the composition of several."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pushforward.shapes import Paths, PerPoint, Points


class Bijection(nn.Module, ABC):
    """An invertible map of R^d. ``forward`` always takes data to latent, in every family."""

    dim: int

    @abstractmethod
    def forward(self, x: Points) -> Points:
        """Data to latent: x [n, d] -> z [n, d]."""

    @abstractmethod
    def inverse(self, z: Points) -> Points:
        """Latent to data: z [n, d] -> x [n, d]."""

    @abstractmethod
    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        """z [n, d] and log |det dz/dx| [n]."""

    def path(self, x: Points, stops: int) -> Paths:
        """Points on the way from data to latent [stops, n, d], for figures; a plain map has only straight lines."""
        z = self(x)
        return torch.stack([torch.lerp(x, z, float(s)) for s in torch.linspace(0, 1, stops)])


class Chain(Bijection):
    """Bijections one after the other, the first nearest to the data."""

    def __init__(self, dim: int, blocks: Iterable[Bijection] = ()) -> None:
        super().__init__()
        self.dim = dim
        self.blocks = nn.ModuleList(blocks)

    def append(self, block: Bijection) -> None:
        """Put ``block`` at the latent end."""
        self.blocks.append(block)

    def forward(self, x: Points) -> Points:
        for block in self.blocks:
            x = block(x)
        return x

    def inverse(self, z: Points) -> Points:
        for block in reversed(self.blocks):
            z = block.inverse(z)
        return z

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        total: Tensor = x.new_zeros(len(x))
        for block in self.blocks:
            x, log_det = block.forward_and_log_det(x)
            total = total + log_det
        return x, total

    def path(self, x: Points, stops: int) -> Paths:
        """Every block's own path, ``stops`` points each, joined; [1 + k (stops − 1), n, d]."""
        pieces = [x[None]]
        for block in self.blocks:
            piece = block.path(x, stops)
            pieces.append(piece[1:])
            x = piece[-1]
        return torch.cat(pieces)
