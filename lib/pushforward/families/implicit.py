"""Implicit and residual normalizing flows: one block class, trained end to end by likelihood (arXiv 2103.09527)."""

from dataclasses import asdict, dataclass, field
from typing import ClassVar

import torch

from pushforward.errors import InputError
from pushforward.families.end_to_end import EndToEnd, Whole
from pushforward.families.multiscale import LAYOUT, image_blocks
from pushforward.families.pushing import some
from pushforward.fit import FitConfig
from pushforward.flows import ActNorm, Bijection, Chain, ImplicitBlock
from pushforward.implicit import Audit, build_network, build_part, update_norms
from pushforward.objectives import LikelihoodObjective
from pushforward.shapes import Points

KINDS = {"impflow": ("g_x", "g_z"), "resflow": ("g_x",), "inverse-resflow": ("g_z",)}  # the networks of a block
NET = {"kind": "mlp", "widths": (128, 128), "activation": "sin", "coeff": 0.99}
PROBE = ({"dim": 1}, {"shape": (1, 1, 1)})  # the smallest block of each layout, built to see whether settings fit


@dataclass(frozen=True)
class Implicit(EndToEnd):
    """Settings of a flow of implicit blocks (z + g_z(z) = x + g_x(x)), of residual blocks, or of their inverses.

    An ImpFlow of L blocks has the parameters of a ResFlow of 2L blocks. Every root is certified, and a training that
    cannot certify one stops; the last row of ``history.stages`` has the counts.

    Args:
        kind: ``impflow`` (both networks), ``resflow`` (g_z = 0) or ``inverse-resflow`` (g_x = 0).
        blocks: how many.
        net: ``{"kind": "mlp", ...}``, the arguments of a class in ``pushforward.implicit.parts.NETWORKS``; for images
            ``{"kind": "conv", "shape": [channels, height, width], "scales": 1, ...}``, see ``image_blocks``.
        actnorm: an ActNorm before the first block and after every block.
        spread: the standard deviation that every ActNorm but the last gives to its first batch: how many periods of
            ``sin`` the data spans in each block.
        solver: ``{"kind": ...}`` of ``implicit.SOLVERS``; None: Newton in small dimension, Broyden above.
        log_det: ``{"kind": ...}``: exact, truncated, roulette, neumann or recomputed, with its settings.
        power_iterations: of the spectral norms after each optimiser step, warm-started; 0: singular vectors exactly.
            Iterated norms are too small, so training then certifies its roots with a κ that is estimated from below.
        precondition: exact bijections fitted first, of ``affine`` (whitening), ``radial`` and, for values in [0, 1],
            ``logit``.
        pool: training points: drawn from a law, or as many of a data set's.
        fit: the optimiser's settings.

    Raises:
        InputError: a setting out of its range, or an unknown name.
    """

    kind: str = "impflow"
    blocks: int = 4
    net: dict = field(default_factory=lambda: dict(NET))
    actnorm: bool = False
    spread: float = 1.0
    solver: dict | None = None
    log_det: dict = field(default_factory=lambda: {"kind": "exact"})
    power_iterations: int = 0
    precondition: tuple[str, ...] = ("affine",)
    pool: int = 300_000
    fit: FitConfig = field(default_factory=lambda: FitConfig(iterations=2000, batch=500, lr=2e-3, betas=(0.9, 0.99)))

    name: ClassVar[str] = "implicit"
    algorithm_version: ClassVar[int] = 1  # raise it when the same settings would train another flow

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in KINDS:
            raise InputError(f"kind {self.kind!r} is unknown, expected one of {sorted(KINDS)}")
        if self.blocks < 1:
            raise InputError(f"blocks is {self.blocks}, expected at least 1")
        if not self.spread > 0:
            raise InputError(f"spread is {self.spread}, expected a positive standard deviation")
        if self.power_iterations < 0:
            raise InputError(f"power_iterations is {self.power_iterations}, expected 0 or more")
        if self.fit.bf16:
            raise InputError("fit.bf16 is True, expected False: in bfloat16 no root can be certified")
        # An unknown name, or a setting that a part does not know, is found before the data is.
        with torch.random.fork_rng(devices=[]):
            self.block(**PROBE[self.net.get("kind") == "conv"])

    def block(self, **size: object) -> ImplicitBlock:
        """One new block, of ``dim=...`` or ``shape=...``; the random weights come from torch's global stream."""
        net = {name: value for name, value in self.net.items() if name not in LAYOUT}
        networks = {name: build_network(net, **size) for name in KINDS[self.kind]}
        solver = None if self.solver is None else build_part(self.solver)
        return ImplicitBlock(**networks, solver=solver, log_det=build_part(self.log_det))

    def chosen(self, x: Points, count: int, purpose: str) -> Points:
        """``count`` rows of x [n, d], drawn."""
        return some(x, count, purpose)

    def whole(self, x: Points) -> Whole:
        """All blocks."""
        chain = Chain(x.shape[1], self._blocks(x.shape[1]))
        return Whole(
            chain,
            chain,
            LikelihoodObjective(chain),
            after_step=lambda: update_norms(chain, self.power_iterations or None),
            notes=lambda: asdict(audit(chain)),
        )

    def _blocks(self, dim: int) -> list[Bijection]:
        if self.net.get("kind") == "conv":
            return image_blocks(self, dim)
        if not self.actnorm:
            return [self.block(dim=dim) for _ in range(self.blocks)]
        blocks: list[Bijection] = []
        for _ in range(self.blocks):
            blocks += [ActNorm(dim, spread=self.spread), self.block(dim=dim)]
        return [*blocks, ActNorm(dim)]


def audit(bijection: Bijection) -> Audit:
    """The audits of all solves of all implicit blocks in ``bijection``, forward, inverse and backward, together."""
    blocks = [part for part in bijection.modules() if isinstance(part, ImplicitBlock)]
    return sum((one for block in blocks for one in block.audits.values()), Audit())
