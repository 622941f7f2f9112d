"""T1: one root, whatever the start. The certificate: no solver's iterate is farther from the root than it says."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from pushforward.catalogue.implicit_theorems.maps import pairs, points
from pushforward.catalogue.implicit_theorems.parts import DERIVED, PAPER, Maker, Part, Sizes
from pushforward.flows import Chain, ImplicitBlock
from pushforward.implicit import SOLVERS, FixedPoint, LipschitzMLP
from pushforward.implicit.equation import Equation
from pushforward.seeds import stream
from pushforward.shapes import Points

TIGHT = 1e-12  # of the solves against which others are measured
FAR = 10.0  # standard deviation of random starts
SAME = 1e-8
HALF = 0.5  # of a row: none may be left


def one_root(sizes: Sizes) -> list[Part]:
    """T1. Fixed-point solves from many far starts end in one z; so do those of the inverse; the two are inverse."""
    make = Maker("t1", "impflow")
    apart, certificates, trips = [], [], []
    for _, g_x, g_z, x in pairs(sizes):
        for explicit, implicit in ((g_x, g_z), (g_z, g_x)):
            roots, bounds = _from_many_starts(explicit, implicit, x, sizes.starts)
            apart.append(torch.cdist(roots, roots))
            certificates.append(bounds[:, None] + bounds[:, :, None] - apart[-1])
    for dim in sizes.dims:
        trips += _round_trips(dim, sizes)
    return [
        make.identity("roots from far starts agree", PAPER, apart, SAME),
        make.bound("roots differ by no more than both certificates say", DERIVED, certificates),
        make.identity("x → z → x and z → x → z, 1 to 4 blocks", PAPER, trips, SAME),
    ]


def _from_many_starts(explicit: LipschitzMLP, implicit: LipschitzMLP, x: Points, starts: int) -> tuple[Tensor, Tensor]:
    """Roots [n, starts, d] and their certified errors [n, starts]."""
    with torch.no_grad():
        rhs = (x + explicit(x)).repeat_interleave(starts, 0)
        noise = FAR * torch.randn(rhs.shape, generator=stream(0, "implicit theorems: starts"), dtype=rhs.dtype)
        found = FixedPoint()(Equation(implicit, rhs), noise, implicit.kappa, TIGHT)
    return found.x.view(len(x), starts, -1), found.bound.view(len(x), starts)


@torch.no_grad()
def _round_trips(dim: int, sizes: Sizes) -> list[Tensor]:
    nets = [(g_x, g_z) for d, g_x, g_z, _ in pairs(sizes) if d == dim]
    x, errors = points(sizes.points, dim), []
    for count in range(1, 5):
        chain = Chain(dim, [ImplicitBlock(*nets[k % len(nets)]) for k in range(count)]).eval()
        errors += [chain.inverse(chain(x)) - x, chain(chain.inverse(x)) - x]
    return errors


def certificates(sizes: Sizes) -> list[Part]:
    """‖z − z*‖ ≤ ‖F(z)‖/(1 − κ) wherever a solver is stopped, a method a solver."""
    return [part for name in SOLVERS for part in _certificates_of(name, sizes)]


def _certificates_of(name: str, sizes: Sizes) -> list[Part]:
    make, stops = Maker("certificate", name), descent(name, sizes)
    bound = make.bound("|z − z*| ≤ |F(z)|/(1 − κ)", DERIVED, [stop.bound - stop.error for stop in stops])
    last = make.identity("rows without a certificate", DERIVED, [stop.unconverged for stop in stops], HALF)
    return [bound, last]


@dataclass(frozen=True)
class Stop:
    """A solver stopped at ``tol``: mean iterations, and per row the true error and the certified one."""

    tol: float
    iterations: float
    error: Tensor
    bound: Tensor
    unconverged: int


@lru_cache(maxsize=16)
@torch.no_grad()
def descent(name: str, sizes: Sizes) -> tuple[Stop, ...]:
    """A solver of ``SOLVERS`` stopped ever later, on the random blocks of the largest dimension."""
    equations = [(Equation(g_z, x + g_x(x)), g_z.kappa) for dim, g_x, g_z, x in pairs(sizes) if dim == max(sizes.dims)]
    truths = [SOLVERS["newton"]()(each, each.rhs, kappa, TIGHT / 10).x for each, kappa in equations]
    stops = []
    for tol in sizes.tolerances:
        found = [SOLVERS[name]()(each, each.rhs, kappa, tol) for each, kappa in equations]
        iterations = torch.cat([result.iterations for result in found]).double().mean()
        error = torch.cat([(result.x - truth).norm(dim=1) for result, truth in zip(found, truths, strict=True)])
        bound = torch.cat([result.bound for result in found])
        left = sum(int((~result.converged).sum()) for result in found)
        stops.append(Stop(tol, float(iterations), error, bound, left))
    return tuple(stops)
