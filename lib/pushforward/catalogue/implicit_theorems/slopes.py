"""L1: residual maps are strongly monotone. What slopes one and two blocks can have, on the line and at a fixed κ."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pushforward.catalogue.implicit_theorems.maps import (
    Ramp,
    block_of,
    chain_jacobian,
    identity,
    jacobian,
    linear_net,
    pairs,
    points,
    scaled,
)
from pushforward.catalogue.implicit_theorems.parts import DERIVED, PAPER, Maker, Part, Sizes
from pushforward.flows import Chain, ImplicitBlock
from pushforward.shapes import Points

SAME = 1e-8
STEEP = 10.0
RAMPS = ((0.1, 10.0), (0.01, 100.0))  # slopes of increasing maps that one implicit block must reproduce


def monotone(sizes: Sizes) -> list[Part]:
    """L1. vᵀJv ≥ (1 − κ)|v|² for every residual map, and 10 x, strongly monotone, is none."""
    make, low, high = Maker("l1", "resflow"), [], []
    for _, g, _, x in pairs(sizes):
        full = identity(x) + jacobian(g, x)
        low.append(_least(full) - (1 - g.kappa))
        high.append(1 + g.kappa - torch.linalg.svdvals(full))
    x = points(sizes.points, 2)
    steep = linear_net(STEEP * identity(x))
    distance = torch.linalg.matrix_norm(jacobian(steep, x) - identity(x), 2)
    return [
        make.bound("vᵀJv ≥ (1 − κ)|v|²", PAPER, low),
        make.bound("|J| ≤ 1 + κ", DERIVED, high),
        make.bound("10 x is strongly monotone: vᵀJv ≥ 10|v|²", PAPER, _least(jacobian(steep, x)) - STEEP),
        make.bound("10 x is no residual map: 10 x − x stretches by 1 or more", PAPER, distance - 1),
    ]


def _least(matrix: Tensor) -> Tensor:
    """The least eigenvalue of the symmetric part [n]: min over v of vᵀJv/|v|²."""
    return torch.linalg.eigvalsh((matrix + matrix.mT) / 2)[:, 0]


def on_the_line(sizes: Sizes) -> list[Part]:
    """In d = 1 a residual map is one with 0 < f' < 2, and an implicit block one with 0 < f'."""
    make, gaps = Maker("slopes", "resflow"), []
    line = Sizes(nets=sizes.nets, points=sizes.points, dims=(1,), coeff=sizes.coeff)
    for _, g, _, x in pairs(line):
        slope = 1 + jacobian(g, x)
        gaps += [slope, 2 - slope]
    x = torch.linspace(-2, 2, sizes.points, dtype=torch.float64)[:, None]
    ramp = Ramp(0.05, 1.95)
    block = ImplicitBlock(g_x=scaled(ramp, 1.0, 1, 0.95)).eval()
    errors = [block(x) - ramp(x), block.inverse(ramp(x)) - x]
    return [
        make.bound("0 < f' < 2", PAPER, gaps),
        make.identity("slopes of 0.05 to 1.95 are one residual block", PAPER, errors, SAME),
        *_increasing(x),
    ]


@torch.no_grad()
def _increasing(x: Points) -> Iterator[Part]:
    """Each ramp as one block: with γ = 1/M, γ f' − 1 lies in [m/M − 1, 0]."""
    make = Maker("slopes", "impflow")
    for low, high in RAMPS:
        ramp = Ramp(low, high)
        block = block_of(ramp, 1 / high, 1, 1 - low / high)
        there = (block(x) - ramp(x)) / high
        name = f"slopes of {low:g} to {high:g} are one implicit block"
        yield make.identity(name, PAPER, [there, block.inverse(ramp(x)) - x], SAME)


def interval(kappa: float, method: str) -> tuple[float, float]:
    """Slopes (singular values) of ``resflow-l``, or of one ``impflow`` block, whose networks are κ-Lipschitz."""
    if method == "impflow":
        return (1 - kappa) / (1 + kappa), (1 + kappa) / (1 - kappa)
    blocks = int(method.removeprefix("resflow-"))
    return (1 - kappa) ** blocks, (1 + kappa) ** blocks


def chain(g_x: nn.Module, g_z: nn.Module, method: str) -> Chain:
    """The flow of that method: residual blocks share g_x."""
    if method == "impflow":
        return Chain(g_x.dim, [ImplicitBlock(g_x, g_z)]).eval()
    return Chain(g_x.dim, [ImplicitBlock(g_x=g_x) for _ in range(int(method.removeprefix("resflow-")))]).eval()


METHODS = ("resflow-1", "resflow-2", "impflow")


def fixed_coefficient(sizes: Sizes) -> list[Part]:
    """At κ < 1 fixed: the interval of every method, which linear networks ±κ x attain."""
    found = []
    for method in METHODS:
        make, gaps, ends = Maker("intervals", method), [], []
        for _, g_x, g_z, x in pairs(sizes):
            low, high = interval(max(g_x.kappa, g_z.kappa), method)
            values = torch.linalg.svdvals(chain_jacobian(chain(g_x, g_z, method), x))
            gaps += [values - low, high - values]
        kappa = sizes.coeff**3
        for sign, end in zip((-1, 1), interval(kappa, method), strict=True):
            ends.append((extreme(kappa, method, sign) - end) / end)
        found.append(make.bound("singular values lie in the interval", DERIVED, gaps))
        found.append(make.equality("±κ x attains its ends", DERIVED, ends))
    gap = interval(kappa, "impflow")[0] - interval(kappa, "resflow-2")[0]
    statement = "two residual blocks contract more than one implicit block can"
    return [*found, Maker("intervals", "resflow-2").bound(statement, DERIVED, gap)]


def extreme(kappa: float, method: str, sign: int) -> Tensor:
    """The slope of that method with g_x = ±κ x and, in an implicit block, g_z = ∓κ x."""
    x = torch.ones(1, 1, dtype=torch.float64)
    unit = torch.eye(1, dtype=torch.float64)
    nets = [linear_net(each * kappa * unit) for each in (sign, -sign)]
    return chain_jacobian(chain(*nets, method), x).flatten()


def measured_slopes(kappas: Sequence[float], sizes: Sizes) -> dict[str, Tensor]:
    """By method, the least and the largest singular value over random networks of each κ, [κ, 2]."""
    found = {}
    for method in METHODS:
        rows = []
        for kappa in kappas:
            values = [
                torch.linalg.svdvals(chain_jacobian(chain(g_x, g_z, method), x))
                for _, g_x, g_z, x in pairs(sizes, kappa ** (1 / 3))
            ]
            rows.append(torch.stack([min(v.min() for v in values), max(v.max() for v in values)]))
        found[method] = torch.stack(rows)
    return found


def reflections(sizes: Sizes, c: float) -> Iterator[Tensor]:
    """Least vᵀ(J_1 + c J_2)v − (1 + c)(1 − κ) over unit v, with J_1 = I + J_{g_x}(x) and J_2 = I + J_{g_z}(z)."""
    for _, g_x, g_z, x in pairs(sizes):
        block = ImplicitBlock(g_x, g_z).eval()
        with torch.no_grad():
            z = block(x)
        both = identity(x) + jacobian(g_x, x) + c * (identity(x) + jacobian(g_z, z))
        yield _least(both) - (1 + c) * (1 - max(g_x.kappa, g_z.kappa))
