"""JKO-iFlow on the codes of an autoencoder: decoded samples, and how far they are from images never trained on."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
import torch

from pushforward import classification, datasets
from pushforward.catalogue.cases import RealCase
from pushforward.catalogue.settings import family
from pushforward.classification import Classifier
from pushforward.experiment import Result, train_once
from pushforward.families import JKO, preconditioned
from pushforward.flows import Flow
from pushforward.latent import VAE, AutoEncoder, fid, frechet_distance
from pushforward.latent import train_once as train_autoencoder
from pushforward.metrics import Estimate, mean_and_se
from pushforward.report.results import Recorder
from pushforward.seeds import stream
from pushforward.shapes import Points

DRAWS = 5  # sets of samples whose distances are averaged
DIGITS = ("digits", "mnist")
# What a flow on the codes is beside: the floor and the ceiling of what its decoder can show, and two plainer laws.
REFERENCES = ("images", "reconstruction", "prior", "gaussian")


class LatentCase(RealCase):
    """One data set of images: a flow on its codes, trained once a seed; autoencoder and classifier are of seed 0.

    Distances are between the test images and as many other images as there are validation images, all in the features
    of a classifier trained on the training images. They are no FID: their scale is that of these features.
    """

    def __init__(
        self, name: str, method: str, results: Sequence[Result], coder: AutoEncoder, classifier: classification.Trained
    ) -> None:
        super().__init__("jko", f"{name}-latent", method, results)
        self.coder, self.classifier = coder, classifier
        self.distance = f"{'digit' if name in DIGITS else 'class'}-feature distance"

    @property
    def label(self) -> str:
        """The images' name, as their data set has it."""
        return self.coder.images.label

    @property
    def compared_images(self) -> int:
        """How many images each set has that is compared with the test images."""
        return min(len(self.coder.images.val), len(self.coder.images.test))

    @cached_property
    def frechet(self) -> list[Estimate]:
        """``distance`` of decoded samples, a seed each: the mean over ``DRAWS`` sets of them and its standard error."""
        return [self._of_samples(result.flow, stream(seed, "frechet")) for seed, result in enumerate(self.results)]

    @cached_property
    def references(self) -> dict[str, float]:
        """``distance`` of what the samples are beside.

        ``images``: the validation images, so what sampling alone costs; ``reconstruction``: those, coded and decoded,
        which no flow can beat by much; ``prior``: codes of N(0, I), no flow at all; ``gaussian``: codes of the
        Gaussian with the codes' mean and covariance.
        """
        val = self.coder.images.val[: self.compared_images]
        again = self.coder.decode(self.coder.encode(val, stream(0, "reconstruction")))
        codes = self.results[0].split.train
        gaussian = self._of_samples(preconditioned(("affine",), codes), stream(0, "gaussian"))
        prior = self._mean_over_draws(lambda n, g: torch.randn(n, self.coder.latent, generator=g), stream(0, "prior"))
        values = (self._to_test(val), self._to_test(again), prior.value, gaussian.value)
        return dict(zip(REFERENCES, values, strict=True))

    def fid(self, count: int, weights: str | None = None, device: str = "cpu") -> list[float]:
        """FID of ``count`` decoded samples against the test images, a seed each; needs the extra ``fid``.

        Raises:
            InputError, DataError: as ``pushforward.latent.fid``.
        """
        images = self.coder.images
        drawn = [
            self.coder.decode(result.flow.sample(count, stream(seed, "fid")))
            for seed, result in enumerate(self.results)
        ]
        return [fid(images.test, x, images.shape, weights, device) for x in drawn]

    def table(self) -> list[dict[str, Any]]:
        """A row a way to images: distance to the test images, how many images that was measured with."""
        rows = [(name, value, None) for name, value in self.references.items()]
        rows.append((self.method, fmean(e.value for e in self.frechet), self.frechet[0].se))
        sizes = {"n": self.compared_images, "test images": len(self.coder.images.test)}
        return [{"case": self.name, "images": name, self.distance: value, "se": se} | sizes for name, value, se in rows]

    def pictures(self, points: Points) -> np.ndarray:
        """Codes as decoded pictures: [n, h, w], or [n, h, w, channels], in [0, 1]."""
        return self.shown(self.coder.decode(points))

    def shown(self, x: Points) -> np.ndarray:
        """Images [n, d] as pictures: [n, h, w], or [n, h, w, channels], in [0, 1]."""
        pictures = x.unflatten(1, self.coder.images.shape).permute(0, 2, 3, 1).numpy()
        return pictures[..., 0] if pictures.shape[3] == 1 else pictures

    def gallery(self, count: int = 16) -> dict[str, np.ndarray]:
        """Test images, what decoder and encoder make of them, decoded noise, and decoded samples of the flow."""
        test = self.coder.images.test[:count]
        prior = torch.randn(count, self.coder.latent, generator=stream(0, "gallery/prior"))
        return {
            "images": self.shown(test),
            "reconstruction": self.pictures(self.coder.encode(test)),
            "prior": self.pictures(prior),
            self.method: self.pictures(self.flow.sample(count, stream(0, "gallery"))),
        }

    def record_quality(self, record: Recorder, run: str) -> None:
        """The rows that compare methods: those of the codes, and the distance of decoded samples."""
        super().record_quality(record, run)
        values = [e.value for e in self.frechet]
        record.add(self.id("frechet"), values, unit="1", seconds=self.seconds, run=run)

    def record_references(self, record: Recorder, run: str) -> None:
        """The rows of the codes' Gaussian and elliptical law, and the distances that need no flow."""
        super().record_references(record, run)
        for name, value in self.references.items():
            record.add(f"{self.topic}/{self.name}/{name}/frechet", value, unit="1", run=run)

    def record_fid(self, record: Recorder, run: str, count: int = 10_000, weights: str | None = None) -> None:
        """The row of the FID, beside the paper's."""
        record.add(self.id("fid"), self.fid(count, weights), unit="1", seconds=self.seconds, run=run)

    def _of_samples(self, flow: Flow, generator: torch.Generator) -> Estimate:
        return self._mean_over_draws(flow.sample, generator)

    def _mean_over_draws(self, sample: Any, generator: torch.Generator) -> Estimate:
        draws = (self.coder.decode(sample(self.compared_images, generator)) for _ in range(DRAWS))
        return mean_and_se(torch.tensor([self._to_test(x) for x in draws], dtype=torch.float64))

    def _to_test(self, x: Points) -> float:
        return frechet_distance(self._test_features, classification.features(self.classifier.network, x))

    @cached_property
    def _test_features(self) -> Points:
        return classification.features(self.classifier.network, self.coder.images.test)


def latent(
    name: str,
    autoencoder: Mapping[str, Any],
    flow: Mapping[str, Any],
    classifier: Mapping[str, Any],
    seeds: Iterable[int] = (0,),
    method: str = "jko-iflow",
    profile: str = "quick",
) -> LatentCase:
    """Train an autoencoder and a classifier on images, then JKO-iFlow on the codes, once a seed.

    Args:
        name: of ``datasets.labelled``.
        autoencoder: settings of ``latent.VAE``.
        flow: settings of ``JKO``.
        classifier: settings of ``classification.Classifier``, whose features the distances are measured in.

    Raises:
        InputError: unknown data set or setting.
        DataError: the data is absent or altered.
    """
    images = datasets.labelled(name, profile)
    chosen = family(JKO, flow)
    judge = classification.train_once(f"{name}-features", family(Classifier, classifier), images)
    coder = train_autoencoder(f"{name}-autoencoder", family(VAE, autoencoder), images)
    codes = coder.codes()
    results = [train_once(f"{name}-codes-{method}", chosen, codes, seed=seed) for seed in seeds]
    return LatentCase(name, method, results, coder, judge)
