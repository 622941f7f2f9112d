"""T2: any strongly monotone map is one block, built exactly. C1: so are two residual blocks. R3: three need not be."""

import math

import torch

from pushforward.catalogue.implicit_theorems.maps import (
    Monotone,
    block_jacobian,
    block_of,
    chain_jacobian,
    contraction,
    identity,
    jacobian,
    linear_net,
    points,
    random_net,
    residual_flows,
    scaled,
)
from pushforward.catalogue.implicit_theorems.parts import DERIVED, PAPER, Maker, Part, Sizes
from pushforward.catalogue.implicit_theorems.slopes import reflections
from pushforward.flows import Chain, ImplicitBlock
from pushforward.implicit import Anderson, LipschitzMLP
from pushforward.shapes import Points

SAME = 1e-8
MILD = 0.8  # norm of a layer in C1: κ = 0.512, and the one block that two become has κ = 0.95
SLOPES = (10.0, 100.0, 1000.0)
REFLECTION = 0.729


@torch.no_grad()
def monotone_maps(sizes: Sizes) -> list[Part]:
    """T2. f, and f_b ∘ f_a, reproduced by one block; κ of its networks within the formula; slopes without bound."""
    make, errors, gaps, pairs_of_maps, steep = Maker("t2", "impflow"), [], [], [], []
    for dim in sizes.dims:
        for k in range(sizes.nets):
            f, h = Monotone(dim, 2 * k), Monotone(dim, 2 * k + 1)  # h is the inverse of f_b
            x = points(sizes.points, dim, k)
            gamma = min(1.0, f.monotonicity / f.stretch**2)
            kappa = contraction(gamma, f.monotonicity, f.stretch)
            block = block_of(f, gamma, dim, kappa)
            errors += [block(x) - f(x), block.inverse(f(x)) - x]
            gaps.append(kappa - torch.linalg.svdvals(jacobian(block.g_x, x)))
            pairs_of_maps.append(h(_composition(f, h)(x)) - f(x))
    for slope in SLOPES:
        x = points(sizes.points, 1)
        block = block_of(linear_net(slope * identity(x)), 1 / slope, 1, 0.0)
        steep += [block_jacobian(block, x) / slope - 1, block.inverse(x) * slope - x]
    return [
        make.identity("one block equals a given strongly monotone f", PAPER, errors, SAME),
        make.bound("|γJ_f − I|² ≤ 1 − 2γm + γ²M²", DERIVED, gaps),
        make.identity("one block equals a given f_b ∘ f_a", PAPER, pairs_of_maps, SAME),
        make.identity("blocks of slope 10, 100 and 1000, and their inverses", PAPER, steep, SAME),
    ]


def _composition(f: Monotone, h: Monotone) -> ImplicitBlock:
    """h⁻¹ ∘ f: the equation γ h(z) = γ f(x), with one γ that serves both."""
    gamma = min(each.monotonicity / each.stretch**2 for each in (f, h))
    return ImplicitBlock(
        *[scaled(g, gamma, g.dim, contraction(gamma, g.monotonicity, g.stretch)) for g in (f, h)]
    ).eval()


@torch.no_grad()
def two_residual_blocks(sizes: Sizes) -> list[Part]:
    """C1. Two residual blocks turned into one implicit one; two of them stretch by less than 4, it by 10."""
    errors, gaps = [], []
    for dim in sizes.dims:
        for k in range(sizes.nets):
            first, second = random_net(dim, MILD, 2 * k), random_net(dim, MILD, 2 * k + 1)
            x = points(sizes.points, dim, k)
            y = x + first(x)
            errors.append(converted(first, second)(x) - (y + second(y)))
    for flow in residual_flows(sizes, 2, sizes.dims):
        gaps.append(4 - torch.linalg.svdvals(chain_jacobian(flow, points(sizes.points, flow.dim))))
    steep = block_of(linear_net(torch.full((1, 1), 10.0, dtype=torch.float64)), 0.1, 1, 0.0)
    reach = block_jacobian(steep, points(sizes.points, 1)) - 4
    return [
        Maker("c1", "resflow-2").bound("two residual blocks stretch by less than 4", PAPER, gaps),
        Maker("c1", "impflow").identity("one implicit block equals two given residual ones", PAPER, errors, SAME),
        Maker("c1", "impflow").bound("one implicit block stretches by 4 and more", PAPER, reach),
    ]


def converted(first: LipschitzMLP, second: LipschitzMLP) -> ImplicitBlock:
    """One block that equals (Id + second) ∘ (Id + first): g_x = γ f_a − Id, g_z = γ f_b⁻¹ − Id.

    f_b = Id + g gives vᵀJv ≥ |v|²/(1 + κ) and |J| ≤ 1/(1 − κ) for J of f_b⁻¹ (derived here).
    """
    outer = ImplicitBlock(g_x=second).eval()
    a, b = first.kappa, second.kappa
    constants = ((1 - a, 1 + a), (1 / (1 + b), 1 / (1 - b)))
    gamma = min(m / stretch**2 for m, stretch in constants)
    kappas = [contraction(gamma, *each) for each in constants]
    maps = (lambda x: x + first(x), outer.inverse)
    g_x, g_z = (scaled(f, gamma, first.dim, kappa) for f, kappa in zip(maps, kappas, strict=True))
    return ImplicitBlock(g_x, g_z, solver=Anderson()).eval()  # Newton would differentiate through a solve


def rotation() -> torch.Tensor:
    """A = 0.9 times the rotation by 60 degrees: |A − I|² = 0.91, A³ = −0.729 I."""
    angle = math.pi / 3
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return 0.9 * torch.tensor(turn, dtype=torch.float64)


def three_turns() -> Chain:
    """Three residual blocks whose composition is x ↦ −0.729 x."""
    net = linear_net(rotation() - torch.eye(2, dtype=torch.float64))
    return Chain(2, [ImplicitBlock(g_x=net) for _ in range(3)]).eval()


def witness(sizes: Sizes) -> list[Part]:
    """R3. Three residual blocks turn the plane by half; one implicit block cannot: −c J_{f_2} = J_{f_1} would follow,
    and vᵀ(J_{f_1} + c J_{f_2})v > 0.
    """
    make, x = Maker("r3", "resflow-3"), points(sizes.points, 2)
    flow = three_turns()
    with torch.no_grad():
        error = flow(x) + REFLECTION * x
    norm = torch.tensor(flow.blocks[0].g_x.kappa - math.sqrt(0.91))
    planar = Sizes(nets=sizes.nets, points=sizes.points, dims=(2,), coeff=sizes.coeff)
    return [
        make.identity("|A − I| = √0.91 < 1", DERIVED, norm, 1e-12),
        make.identity("three residual blocks equal −0.729 x", DERIVED, error, 1e-10),
        Maker("r3", "impflow").bound(
            "vᵀ(J_{f_1} + c J_{f_2})v ≥ (1 + c)(1 − κ)|v|²", DERIVED, list(reflections(planar, REFLECTION))
        ),
    ]


def turned(points_of: Points) -> dict[str, torch.Tensor]:
    """Points [n, 2] after 0, 1, 2 and 3 blocks of the witness."""
    found, flow = {"x": points_of}, three_turns()
    with torch.no_grad():
        for k, block in enumerate(flow.blocks, start=1):
            found[f"after {k}"] = block(list(found.values())[-1])
    return found
