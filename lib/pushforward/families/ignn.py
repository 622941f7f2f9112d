"""IGNN: residual blocks without a Lipschitz constraint, trained end to end by likelihood (arXiv 2206.01163)."""

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.errors import InputError
from pushforward.families.end_to_end import EndToEnd, Whole
from pushforward.families.target import check_labels_stay, end_target
from pushforward.fit import FitConfig
from pushforward.flows import Chain, ResidualBlock
from pushforward.nets import NETS
from pushforward.objectives import ResidualObjective
from pushforward.shapes import Points

NET = {"kind": "mlp", "widths": (128, 128), "activation": "silu"}
SMALL = 32  # up to this dimension training uses the exact log-determinant, the series above
TERMS = 10


@dataclass(frozen=True)
class IGNN(EndToEnd):
    """Settings of IGNN. Nothing but the price of movement keeps a block invertible: see ``ResidualBlock``.

    Every network starts at zero (its last layer does), where the source scales the initial weights by 0.9. The source
    has the exact log-determinant up to dimension 2 alone.

    Args:
        blocks: how many.
        net: ``{"kind": ...}`` of ``pushforward.nets``, the arguments of that class; ``chebyshev`` on a graph.
        gamma: γ, the price of movement; the default is this library's choice.
        terms: of the series that estimates the log-determinant in training; 0: exact. None: exact up to dimension 32,
            10 terms above.
        target: None for N(0, I); ``{"kind": "labelled-shift", ...}``, the arguments of ``LabelledShift``, for points
            that carry labels, which no preconditioner may mix with the features and no network may move.
        precondition: exact bijections fitted first, of ``affine`` (whitening), ``radial`` and, for values in [0, 1],
            ``logit``.
        pool: training points: drawn from a law, or the first of a data set's.
        fit: the optimiser's settings.

    Raises:
        InputError: a setting out of its range, or an unknown name.
    """

    blocks: int = 8
    net: dict = field(default_factory=lambda: dict(NET))
    gamma: float = 0.1
    terms: int | None = None
    target: dict | None = None
    precondition: tuple[str, ...] = ("affine",)
    pool: int = 300_000
    fit: FitConfig = field(default_factory=lambda: FitConfig(iterations=2000, batch=500, lr=2e-3, clip=5.0))

    name: ClassVar[str] = "ignn"
    algorithm_version: ClassVar[int] = 1  # raise it when the same settings would train another flow

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blocks < 1:
            raise InputError(f"blocks is {self.blocks}, expected at least 1")
        if not self.gamma >= 0 or (self.terms is not None and self.terms < 0):
            raise InputError(f"gamma={self.gamma}, terms={self.terms}: expected 0 or more")
        if not isinstance(self.net, dict) or self.net.get("kind") not in NETS:
            raise InputError(f"net is {self.net!r}, expected a dict whose kind is one of {sorted(NETS)}")
        end_target(self.target, self.precondition)

    def block(self, dim: int) -> ResidualBlock:
        """A new block, the identity at first; its random weights come from torch's global stream."""
        arguments = dict(self.net)
        kind = arguments.pop("kind")
        try:
            net = NETS[kind](dim=dim, **arguments)
        except TypeError as error:
            raise InputError(f"net {self.net} has a setting that {kind!r} does not know: {error}") from error
        terms = (0 if dim <= SMALL else TERMS) if self.terms is None else self.terms
        return ResidualBlock(net, terms)

    def whole(self, x: Points) -> Whole:
        """All blocks; the series of the log-determinant is a second pass through each of them."""
        dim = x.shape[1]
        chain = Chain(dim, [self.block(dim) for _ in range(self.blocks)])
        target = end_target(self.target, self.precondition)
        if target is not None:
            check_labels_stay(target, chain.blocks[0].net, dim)
            chain.append(target)
        passes = self.blocks * (2 if chain.blocks[0].terms else 1)
        return Whole(chain, chain, ResidualObjective(chain, self.gamma), passes)
