"""T3: how far ℓ residual blocks stay from a steep map. On the ball B_r, f stretches every distance by L or more."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.catalogue.implicit_theorems.maps import linear_net, points, residual_flows
from pushforward.catalogue.implicit_theorems.parts import DERIVED, PAPER, Maker, Part, Sizes
from pushforward.flows import Chain, ImplicitBlock
from pushforward.shapes import Points

STEEP = 10.0
RADIUS = 1.0
BLOCKS = (1, 2, 3)
ON_BALL = 64  # pairs of antipodal points


@dataclass(frozen=True)
class Bounds:
    """Lower bounds on sup over B_r of |f − g|, for g made of residual blocks, from the weakest to the sharpest."""

    paper: float  # r/2 (L − 2^ℓ)
    sharper: float  # r (L − 2^ℓ): antipodal points of the ball are 2r apart
    sharpest: float  # r (L − ∏(1 + κ_l)): 1 + κ_l is the Lipschitz constant of a block


def bounds(steep: float, radius: float, kappas: Sequence[float]) -> Bounds:
    """Of a map that stretches by ``steep`` on a ball of ``radius``, against blocks with networks of these κ."""
    lipschitz = float(torch.tensor([1 + kappa for kappa in kappas], dtype=torch.float64).prod())
    apart = steep - 2.0 ** len(kappas)
    return Bounds(radius / 2 * apart, radius * apart, radius * (steep - lipschitz))


def order(found: Bounds, measured: float, make: Maker) -> list[Part]:
    """Every bound against the measured error."""
    return [
        make.bound("sup|f − g| ≥ r/2 (L − 2^ℓ)", PAPER, measured - found.paper),
        make.bound("sup|f − g| ≥ r (L − 2^ℓ)", DERIVED, measured - found.sharper),
        make.bound("sup|f − g| ≥ r (L − ∏(1 + κ))", DERIVED, measured - found.sharpest),
    ]


def antipodal(dim: int, radius: float) -> Points:
    """Points on the sphere, each with its opposite [2k, d]: one pair is enough for the bound."""
    half = points(ON_BALL + 1, dim)[1:]
    half = radius * half / half.norm(dim=1, keepdim=True)
    return torch.cat([half, -half])


def steep_map(sizes: Sizes) -> list[Part]:
    """T3. L x on a ball against random flows of ℓ blocks; and against the best one, (1 + κ)^ℓ x, which attains it."""
    found = []
    for count in BLOCKS:
        make = Maker("t3", f"resflow-{count}")
        for flow in residual_flows(sizes, count, sizes.dims):
            error = supremum(flow, antipodal(flow.dim, RADIUS))
            found += order(bounds(STEEP, RADIUS, [block.g_x.kappa for block in flow.blocks]), error, make)
        kappa = sizes.coeff**3
        net = linear_net(kappa * torch.eye(2, dtype=torch.float64))
        best = Chain(2, [ImplicitBlock(g_x=net) for _ in range(count)]).eval()
        gap = supremum(best, antipodal(2, RADIUS)) - bounds(STEEP, RADIUS, [kappa] * count).sharpest
        found.append(make.equality("(1 + κ)^ℓ x attains r (L − ∏(1 + κ))", DERIVED, gap))
    return found


@torch.no_grad()
def supremum(flow: Chain, x: Points) -> float:
    """max |L x − flow(x)| over points of the ball; it never exceeds the supremum."""
    gap: Tensor = STEEP * x - flow(x)
    return float(gap.norm(dim=1).max())
