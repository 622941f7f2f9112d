"""The bound that the autoencoder minimises."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pushforward.objectives import Loss
from pushforward.shapes import Points

LOG_2PI = math.log(2 * math.pi)


class Coder(Protocol):
    """Encoder, decoder and log σ (None: not given), as ``VAENet`` has them."""

    log_noise: Tensor | None

    def encode(self, x: Points) -> tuple[Tensor, Tensor]: ...

    def decode(self, z: Points) -> Points: ...


@dataclass(frozen=True)
class EvidenceBound:
    """E[−log p(x | z)] + β KL(q(z | x) ‖ N(0, I)), nats per image, z drawn once from q(z | x) = N(mean, diag sd²).

    At β = 1 its expectation is −log p(x) plus KL(q(z | x) ‖ p(z | x)), so never below −log p(x). With
    x ~ N(decode(z), σ²I) on R^d the terms are

        reconstruction  |x − decode(z)|² / (2σ²) + d log σ + (d/2) log 2π,
        divergence      β Σ (mean² + sd² − 1 − 2 log sd) / 2,

    means over the images given. A σ that is not given is the best for them, σ² = mean |x − decode(z)|² / d: a learned
    number would be far from it for most of a short training.
    Source: arXiv 1312.6114, eqs. (3) and (10); the best σ: arXiv 2006.13202.
    """

    network: Coder
    beta: float = 1.0

    def __call__(self, x: Points, generator: torch.Generator) -> Loss:
        return self.loss(*self.parts(x, generator), x.shape[1])

    def parts(self, x: Points, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Means over the images of |x − decode(z)|² and of the divergence in nats, without β."""
        mean, log_sd = self.network.encode(x)
        missed = (x - self.network.decode(drawn(mean, log_sd, generator))).square().sum(1)
        return missed.mean(), (mean.square() + (2 * log_sd).exp() - 1 - 2 * log_sd).sum(1).mean() / 2

    def loss(self, missed: Tensor, divergence: Tensor, dim: int) -> Loss:
        """The two terms from their ``parts``, for images of d = ``dim`` pixels."""
        log_noise = self.network.log_noise
        if log_noise is None:
            log_noise = (missed / dim).log() / 2
        reconstruction = missed * (-2 * log_noise).exp() / 2 + dim * (log_noise + LOG_2PI / 2)
        return Loss({"reconstruction": reconstruction, "divergence": self.beta * divergence})


def drawn(mean: Tensor, log_sd: Tensor, generator: torch.Generator) -> Points:
    """One draw [n, k] from N(mean, diag sd²) a row; noise from a generator on the CPU."""
    return mean + log_sd.exp() * torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
