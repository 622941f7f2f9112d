"""Peak memory of training block by block against end to end, each training in a process of its own."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

from benchmarks.problem import H, rose
from benchmarks.settings import Say, Settings
from benchmarks.sheet import CASE, Sheet, ratios
from pushforward import paths
from pushforward.fit import FitConfig, fit
from pushforward.flows import ODEBijection
from pushforward.flows.flow import standard_normal_log_prob
from pushforward.metrics.estimate import in_batches
from pushforward.nets import MLP
from pushforward.numerics import FixedGrid
from pushforward.objectives import JKOObjective, Loss
from pushforward.report.provenance import peak_memory
from pushforward.report.results import Row
from pushforward.shapes import Points

BLOCKS = (2, 4, 8)
BATCH = 4000
REPEATS = 2  # at most: the figures repeat to 0.1 %
POOL = 16_000  # training points
ITERATIONS = 2  # every step needs the same memory; the second has Adam's moments too


def new_blocks(count: int) -> list[ODEBijection]:
    """``count`` blocks of the paper's network, two RK4 steps each."""
    return [ODEBijection(MLP(2), FixedGrid(2), "discrete") for _ in range(count)]


@dataclass(frozen=True)
class EndToEnd:
    """−log p of the whole chain plus every block's movement: one graph through all blocks."""

    blocks: Sequence[ODEBijection]

    def __call__(self, x: Points, generator: torch.Generator) -> Loss:
        total, movement = x.new_zeros(len(x)), x.new_zeros(len(x))
        for block in self.blocks:
            y, log_det = block.forward_and_log_det(x)
            total, movement = total + log_det, movement + (y - x).square().sum(1) / (2 * H)
            x = y
        return Loss({"nll": -(standard_normal_log_prob(x) + total).mean(), "movement": movement.mean()})


def block_wise(blocks: Sequence[ODEBijection], points: Points, config: FitConfig) -> None:
    """Train each block on the points that those before it have pushed; no graph outlives its block."""
    for block in blocks:
        fit(block, JKOObjective(block, H), points, config, seed=0)
        points = in_batches(block, points, config.batch)


def end_to_end(blocks: Sequence[ODEBijection], points: Points, config: FitConfig) -> None:
    """Train all blocks at once."""
    fit(nn.ModuleList(blocks), EndToEnd(blocks), points, config, seed=0)


WAYS = {"block-wise": block_wise, "end-to-end": end_to_end}


def growth(way: str, blocks: int, batch: int) -> float:
    """MiB by which this process's peak grows in training, after the same training on a tiny batch has warmed it up."""
    torch.set_num_threads(1)
    points = rose(POOL, 1).train
    WAYS[way](new_blocks(1), points, FitConfig(ITERATIONS, 16))
    before = peak_memory()
    WAYS[way](new_blocks(blocks), points, FitConfig(ITERATIONS, batch))
    return peak_memory() - before


def in_fresh_process(way: str, blocks: int, batch: int) -> float:
    """``growth`` in a new interpreter: a peak never falls, so each needs its own."""
    command = [sys.executable, "-m", "benchmarks.memory", way, str(blocks), str(batch)]
    # glibc keeps in its heap, by chance, more or less of what was freed; large blocks in maps of their own go back
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=paths.root())
    return json.loads(done.stdout)


def run(settings: Settings, say: Say) -> list[Row]:
    """Rows of ``peak-memory-<blocks>``: end-to-end over block-wise, and both in MiB."""
    sheet = Sheet("memory", asdict(settings) | {"batch": BATCH, "iterations": ITERATIONS, "h": H}, settings.seeds)
    for blocks in BLOCKS:
        mib: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in settings.seeds[:REPEATS]:
            for way in WAYS:
                mib[way].append(in_fresh_process(way, blocks, BATCH))
        say(f"{blocks} blocks: " + ", ".join(f"{way} {values[-1]:.0f} MiB" for way, values in mib.items()))
        note = f"peak memory of training end to end over block by block, batch {BATCH}"
        values = ratios(mib["end-to-end"], mib["block-wise"])
        sheet.add(f"{CASE}/block-wise-vs-end-to-end/peak-memory-{blocks}", values, "ratio", "higher", note)
        for way, values in mib.items():
            sheet.add(f"{CASE}/{way}/peak-memory-{blocks}", values, "MiB", "lower", "growth of the process's peak")
    return sheet.save([rose(POOL, 1)])


def main() -> None:
    """Print the growth of one way; the parent reads it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("blocks", type=int)
    parser.add_argument("batch", type=int)
    options = parser.parse_args()
    print(json.dumps(growth(options.way, options.blocks, options.batch)))


if __name__ == "__main__":
    main()
