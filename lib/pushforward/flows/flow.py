"""A law made of a bijection and a base: densities and samples are written here and nowhere else."""

import math
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from pushforward.errors import InputError
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
            InputError: x is not a finite floating tensor of shape (n, d), or of another dtype or device than the flow.
        """
        x, like = check_points(x, self.dim), self._tensor()
        if like is not None and (x.dtype, x.device) != (like.dtype, like.device):
            raise InputError(
                f"x is {x.dtype} on {x.device}, expected {like.dtype} on {like.device} like the flow: "
                "move one to the other, as in x.to(device, dtype) or flow.to(device, dtype)"
            )
        z, log_det = self.bijection.forward_and_log_det(x)
        return standard_normal_log_prob(z) + log_det

    def save(self, folder: Path | str) -> Path:
        """Write ``flow.json`` and ``flow.safetensors`` into ``folder``; ``pf.load(folder)`` reads them back."""
        from pushforward.flows.storage import save_flow  # storage knows every bijection, and this class

        return save_flow(self, folder)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Points:
        """n draws [n, d]; the noise is drawn on the CPU, so a seed gives the same points on every machine.

        Raises:
            InputError: n is not a positive integer.
        """
        if not isinstance(n, int) or n < 1:
            raise InputError(f"n is {n!r}, expected a positive integer: the number of points to draw")
        like = self._tensor()
        like = torch.zeros(()) if like is None else like
        z = torch.randn(n, self.dim, generator=generator, dtype=like.dtype).to(like.device)
        return self.bijection.inverse(z)

    def _tensor(self) -> Tensor | None:
        """A floating tensor of the flow, whose dtype and device all others share; None if it has none."""
        return next((t for t in chain(self.parameters(), self.buffers()) if t.is_floating_point()), None)
