"""Train a classifier; remember the result under a key, and go on from where a killed run stopped."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pushforward.classification.network import ClassifierNet
from pushforward.classification.objective import CrossEntropy, labelled_rows
from pushforward.classification.settings import Classifier
from pushforward.datasets import Labelled
from pushforward.devices import pick_device
from pushforward.families.implicit import audit
from pushforward.fit import FitHistory, fit
from pushforward.implicit import Audit, update_norms
from pushforward.remembered import Remembered, remembered
from pushforward.seeds import seeded
from pushforward.shapes import Points

CHUNK = 500  # images scored at a time


@dataclass(frozen=True)
class Trained(Remembered):
    """A trained classifier, and the audit of every solve of its training, forward and backward."""

    network: ClassifierNet
    split: Labelled
    audit: Audit

    def error(self, part: str) -> float:
        """Share of wrong classes in percent on ``train``, ``val`` or ``test``."""
        return error(self.network, *self.split.part(part))


def train(
    settings: Classifier, data: Labelled, *, seed: int = 0, device: str = "auto", checkpoint: Path | None = None
) -> tuple[ClassifierNet, FitHistory]:
    """The network of the last iteration, on the CPU and in evaluation mode, with what training saw.

    Args:
        settings: of the network and the optimiser; they are chosen on validation points, never on test points.
        data: images and labels.
        seed: of the initial weights, the minibatches and the random shifts.
        device: ``auto`` takes the accelerator where there is one.
        checkpoint: where the state is saved on the way, and from where it goes on.

    Raises:
        InputError: a device that cannot be used.
        NonFinite: the loss is NaN or infinite.
        NotConverged: a block without a certified root.
        CheckpointError: the checkpoint is of another training.
    """
    where = pick_device(device)
    network = _new(settings, data, seed).to(where)
    rows = labelled_rows(*data.part("train")).to(where)
    objective = CrossEntropy(network, data.shape, settings.crop, settings.flip)

    def renew() -> None:
        update_norms(network, settings.norm_iterations, settings.norm_tolerance)

    def validation() -> float:
        return error(network, *data.part("val"))

    history = fit(
        network,
        objective,
        rows,
        settings.fit,
        seed,
        purpose="classifier",
        checkpoint=checkpoint,
        validate=validation,
        after_step=renew,
    )
    return network.cpu(), history


def train_once(name: str, settings: Classifier, data: Labelled, *, seed: int = 0, device: str = "auto") -> Trained:
    """``train``, remembered in ``artifacts/<name>-<key>/``: the same question is answered once.

    The key hashes the settings, the data, the seed and the algorithm's version. A state every half minute stands in
    the same folder; a killed run goes on from it to the numbers of an uninterrupted one.

    Raises:
        CheckpointError: the folder holds something else; and what ``train`` raises.
    """
    found = remembered(name, settings, data, _new, train, seed=seed, device=device)
    return Trained(**vars(found), audit=audit(found.network))


@torch.no_grad()
def error(network: nn.Module, x: Points, labels: Tensor) -> float:
    """Share of wrong classes in percent; the network should be in evaluation mode. Images move to its device."""
    where = next(network.parameters()).device
    wrong = sum(
        int((network(part.to(where)).argmax(1) != truth.to(where)).sum())
        for part, truth in zip(x.split(CHUNK), labels.split(CHUNK), strict=True)
    )
    return 100 * wrong / len(x)


@torch.no_grad()
def features(network: ClassifierNet, x: Points) -> Points:
    """``network.features`` of images [n, d], [n, channels], on the CPU; the network should be in evaluation mode."""
    where = next(network.parameters()).device
    return torch.cat([network.features(part.to(where)).cpu() for part in x.split(CHUNK)])


def _new(settings: Classifier, data: Labelled, seed: int) -> ClassifierNet:
    with seeded(seed, "init"):
        return ClassifierNet(settings, data.shape, data.classes).to(data.train.dtype)
