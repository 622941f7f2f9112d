"""A law made of a bijection and a base: densities and samples are written here and nowhere else."""

import math
from pathlib import Path

import torch
from torch import nn

from pushforward.flows.bijection import Bijection
from pushforward.shapes import PerPoint, Points, check_points


def standard_normal_log_prob(z: Points) -> PerPoint:
    """log N(z; 0, I) in nats, z [n, d] -> [n]."""
    return -0.5 * z.square().sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)


class Flow(nn.Module):
    """The law of x when ``bijection.forward(x)`` is standard normal."""

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.bijection = bijection

    @property
    def dim(self) -> int:
        """Dimension d of the data."""
        return self.bijection.dim

    def log_prob(self, x: Points) -> PerPoint:
        """log p(x) = log N(T(x); 0, I) + log |det dT/dx| in nats, x [n, d] -> [n].

        Raises:
            InputError: x is not a finite floating tensor of shape (n, d).
        """
        x = check_points(x, self.dim)
        z, log_det = self.bijection.forward_and_log_det(x)
        return standard_normal_log_prob(z) + log_det

    def save(self, folder: Path | str) -> Path:
        """Write ``flow.json`` and ``flow.safetensors`` into ``folder``; ``pf.load(folder)`` reads them back."""
        from pushforward.flows.storage import save_flow  # storage knows every bijection, and this class

        return save_flow(self, folder)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Points:
        """n draws [n, d]; the noise is drawn on the CPU, so a seed gives the same points on every machine."""
        like = next(self.parameters(), None)
        if like is None:
            like = next(self.buffers(), torch.zeros(()))
        z = torch.randn(n, self.dim, generator=generator, dtype=like.dtype).to(like.device)
        return self.bijection.inverse(z)
