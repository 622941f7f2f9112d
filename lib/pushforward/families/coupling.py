"""The baselines of zuko, neural spline flows and masked autoregressive flows, trained by likelihood."""

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.families.end_to_end import EndToEnd, Whole
from pushforward.fit import FitConfig
from pushforward.flows import ZukoFlow
from pushforward.flows.zuko_flow import check_settings
from pushforward.objectives import LikelihoodObjective
from pushforward.shapes import Points


@dataclass(frozen=True)
class Zuko(EndToEnd):
    """Settings of a flow of autoregressive or coupling transforms, see ``flows.ZukoFlow``.

    Args:
        kind: ``nsf`` (rational-quadratic splines) or ``maf`` (affine).
        transforms: how many.
        hidden: hidden widths of each transform's network.
        bins: of a spline.
        passes: 0: fully autoregressive; 2: coupling layers, whose inverse costs two passes.
        shuffled: random orders of the coordinates, where they would else turn round from transform to transform.
        precondition: exact bijections fitted first, of ``affine`` (whitening: splines act on [−5, 5]), ``radial`` and,
            for values in [0, 1], ``logit``.
        pool: training points: drawn from a law, or the first of a data set's.
        fit: the optimiser's settings.

    Raises:
        InputError: a setting out of its range, or an unknown name.
    """

    kind: str = "nsf"
    transforms: int = 5
    hidden: tuple[int, ...] = (64, 64)
    bins: int = 8
    passes: int = 0
    shuffled: bool = False
    precondition: tuple[str, ...] = ("affine",)
    pool: int = 300_000
    fit: FitConfig = field(default_factory=lambda: FitConfig(iterations=2000, batch=1000, lr=2e-3, clip=5.0))

    name: ClassVar[str] = "zuko"
    algorithm_version: ClassVar[int] = 1  # raise it when the same settings would train another flow

    def __post_init__(self) -> None:
        super().__post_init__()
        check_settings(self.kind, self.transforms, self.hidden, self.bins, self.passes)

    def bijection(self, dim: int) -> ZukoFlow:
        """The transforms before training; the random weights come from torch's global stream."""
        return ZukoFlow(dim, self.kind, self.transforms, self.hidden, self.bins, self.passes, self.shuffled)

    def whole(self, x: Points) -> Whole:
        """All transforms; each has a network of its own."""
        bijection = self.bijection(x.shape[1])
        return Whole(bijection, bijection, LikelihoodObjective(bijection), self.transforms)
