"""What an autoencoder is and how it is trained, as a YAML file holds it."""

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.errors import InputError
from pushforward.fit import FitConfig


@dataclass(frozen=True)
class VAE:
    """Settings of a convolutional variational autoencoder (Kingma and Welling, arXiv 1312.6114).

    JKO-iFlow's codes have 20 dimensions for MNIST and 192 for CIFAR-10 and ImageNet-32; its networks are not stated.

    Args:
        latent: dimension k of a code.
        channels: of the images after each halving, so that their number is that of the halvings.
        beta: weight of the divergence from the prior (1: the loss is a bound on −log p, in nats).
        noise: standard deviation σ of a pixel about the decoded one; None: the best for the images at hand
            (arXiv 2006.13202).
        fit: the optimiser's settings.

    Raises:
        InputError: a setting out of its range.
    """

    latent: int = 20
    channels: tuple[int, ...] = (32, 64)
    beta: float = 1.0
    noise: float | None = None
    fit: FitConfig = field(default_factory=lambda: FitConfig(iterations=2000, batch=128, lr=2e-3))

    name: ClassVar[str] = "vae"
    algorithm_version: ClassVar[int] = 1  # raise it when the same settings would train another network

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # a list, as a YAML file has it
        if self.latent < 1:
            raise InputError(f"latent is {self.latent}, expected at least one dimension of a code")
        if not self.channels or min(self.channels) < 1:
            raise InputError(f"channels are {self.channels}, expected one or more positive numbers such as (32, 64)")
        if not self.beta >= 0:
            raise InputError(f"beta is {self.beta}, expected a weight of 0 or more")
        if self.noise is not None and not self.noise > 0:
            raise InputError(f"noise is {self.noise}, expected a positive standard deviation, or None for the best")
