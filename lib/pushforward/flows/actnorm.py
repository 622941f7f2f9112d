"""A scale and a shift a channel, trained, that start by standardising the first batch."""

import torch
from torch import Tensor, nn

from pushforward.errors import InputError
from pushforward.flows.bijection import Bijection
from pushforward.shapes import PerPoint, Points


class ActNorm(Bijection):
    """z = (x − m) exp(s), with m and s one number a channel; log |det dz/dx| = (d / channels) Σ s.

    The first batch met in training gives m and s (``initialise``), so that z has mean 0 and standard deviation
    ``spread`` in every channel of it; from then on both are trained like any parameter. Before, it is the identity.
    Source: Glow (arXiv 1807.03039), section 3.1.

    Args:
        dim: dimension d of the points.
        channels: how many equal, contiguous runs of coordinates share their m and s; every coordinate its own if None.
            An image [c, h, w] laid out flat has ``channels=c``.
        spread: the standard deviation that the first batch is given. For a block whose networks oscillate with period
            1, as those of ``Sin`` do, it says how many oscillations the data spans.

    Raises:
        InputError: d is no multiple of ``channels``, or ``spread`` is not positive.
    """

    def __init__(self, dim: int, channels: int | None = None, spread: float = 1.0) -> None:
        super().__init__()
        self.dim, self.channels = dim, dim if channels is None else channels
        if self.channels < 1 or dim % self.channels:
            raise InputError(f"channels is {channels}, expected a divisor of the dimension {dim}")
        if not spread > 0:
            raise InputError(f"spread is {spread}, expected a positive standard deviation")
        self.spread = spread
        self.shift = nn.Parameter(torch.zeros(self.channels))
        self.log_scale = nn.Parameter(torch.zeros(self.channels))
        self.register_buffer("initialised", torch.tensor(False))

    def settings(self) -> dict:
        """The arguments that rebuild this bijection."""
        return {"dim": self.dim, "channels": self.channels, "spread": self.spread}

    @torch.no_grad()
    def initialise(self, x: Points) -> None:
        """Set m and s to the mean and the log of ``spread`` over the standard deviation of the points x [n, d].

        Raises:
            InputError: a channel that is constant over x.
        """
        sd, mean = torch.std_mean(x.reshape(len(x), self.channels, -1), dim=(0, 2), correction=0)
        constant = ~(sd > 10 * torch.finfo(x.dtype).eps * mean.abs())  # the rest is rounding; NaN is caught too
        if constant.any():
            raise InputError(
                f"channel {int(constant.nonzero()[0])} has standard deviation {float(sd[constant][0]):g} over {len(x)} "
                "points, expected a positive one: use more points, or drop or dequantise constant coordinates"
            )
        self.shift.copy_(mean)
        self.log_scale.copy_((self.spread / sd).log())
        self.initialised.fill_(True)

    def forward(self, x: Points) -> Points:
        return self.forward_and_log_det(x)[0]

    def inverse(self, z: Points) -> Points:
        return z * (-self._each(self.log_scale)).exp() + self._each(self.shift)

    def forward_and_log_det(self, x: Points) -> tuple[Points, PerPoint]:
        if self.training and not self.initialised:
            self.initialise(x)
        log_scale = self._each(self.log_scale)
        return (x - self._each(self.shift)) * log_scale.exp(), log_scale.sum().expand(len(x))

    def _each(self, values: Tensor) -> Tensor:
        """One number a channel [channels] to one a coordinate [d]."""
        return values.repeat_interleave(self.dim // self.channels)
