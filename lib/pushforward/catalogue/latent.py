"""JKO-iFlow on the codes of an autoencoder: decoded samples, and how far they are from images never trained on."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from pushforward.latent import VAE, AutoEncoder, fid, frechet_distance
from pushforward.latent import train_once as train_autoencoder
from pushforward.metrics import Estimate, mean_and_se
from pushforward.report.results import Recorder
from pushforward.seeds import stream
from pushforward.shapes import Points

DRAWS = 5  # sets of images whose distances are averaged
DIGITS = ("digits", "mnist")
# What a flow on the codes is beside: the floor of what its decoder can show, and two plainer laws of codes.
REFERENCES = ("images", "reconstruction", "prior", "gaussian")
Codes = Callable[[int, torch.Generator], Points]  # so many codes [n, k]


class LatentCase(RealCase):
    """One data set of images: a flow on its codes, trained once a seed; autoencoder and classifier are of seed 0.

    Likelihoods are those of codes; their rows stand under ``<images>-latent``, those of images under ``<images>``.
    Distances are between the test images and as many other images as there are validation images, all in the features
    of a classifier trained on the training images. They are no FID: their scale is that of these features.
    """

    def __init__(
        self,
        image_set: str,
        method: str,
        results: Sequence[Result],
        coder: AutoEncoder,
        classifier: classification.Trained,
    ) -> None:
        super().__init__("jko", f"{image_set}-latent", method, results)
        self.image_set, self.coder, self.classifier = image_set, coder, classifier
        self.distance = f"{'digit' if image_set in DIGITS else 'class'}-feature distance"

    @property
    def label(self) -> str:
        """The images' name, as their data set has it."""
        return self.coder.split.label

    @property
    def trainings(self) -> list[Any]:
        """Every training that the numbers rest on, for the provenance."""
        return [*self.results, self.coder, self.classifier]

    @property
    def compared_images(self) -> int:
        """How many images each set has that is compared with the test images."""
        return min(len(self.coder.split.val), len(self.coder.split.test))

    @cached_property
    def frechet(self) -> list[Estimate]:
        """``distance`` of decoded samples, a seed each: the mean over ``DRAWS`` sets of them and its standard error."""
        return [self._decoded(result.flow.sample, stream(seed, "frechet")) for seed, result in enumerate(self.results)]

    @cached_property
    def references(self) -> dict[str, Estimate]:
        """``distance`` of what the samples are beside; standard errors over ``DRAWS`` sets of codes.

        ``images``: the validation images, so what sampling alone costs (one set, no standard error);
        ``reconstruction``: those, coded and decoded, which no flow can beat by much; ``prior``: codes of N(0, I), no
        flow at all; ``gaussian``: codes of the Gaussian with the codes' mean and covariance.
        """
        val = self.coder.split.val[: self.compared_images]
        gaussian = preconditioned(("affine",), self.results[0].split.train).sample
        return {
            "images": Estimate(self._to_test(val), math.nan, 1),
            "reconstruction": self._decoded(lambda n, g: self.coder.encode(val, g), stream(0, "reconstruction")),
            "prior": self._decoded(lambda n, g: torch.randn(n, self.coder.latent, generator=g), stream(0, "prior")),
            "gaussian": self._decoded(gaussian, stream(0, "gaussian")),
        }

    @property
    def gap_closed(self) -> list[float]:
        """(prior − flow) / (prior − reconstruction) of distances, a seed each: 1 where only the decoder's is left."""
        prior, best = self.references["prior"].value, self.references["reconstruction"].value
        return [(prior - e.value) / (prior - best) for e in self.frechet]

    def parts(self) -> dict[str, Any]:
        """Whose the distance of decoded samples is, means over seeds: of few images, of the decoder, of the flow.

        ``se`` is the standard error of the flow's part over the sets of codes (first seed); that of which images are
        compared is in none of them, and is the larger one where they are few.
        """
        floor, best = self.references["images"].value, self.references["reconstruction"]
        row = {"images": self.label, "few images": floor, "decoder": best.value - floor}
        row["flow"] = fmean(e.value for e in self.frechet) - best.value
        return row | {"se": math.hypot(best.se, self.frechet[0].se), "gap closed": fmean(self.gap_closed)}

    def over(self, reference: str) -> list[float]:
        """``distance`` of decoded samples less that of a reference, a seed each: below 0 the flow is ahead."""
        return [e.value - self.references[reference].value for e in self.frechet]

    def fid(self, count: int, weights: str | None = None, device: str = "cpu") -> list[float]:
        """FID of ``count`` decoded samples against the test images, a seed each; needs the extra ``fid``.

        Raises:
            InputError, DataError: as ``pushforward.latent.fid``.
        """
        images = self.coder.split
        drawn = (
            self.coder.decode(result.flow.sample(count, stream(seed, "fid")))
            for seed, result in enumerate(self.results)
        )
        return [fid(images.test, x, images.shape, weights, device) for x in drawn]

    def distances(self) -> list[tuple[str, Estimate]]:
        """What is compared with the test images, and its ``distance``; the flow's is that of the first seed."""
        return [*self.references.items(), (self.method, self.frechet[0])]

    def table(self) -> list[dict[str, Any]]:
        """A row a way to images: distance to the test images, how many images that was measured with."""
        sizes = {"n": self.compared_images, "test images": len(self.coder.split.test)}
        rows = [
            {"images": self.label, "what": what, self.distance: e.value, "se": e.se, "seeds": None} | sizes
            for what, e in self.distances()
        ]
        rows[-1] |= {self.distance: fmean(e.value for e in self.frechet), "seeds": len(self.frechet)}
        return rows

    def codes_table(self) -> list[dict[str, Any]]:
        """A row a law of the codes: test NLL (nats), dimension, trained numbers, CPU-seconds of training."""
        found = {"gaussian": self.gaussian, "elliptical": self.radial, self.method: self.nll[0]}
        rows = [
            {"images": self.label, "dimension": self.coder.latent, "method": method, "NLL": e.value, "se": e.se}
            for method, e in found.items()
        ]
        parameters = sum(p.numel() for p in self.flow.parameters())
        rows[-1] |= {"NLL": fmean(e.value for e in self.nll), "seeds": len(self.nll)}
        return [*rows[:-1], rows[-1] | {"parameters": parameters, "CPU s": fmean(self.seconds)}]

    def pictures(self, points: Points) -> np.ndarray:
        """Codes as decoded pictures: [n, h, w], or [n, h, w, channels], in [0, 1]."""
        return self.shown(self.coder.decode(points))

    def shown(self, x: Points) -> np.ndarray:
        """Images [n, d] as pictures: [n, h, w], or [n, h, w, channels], in [0, 1]."""
        pictures = x.unflatten(1, self.coder.split.shape).permute(0, 2, 3, 1).numpy()
        return pictures[..., 0] if pictures.shape[3] == 1 else pictures

    def gallery(self, count: int = 16) -> dict[str, np.ndarray]:
        """Test images, what decoder and encoder make of them, decoded noise, and decoded samples of the flow."""
        test = self.coder.split.test[:count]
        prior = torch.randn(count, self.coder.latent, generator=stream(0, "gallery/prior"))
        return {
            "images": self.shown(test),
            "reconstruction": self.pictures(self.coder.encode(test)),
            "prior": self.pictures(prior),
            self.method: self.pictures(self.flow.sample(count, stream(0, "gallery"))),
        }

    @torch.no_grad()
    def interpolations(self, pairs: int = 3, stops: int = 9) -> dict[str, np.ndarray]:
        """From a test image of one class to one of the next, two ways: pictures [stops, h, w], or with channels.

        Through the noise: both codes are sent to noise a and b, which turns into cos(φ) a + sin(φ) b, φ from 0 to π/2,
        and comes back; for independent a and b of N(0, I) every stop has that law too. Through codes: a straight line.
        """
        data, labels = self.coder.split.test, self.coder.split.test_labels
        first_of = [int((labels == each).nonzero()[0]) for each in labels.unique()[: 2 * pairs]]
        codes = self.coder.encode(data[first_of])
        noise, share = self.flow.bijection(codes), torch.linspace(0, 1, stops)[:, None]
        angle, rows = share * math.pi / 2, {}
        for first in range(0, len(codes) - 1, 2):
            (a, b), (start, end) = noise[first : first + 2], codes[first : first + 2]
            back = self.flow.bijection.inverse(angle.cos() * a + angle.sin() * b)
            rows[f"{first // 2 + 1}: noise"] = self.pictures(back)
            rows[f"{first // 2 + 1}: codes"] = self.pictures(torch.lerp(start, end, share))
        return rows

    def record_quality(self, record: Recorder, run: str) -> None:
        """The rows that compare methods: those of the codes, and the distance of decoded samples."""
        super().record_quality(record, run)
        values = [e.value for e in self.frechet]
        record.add(self._of_images(self.method, "frechet"), values, unit="1", seconds=self.seconds, run=run)
        closed = self._of_images(self.method, "gap-closed")
        record.add(closed, self.gap_closed, unit="ratio", better="higher", run=run)

    def record_references(self, record: Recorder, run: str) -> None:
        """The rows of the codes' Gaussian and elliptical law, and the distances that need no flow."""
        super().record_references(record, run)
        for name, found in self.references.items():
            record.add(self._of_images(name, "frechet"), found.value, unit="1", run=run)

    def record_checks(self, record: Recorder, run: str) -> None:
        """The rows without which no other is believed: those of the flow, and that it is better than no flow."""
        super().record_checks(record, run)
        prior = self.references["prior"].value
        rows = [
            (self._of_images("reconstruction", "frechet-over-prior"), self.references["reconstruction"].value - prior),
            (self._of_images(self.method, "frechet-over-prior"), max(self.over("prior"))),
        ]
        for id, value in rows:
            record.add(id, value, unit="1", better="check", at_most=0.0, run=run)
        ahead = self.gaussian.value - max(e.value for e in self.nll)
        self.record_lead("gaussian", ahead, record, run, required=True)

    def record_fid(self, record: Recorder, run: str, count: int = 10_000, weights: str | None = None) -> list[float]:
        """The row of the FID, beside the paper's; returns it, a seed each. Raises as ``fid``."""
        found = self.fid(count, weights)
        record.add(self._of_images(self.method, "fid"), found, unit="1", seconds=self.seconds, run=run)
        return found

    def _of_images(self, method: str, quantity: str) -> str:
        """Id of a row that is about images and not about codes."""
        return f"{self.topic}/{self.image_set}/{method}/{quantity}"

    def _decoded(self, codes: Codes, generator: torch.Generator) -> Estimate:
        draws = (self.coder.decode(codes(self.compared_images, generator)) for _ in range(DRAWS))
        return mean_and_se(torch.tensor([self._to_test(x) for x in draws], dtype=torch.float64))

    def _to_test(self, x: Points) -> float:
        return frechet_distance(self._test_features, classification.features(self.classifier.network, x))

    @cached_property
    def _test_features(self) -> Points:
        return classification.features(self.classifier.network, self.coder.split.test)


def latent(
    name: str,
    autoencoder: Mapping[str, Any],
    flow: Mapping[str, Any],
    classifier: Mapping[str, Any],
    draws: int = 1,
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
        draws: codes of each training image.

    Raises:
        InputError: unknown data set or setting.
        DataError: the data is absent or altered.
    """
    images = datasets.labelled(name, profile)
    chosen = family(JKO, flow)
    judge = classification.train_once(f"{name}-features", family(Classifier, classifier), images)
    coder = train_autoencoder(f"{name}-autoencoder", family(VAE, autoencoder), images)
    codes = coder.codes(draws=draws)
    results = [train_once(f"{name}-codes-{method}", chosen, codes, seed=seed) for seed in seeds]
    return LatentCase(name, method, results, coder, judge)
