"""Train an autoencoder, once; turn images into codes and codes into images."""

from dataclasses import dataclass
from pathlib import Path

import torch

from pushforward.datasets import Labelled, Split
from pushforward.datasets.preprocessing import Scale
from pushforward.devices import pick_device
from pushforward.errors import InputError
from pushforward.fit import FitHistory, fit
from pushforward.latent.network import VAENet
from pushforward.latent.objective import EvidenceBound, drawn
from pushforward.latent.settings import VAE
from pushforward.remembered import Remembered, remembered
from pushforward.seeds import seeded, stream
from pushforward.shapes import Points, check_points

CHUNK = 500  # images at a time


@dataclass(frozen=True)
class AutoEncoder(Remembered):
    """A trained autoencoder; ``split`` are its images."""

    network: VAENet
    split: Labelled

    @torch.no_grad()
    def encode(self, x: Points, generator: torch.Generator | None = None) -> Points:
        """Codes [n, k] of images [n, d]: draws from the encoder's law, or without a generator its means.

        Raises:
            InputError: x is not finite floating (n, d).
        """
        codes = []
        for part in check_points(x, self.split.dim).split(CHUNK):
            mean, log_sd = self.network.encode(part)
            codes.append(mean if generator is None else drawn(mean, log_sd, generator))
        return torch.cat(codes)

    @torch.no_grad()
    def decode(self, z: Points) -> Points:
        """Images [n, d] with values in [0, 1] of codes [n, k]; InputError if z is not finite floating (n, k)."""
        z = check_points(z, self.latent, "z")
        return torch.cat([self.network.decode(part) for part in z.split(CHUNK)])

    @property
    def latent(self) -> int:
        """Dimension k of a code."""
        return self.network.from_code.in_features

    def codes(self, seed: int = 0, draws: int = 1) -> Split:
        """The codes of the images, part by part, as data for a flow: one draw for each image, or ``draws`` of training.

        Their law is the aggregate posterior: it has a density whatever the images, and where a flow has learned it,
        decoded samples of the flow are distributed as reconstructions are. More draws show more of that law, and hold
        a flow back from learning single codes.

        Raises:
            InputError: ``draws`` is below one.
        """
        if draws < 1:
            raise InputError(f"draws is {draws}, expected at least one code for each training image")
        data, parts = self.split, {}
        for part, count in (("train", draws), ("val", 1), ("test", 1)):
            x, generator = data.part(part)[0], stream(seed, f"codes/{part}")
            parts[part] = torch.cat([self.encode(x, generator) for _ in range(count)])
        source = f"codes of an autoencoder trained on {data.label}; the images: {data.source}"
        return Split(
            **parts, name=f"{data.name}-codes", source=source, licence=data.licence, preprocessing=Scale(self.latent)
        )


def train(
    settings: VAE, data: Labelled, *, seed: int = 0, device: str = "auto", checkpoint: Path | None = None
) -> tuple[VAENet, FitHistory]:
    """The network of the last iteration, on the CPU and in evaluation mode, with what training saw.

    Args:
        settings: of the networks and the optimiser; they are chosen on validation images, never on test images.
        data: the images; their labels are not looked at.
        seed: of the initial weights, the minibatches and the draws of codes.
        device: ``auto`` takes the accelerator where there is one.
        checkpoint: where the state is saved on the way, and from where it goes on.

    Raises:
        InputError: a device that cannot be used.
        NonFinite: the loss is NaN or infinite.
        CheckpointError: the checkpoint is of another training.
    """
    where = pick_device(device)
    network = _new(settings, data, seed).to(where)

    def validation() -> float:
        return bound(network, data.val.to(where), stream(seed, "vae/validation"))

    history = fit(
        network,
        EvidenceBound(network, settings.beta),
        data.train.to(where),
        settings.fit,
        seed,
        purpose="vae",
        checkpoint=checkpoint,
        validate=validation,
    )
    return network.cpu(), history


def train_once(name: str, settings: VAE, data: Labelled, *, seed: int = 0, device: str = "auto") -> AutoEncoder:
    """``train``, remembered in ``artifacts/<name>-<key>/``: the same question is answered once.

    The key hashes the settings, the images, the seed and the algorithm's version; a killed run goes on from its last
    state to the numbers of an uninterrupted one.

    Raises:
        CheckpointError: the folder holds something else; and what ``train`` raises.
    """
    found = remembered(name, settings, data, _new, train, seed=seed, device=device)
    return AutoEncoder(**vars(found))


@torch.no_grad()
def bound(network: VAENet, x: Points, generator: torch.Generator) -> float:
    """An estimate of a bound on the mean of −log p(x) over images x [n, d], in nats: ``EvidenceBound`` with β = 1."""
    objective = EvidenceBound(network)
    parts = [torch.stack(objective.parts(part, generator)) * (len(part) / len(x)) for part in x.split(CHUNK)]
    return float(objective.loss(*sum(parts), x.shape[1]).total)


def _new(settings: VAE, data: Labelled, seed: int) -> VAENet:
    with seeded(seed, "init"):
        return VAENet(settings, data.shape).to(data.train.dtype)
