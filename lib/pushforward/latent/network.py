"""The networks of the autoencoder: halvings with convolutions on the way in, doublings on the way out."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pushforward.latent.settings import VAE
from pushforward.shapes import Points


class VAENet(nn.Module):
    """Encoder and decoder between images as flat points [n, c·h·w] of values in [0, 1] and codes [n, k].

    The model: z ~ N(0, I), x ~ N(decode(z), σ²I); the encoder's law of z given x is N(mean, diag sd²).
    """

    def __init__(self, settings: VAE, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        sizes = [self.shape[1:]]
        for _ in settings.channels:
            sizes.append(tuple(-(-size // 2) for size in sizes[-1]))
        widths = [self.shape[0], *settings.channels]
        self.inner = (widths[-1], *sizes[-1])
        self.inward = nn.Sequential(
            *(part for a, b in zip(widths[:-1], widths[1:], strict=True) for part in _convolved(a, b, stride=2))
        )
        self.to_code = nn.Linear(math.prod(self.inner), 2 * settings.latent)
        self.from_code = nn.Linear(settings.latent, math.prod(self.inner))
        widths = [*reversed(settings.channels), settings.channels[0]]
        self.outward = nn.Sequential(
            *(
                part
                for a, b, size in zip(widths[:-1], widths[1:], reversed(sizes[:-1]), strict=True)
                for part in (nn.Upsample(size=size), *_convolved(a, b))
            ),
            nn.Conv2d(widths[-1], self.shape[0], 3, padding=1),
            nn.Sigmoid(),
        )
        noise = settings.noise
        self.register_buffer("log_noise", None if noise is None else torch.tensor(math.log(noise)))

    def encode(self, x: Points) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation, both [n, k], of the law of the codes of images x [n, c·h·w]."""
        return self.to_code(self.inward(x.unflatten(1, self.shape)).flatten(1)).chunk(2, 1)

    def decode(self, z: Points) -> Points:
        """Images [n, c·h·w] with values in [0, 1] of codes z [n, k]."""
        return self.outward(self.from_code(z).unflatten(1, self.inner)).flatten(1)


def _convolved(channels: int, out: int, stride: int = 1) -> tuple[nn.Module, ...]:
    # One group: the size of a picture's activations is normalised, their differences between channels are kept.
    return nn.Conv2d(channels, out, 3, stride=stride, padding=1), nn.GroupNorm(1, out), nn.SiLU()
