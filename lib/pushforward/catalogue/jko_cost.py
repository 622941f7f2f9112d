"""What JKO blocks cost when they are trained one after the other, and when all at once (arXiv 2212.14424, §3.3)."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from pushforward import datasets, paths
from pushforward.catalogue.settings import family
from pushforward.errors import InputError
from pushforward.families import FFJORD, JKO
from pushforward.files import write_json
from pushforward.peak_memory import Cost, training_cost
from pushforward.report.check import check_above, check_below
from pushforward.report.results import Recorder
from pushforward.shapes import Points

ALGORITHM = 1  # raise it when the same settings would cost otherwise
SETTINGS = {
    "velocity": {"kind": "mlp", "widths": [64, 64], "activation": "silu"},
    "h0": 0.5,
    "growth": 1.0,
    "steps": 2,
    "pool": 2500,
    "log_det": "trace",
    "stop_ratio": 0.0,
    "stop_on_rise": False,
    "fit": {"iterations": 1, "batch": 2000, "lr": 0.002},
}
GROWTH = 1.05  # of the memory of block-wise training, from the fewest blocks to the most


def all_at_once(blocks: JKO) -> FFJORD:
    """The blocks of a JKO flow in one stage: a minibatch goes through all of them, forward and back.

    They take as many minibatches as one after the other, ``fit.iterations`` for each. The loss is the likelihood alone:
    the price of movement, which no FFJORD pays, would cost a subtraction a block.

    Raises:
        InputError: a setting that FFJORD does not have and that changes what a block costs.
    """
    alike = {"method": "rk4", "log_det": "trace", "diffusion": 0.0, "target": None, "parent": None}
    given = {name: getattr(blocks, name) for name in alike}
    if given != alike or blocks.velocity is None or blocks.fit is None:
        raise InputError(
            f"the blocks have {given}, velocity {blocks.velocity} and fit {blocks.fit}, expected {alike}, "
            "a velocity and a fit: FFJORD has nothing else"
        )
    timeless = {"time": False} if blocks.velocity["kind"] == "mlp" else {}
    count = len(blocks.step_sizes())
    return FFJORD(
        {**timeless, **blocks.velocity},
        steps=blocks.steps,
        divergence=blocks.divergence,
        precondition=blocks.precondition,
        pool=blocks.pool,
        fit=replace(blocks.fit, iterations=blocks.fit.iterations * count),
        blocks=count,
    )


WAYS: dict[str, Callable[[JKO], JKO | FFJORD]] = {"block-wise": lambda blocks: blocks, "end-to-end": all_at_once}


class CostStudy:
    """Memory, seconds and velocity evaluations of both ways for growing numbers of blocks; each measured once.

    Args:
        costs: by way and number of blocks; each in a process of its own.
        batch: points of a minibatch.
    """

    def __init__(self, costs: Mapping[str, Mapping[int, Cost]], batch: int) -> None:
        self.costs, self.batch = costs, batch

    def table(self) -> list[dict[str, Any]]:
        """A row a way and number of blocks."""
        return [
            {"training": way, "blocks": blocks, "MiB": cost.memory, "CPU s": cost.seconds}
            | {"evaluations": cost.evaluations, "minibatches": cost.minibatches}
            for way, by_blocks in self.costs.items()
            for blocks, cost in by_blocks.items()
        ]

    def growth(self, way: str) -> float:
        """Memory with the most blocks over that with the fewest."""
        by_blocks = self.costs[way]
        return by_blocks[max(by_blocks)].memory / by_blocks[min(by_blocks)].memory

    def check(self) -> None:
        """Print what holds; AssertionError otherwise."""
        check_below("growth of the memory of block-wise training", self.growth("block-wise"), GROWTH)
        counts = self.costs["end-to-end"]
        least = 0.5 * max(counts) / min(counts)
        check_above("growth of the memory of end-to-end training", self.growth("end-to-end"), least)

    def record(self, record: Recorder, run: str) -> None:
        """Put every number into the results table."""
        for way, by_blocks in self.costs.items():
            for blocks, cost in by_blocks.items():
                case = f"jko/cost/{way}"
                record.add(f"{case}/memory-{blocks}", cost.memory, unit="MiB", run=run)
                record.add(f"{case}/seconds-{blocks}", cost.seconds, unit="s", run=run)
                record.add(f"{case}/nfe-{blocks}", cost.evaluations, unit="1", run=run)
        growth, row = self.growth("block-wise"), "jko/cost/block-wise/memory-growth"
        record.add(row, growth, unit="ratio", better="check", at_most=GROWTH, run=run)
        record.add("jko/cost/end-to-end/memory-growth", self.growth("end-to-end"), unit="ratio", run=run)


def study(name: str, settings: Mapping[str, Any], blocks: Iterable[int], profile: str = "quick") -> CostStudy:
    """Measure both ways on the first training points of a data set, ``pool`` of them.

    ``settings`` replace what ``SETTINGS`` says. ``fit.iterations`` is that of each block; end to end takes as many
    minibatches in all.

    Raises:
        InputError: unknown data set or setting, or no number of blocks.
        DataError: the data is absent or altered.
    """
    counts = sorted(set(blocks))
    if not counts:
        raise InputError("blocks is empty, expected the numbers of blocks to measure, such as [2, 4, 8, 16]")
    settings = {**SETTINGS, **settings}
    points = datasets.load(name, profile).train[: settings["pool"]]
    costs = {
        way: {count: _once(way, trained(family(JKO, {**settings, "blocks": count})), points) for count in counts}
        for way, trained in WAYS.items()
    }
    return CostStudy(costs, settings["fit"]["batch"])


def _once(way: str, chosen: JKO | FFJORD, points: Points) -> Cost:
    """The cost, remembered in ``artifacts/cost-<way>-<key>/``."""
    data = hashlib.sha256(points.numpy().tobytes()).hexdigest()
    question = json.dumps([ALGORITHM, chosen.name, chosen.algorithm_version, asdict(chosen), data], sort_keys=True)
    path = paths.artifacts() / f"cost-{way}-{hashlib.sha256(question.encode()).hexdigest()[:12]}" / "cost.json"
    if path.is_file():
        return Cost(**json.loads(path.read_text()))
    cost = training_cost(chosen, points, iterations=None)
    write_json(path, asdict(cost))
    print(f"{way}, {chosen.blocks} blocks: {cost.memory:.0f} MiB, {cost.seconds:.1f} CPU-seconds", flush=True)
    return cost
