"""The network: a stem, stages with a reduction between them, the mean over pixels, and a linear map to the classes."""

from collections.abc import Sequence

from torch import Tensor, nn

from pushforward.classification.blocks import KERNEL, normed_conv, stage_blocks
from pushforward.classification.settings import Classifier
from pushforward.shapes import Points


class ClassifierNet(nn.Module):
    """Images as flat points [n, c·h·w] to scores [n, classes]; invertible within its blocks, not as a whole.

    Batch normalisation stands outside the implicit and residual blocks. Source: arXiv 2103.09527, section 5.1, with
    the arrangement of the published code.
    """

    def __init__(self, settings: Classifier, shape: Sequence[int], classes: int) -> None:
        super().__init__()
        self.shape = tuple(shape)
        channels, height, width = self.shape
        layers = [*normed_conv(channels, settings.stages[0][0], KERNEL, settings.stem_stride)]
        height, width = -(-height // settings.stem_stride), -(-width // settings.stem_stride)
        for index, (channels, hidden) in enumerate(settings.stages):
            layers += stage_blocks(settings.method, (channels, height, width), hidden, settings.coeff, settings.solver)
            if index > 0:
                layers += normed_conv(channels, hidden, kernel=1, stride=2)
                channels, height, width = hidden, (height + 1) // 2, (width + 1) // 2
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Points) -> Tensor:
        """Scores [n, classes]; their softmax is the probability of each class."""
        return self.head(self.features(x))

    def features(self, x: Points) -> Points:
        """What the scores are a linear function of, [n, channels]: the activations' means over the pixels."""
        return self.body(x.unflatten(1, self.shape)).mean((2, 3))
