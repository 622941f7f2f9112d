"""Seconds of the closed-form velocity of a large mixture, on two threads: ours against a loop over components."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict

import torch
from torch import Tensor

from benchmarks.settings import Say, Settings
from benchmarks.sheet import Sheet, ratios
from benchmarks.threads import threads
from pushforward.distributions import GaussianMixture
from pushforward.interpolation import MixtureInterpolation, by_name
from pushforward.report.results import Row
from pushforward.seeds import stream
from pushforward.shapes import Points

COMPONENTS, DIM, POINTS, TIME = 100, 64, 10_000, 0.5
TURNS = 3  # a round
THREADS = 2
CASE = "bench/mixture-100-in-64d"


def run(settings: Settings, say: Say) -> list[Row]:
    """Rows of ``closed-form``: the loop over ours, and both in wall seconds."""
    problem = {"components": COMPONENTS, "dim": DIM, "points": POINTS, "threads": THREADS, "dtype": "float64"}
    sheet = Sheet("closed-form", asdict(settings) | problem, settings.seeds)
    oracle = MixtureInterpolation(mixture(), by_name("linear"))
    x = oracle.sample(TIME, POINTS, stream(0, "bench/points"), torch.float64)
    sides = {"loop": lambda: loop(oracle, TIME, x), "ours": lambda: oracle(TIME, x)}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    with threads(THREADS):
        for side in sides.values():
            side()  # warm up
        for _ in range(TURNS * settings.rounds):
            for name, side in sides.items():
                seconds[name].append(_wall(side))
            say(", ".join(f"{name} {times[-1]:.3f} s" for name, times in seconds.items()))
    values = ratios(seconds["loop"], seconds["ours"])
    sheet.add(f"{CASE}/ours-vs-loop/velocity", values, "ratio", "higher", "wall seconds of the loop over ours")
    for name, times in seconds.items():
        sheet.add(f"{CASE}/{name}/velocity", times, "s", "lower", f"wall seconds on {THREADS} threads, float64")
    return sheet.save([])


def mixture() -> GaussianMixture:
    """100 components with full covariances in 64 dimensions."""
    generator = stream(0, "bench/mixture")
    means = torch.randn(COMPONENTS, DIM, generator=generator, dtype=torch.float64)
    roots = torch.randn(COMPONENTS, DIM, DIM, generator=generator, dtype=torch.float64) / math.sqrt(DIM)
    covariances = roots @ roots.mT + 0.1 * torch.eye(DIM, dtype=torch.float64)
    return GaussianMixture([1 / COMPONENTS] * COMPONENTS, means, covariances=covariances)


def loop(oracle: MixtureInterpolation, t: float, x: Points) -> Points:
    """v = Σ r_i v_i with a Cholesky factor and two triangular solves a component, one component after the other."""
    a2, aa_prime, b, b_prime = oracle.schedule.at(t)
    law, eye = oracle.law, torch.eye(oracle.dim, dtype=x.dtype)
    log_weights: list[Tensor] = []
    velocities: list[Points] = []
    for weight, mean, root in zip(law.weights, law.means, law.roots, strict=True):
        covariance = root @ root.T
        factor = torch.linalg.cholesky(a2 * eye + b**2 * covariance)
        offset = (x - b * mean).T
        solved = torch.cholesky_solve(offset, factor)
        log_det = 2 * factor.diagonal().log().sum()
        log_weights.append(weight.log() - 0.5 * log_det - 0.5 * (offset * solved).sum(0))
        velocities.append(b_prime * mean + ((aa_prime * eye + b * b_prime * covariance) @ solved).T)
    responsibilities = torch.softmax(torch.stack(log_weights), 0)
    return torch.einsum("kn,knd->nd", responsibilities, torch.stack(velocities))


def _wall(side: Callable[[], Points]) -> float:
    started = time.perf_counter()
    side()
    return time.perf_counter() - started
