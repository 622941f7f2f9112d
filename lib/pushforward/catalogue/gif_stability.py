"""The stability theorem on trained networks: W2 between data and what they generate, against their excess loss."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pushforward.catalogue.settings import family
from pushforward.errors import InputError
from pushforward.experiment import train_once
from pushforward.families import Interpolation
from pushforward.interpolation import TARGETS, schedules
from pushforward.interpolation.flow_map import transport
from pushforward.interpolation.stability import crude, errors_on_line, refined, w2_between_monotone_maps
from pushforward.report.results import Recorder

TARGET = TARGETS["T-A1"]  # two separated modes on the line: W2 is exact there
NET = {"kind": "mlp", "widths": (64, 64), "activation": "silu", "time": True}
TIMES = 201
REACH, NODES = 9.0, 1801  # of the grid over x: beyond it p_t has less than 1e-15 of its mass
RTOL = 1e-8


@dataclass(frozen=True)
class Checkpoint:
    """A network after some iterations: its excess loss ∫ E|v − ṽ|² dt, W2 to the data, and both bounds on W2."""

    schedule: str
    iterations: int
    excess: float
    w2: float
    refined: float
    crude: float
    seconds: float


def checkpoint(schedule: str, iterations: int, fit: Mapping[str, Any], seed: int = 0) -> Checkpoint:
    """Train the velocity of one schedule on the line, and measure it against the closed form.

    C = sup ∂ṽ/∂x is taken over a grid on [−9, 9], far wider than the data: what lies beyond is never visited.
    W2 is that between the exact flow map and the learned one, both increasing, so it is exact.

    Raises:
        InputError: an unknown schedule, or one that starts from other than N(0, 1): W2 would not be that to the data.
    """
    if (start := schedules.by_name(schedule)).b0 > 0 or start.a0 != 1:
        raise InputError(f"schedule {schedule!r} starts from a0={start.a0:g}, b0={start.b0:g}, expected noise: 1, 0")
    settings = {
        "schedule": schedule,
        "prediction": "velocity",
        "net": NET,
        "precondition": (),
        "t_max": 1.0,
        "emphasis": 1.0,
    }
    chosen = family(Interpolation, settings | {"fit": dict(fit) | {"iterations": iterations}})
    result = train_once(f"line-gif-{schedule}-{iterations}", chosen, TARGET.law, seed=seed)
    velocity = result.flow.bijection.blocks[0].velocity.double()
    oracle = TARGET.make(schedules.by_name(schedule))
    times = torch.linspace(0, 1, TIMES, dtype=torch.float64)
    grid = torch.linspace(-REACH, REACH, NODES, dtype=torch.float64)[:, None]
    with torch.no_grad():
        errors = errors_on_line(oracle, velocity, times, grid)
        w2 = w2_between_monotone_maps(
            lambda z: transport(oracle, z, 0, 1, RTOL), lambda z: transport(velocity, z, 0, 1, RTOL)
        )
    fine = refined(times, errors.squared_error, errors.one_sided)
    coarse = crude(times, errors.squared_error, float(errors.one_sided.max()))
    excess = float(torch.trapezoid(errors.squared_error, times))
    return Checkpoint(schedule, iterations, excess, w2, fine, coarse, result.history.seconds)


def record(checkpoints: Iterable[Checkpoint], recorder: Recorder, run: str) -> None:
    """W2, the excess loss, and the slack of both bounds of every checkpoint; a negative slack fails."""
    for c in checkpoints:
        stem = f"gif/line/{c.schedule}-{c.iterations}"
        recorder.add(f"{stem}/w2", c.w2, unit="1", seconds=c.seconds, run=run)
        recorder.add(f"{stem}/excess-loss", c.excess, unit="1", run=run)
        recorder.add(f"{stem}/slack-refined", c.refined - c.w2, unit="1", better="check", at_least=0.0, run=run)
        recorder.add(f"{stem}/slack-crude", c.crude - c.refined, unit="1", better="check", at_least=0.0, run=run)
