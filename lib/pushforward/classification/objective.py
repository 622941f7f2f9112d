"""Cross-entropy on images whose labels stand in the last column, shifted and mirrored on the way."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from pushforward.objectives import Loss
from pushforward.shapes import Points


@dataclass(frozen=True)
class CrossEntropy:
    """−log of the probability given to the right class, in nats, the mean over a minibatch of ``labelled_rows``."""

    network: Callable[[Points], Tensor]
    shape: tuple[int, int, int]
    crop: int = 0
    flip: bool = False

    def __call__(self, rows: Points, generator: torch.Generator) -> Loss:
        images, labels = rows[:, :-1].unflatten(1, self.shape), rows[:, -1].long()
        if self.crop:
            images = shifted(images, self.crop, generator)
        if self.flip:
            images = mirrored(images, generator)
        return Loss({"cross-entropy": cross_entropy(self.network(images.flatten(1)), labels)})


def labelled_rows(x: Points, labels: Tensor) -> Points:
    """[n, d + 1]: the trainer draws rows, so the label of an image [n, d] is its last number (exact up to 2²⁴)."""
    return torch.cat([x, labels[:, None].to(x)], 1)


def shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Images [n, c, h, w], each moved by −most … most pixels along both axes, zeros coming in."""
    n, _, height, width = images.shape
    down, right = torch.randint(2 * most + 1, (2, n, 1), generator=generator).to(images.device)
    rows = (torch.arange(height, device=images.device) + down)[:, None, :, None]
    columns = (torch.arange(width, device=images.device) + right)[:, None, None, :]
    sample = torch.arange(n, device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return pad(images, (most, most, most, most))[sample, channel, rows, columns]


def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images [n, c, h, w], each with left and right exchanged or not, by a fair coin."""
    heads = torch.randint(2, (len(images), 1, 1, 1), generator=generator).to(images.device)
    return torch.where(heads == 1, images.flip(3), images)
