"""The paper's figure 2: a ramp of slopes 0.1 and 10 on the line, learned by residual blocks and one implicit block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from pushforward.catalogue.implicit_theorems.distance import Bounds, bounds, order
from pushforward.catalogue.implicit_theorems.maps import Ramp, chain_jacobian
from pushforward.catalogue.implicit_theorems.parts import Maker, Part
from pushforward.catalogue.implicit_theorems.slopes import interval
from pushforward.errors import InputError
from pushforward.fit import FitConfig, fit
from pushforward.flows import Chain, ImplicitBlock
from pushforward.implicit import LipschitzMLP, update_norms
from pushforward.objectives import Loss
from pushforward.report.results import Recorder
from pushforward.seeds import seeded
from pushforward.shapes import Points

SPAN = (-1.0, 0.3)  # of the figure
CENTRE, RADIUS = 0.15, 0.1  # of the ball, to the right of the smoothed kink
GRID = 1301
KINDS = ("resflow", "impflow")


@dataclass(frozen=True)
class Regression:
    """Mean |map(x) − f(x)|²."""

    map: nn.Module
    target: nn.Module

    def __call__(self, x: Points, generator: torch.Generator) -> Loss:
        return Loss({"square": (self.map(x) - self.target(x)).square().mean()})


@dataclass(frozen=True)
class LineFit:
    """A trained chain of blocks beside the ramp, in float64."""

    method: str
    chain: Chain
    target: Ramp
    seconds: float

    @cached_property
    def x(self) -> Points:
        """The figure's points [n, 1]."""
        return torch.linspace(*SPAN, GRID, dtype=torch.float64)[:, None]

    @cached_property
    @torch.no_grad()
    def y(self) -> Points:
        """What the chain makes of them [n, 1]."""
        return self.chain(self.x)

    @cached_property
    def slopes(self) -> Tensor:
        """Its slope there [n]."""
        return chain_jacobian(self.chain, self.x).flatten()

    @property
    def steep(self) -> float:
        """L: the ramp stretches every distance on the ball by at least its slope at the left end."""
        return self.target.slope(CENTRE - RADIUS)

    @property
    def error(self) -> float:
        """sup over the ball of |f − chain|, on the grid with both end points."""
        x = torch.linspace(CENTRE - RADIUS, CENTRE + RADIUS, 401, dtype=torch.float64)[:, None]
        with torch.no_grad():
            return float((self.chain(x) - self.target(x)).abs().max())

    @property
    def kappas(self) -> list[float]:
        """κ of every residual network."""
        return [block.g_x.kappa for block in self.chain.blocks]

    @property
    def bounds(self) -> Bounds | None:
        """What the theorem says of this many residual blocks; of an implicit one it says nothing."""
        return bounds(self.steep, RADIUS, self.kappas) if self.method.startswith("resflow") else None

    @property
    def limits(self) -> tuple[float, float]:
        """The slopes that its κ allow."""
        if self.bounds is not None:
            ends = torch.tensor([interval(kappa, "resflow-1") for kappa in self.kappas]).prod(0)
            return float(ends[0]), float(ends[1])
        block = self.chain.blocks[0]
        return (1 - block.g_x.kappa) / (1 + block.g_z.kappa), (1 + block.g_x.kappa) / (1 - block.g_z.kappa)

    def parts(self) -> list[Part]:
        """The theorem's bounds against the measured error; none for the implicit block."""
        return [] if self.bounds is None else order(self.bounds, self.error, Maker("t3", self.method))


def fit_line(kind: str, blocks: int, settings: Mapping[str, Any], net: Mapping[str, Any], seed: int = 0) -> LineFit:
    """Train ``blocks`` blocks of ``resflow`` or ``impflow`` on the ramp, by least squares on points of the figure.

    Args:
        settings: of ``FitConfig``.
        net: of ``LipschitzMLP``, without its dimension.

    Raises:
        InputError: an unknown kind or setting.
    """
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
    try:
        config = FitConfig(**settings)
    except TypeError as error:
        raise InputError(f"settings {dict(settings)} has one that FitConfig does not know: {error}") from error
    target, chain = Ramp(), _chain(kind, blocks, net, seed)
    x = torch.linspace(*SPAN, GRID)[:, None]
    history = fit(
        chain, Regression(chain, target), x, config, seed, purpose=kind, after_step=partial(update_norms, chain)
    )
    return LineFit(f"{kind}-{blocks}", chain.double().eval(), target, history.seconds)


def _chain(kind: str, blocks: int, net: Mapping[str, Any], seed: int) -> Chain:
    with seeded(seed, f"implicit theorems: line, {kind}"):
        count = 2 if kind == "impflow" else 1
        return Chain(1, [ImplicitBlock(*[LipschitzMLP(1, **net) for _ in range(count)]) for _ in range(blocks)])


def table(fits: Sequence[LineFit]) -> list[dict[str, Any]]:
    """A row a fit: measured error beside the bounds, and slopes beside what κ allows."""
    rows = []
    for each in fits:
        row = {"method": each.method, "sup error": each.error}
        found = each.bounds
        for name in ("paper", "sharper", "sharpest"):
            row[f"{name} bound"] = None if found is None else getattr(found, name)
        row |= {"largest slope": float(each.slopes.max()), "allowed": each.limits[1]}
        rows.append(row | {"parameters": sum(p.numel() for p in each.chain.parameters()), "CPU s": each.seconds})
    return rows


def record(fits: Sequence[LineFit], recorder: Recorder, run: str, beats: int = 3) -> None:
    """``implicit/line/<method>/sup-error``: residual blocks stay above the paper's bound, as they must; the implicit
    one is required to be nearer than any ``beats`` residual blocks can be, by the sharper bound.
    """
    for each in fits:
        sharper = bounds(each.steep, RADIUS, [1.0] * beats).sharper
        sides = {"at_most": sharper} if each.bounds is None else {"at_least": each.bounds.paper}
        id = f"implicit/line/{each.method}/sup-error"
        recorder.add(id, each.error, unit="1", better="check", seconds=each.seconds, run=run, **sides)
