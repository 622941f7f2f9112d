"""Images in the latent space of a variational autoencoder: codes for a flow, pictures from codes, their distance."""

from pushforward.latent.frechet import frechet_distance
from pushforward.latent.inception import fid
from pushforward.latent.network import VAENet
from pushforward.latent.objective import EvidenceBound
from pushforward.latent.settings import VAE
from pushforward.latent.training import AutoEncoder, train, train_once

__all__ = ["VAE", "AutoEncoder", "EvidenceBound", "VAENet", "fid", "frechet_distance", "train", "train_once"]
