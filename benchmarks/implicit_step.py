"""CPU-seconds of one training step of an implicit flow: ours against the one that its paper describes."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import pushforward as pf
from benchmarks.broyden_flow import BroydenBlock, iterate_norms, spectral_net
from benchmarks.settings import Say, Settings
from benchmarks.sheet import Sheet, ratios
from pushforward.datasets import Split
from pushforward.fit import FitConfig, fit
from pushforward.flows import Chain, ImplicitBlock
from pushforward.implicit import LipschitzMLP, update_norms
from pushforward.objectives import LikelihoodObjective
from pushforward.report.results import Row
from pushforward.seeds import seeded
from pushforward.shapes import Points

CASE = "bench/implicit-checkerboard"
BLOCKS, WIDTHS, COEFF, BATCH = 6, (128, 128), 0.99, 500
TRAINED = 150  # iterations of ours before the second row: at the start every block is all but the identity
STEPS = 4  # of each side in a turn
TURNS = 3  # a round


@dataclass(frozen=True)
class Side:
    """A flow with what its training calls after each step."""

    chain: Chain
    after_step: Callable[[], None]

    def train(self, points: Points, iterations: int, seed: int) -> float:
        """CPU-seconds of a step, the mean over ``iterations``."""
        config = FitConfig(iterations, BATCH, schedule="constant", warmup=0, betas=(0.9, 0.999))
        history = fit(self.chain, LikelihoodObjective(self.chain), points, config, seed, after_step=self.after_step)
        return history.seconds / iterations


def ours(blocks: Sequence[ImplicitBlock]) -> Side:
    """The library's blocks, with their default solver and log-determinant, and exact spectral norms after each step."""
    chain = Chain(2, copy.deepcopy(blocks))
    return Side(chain, lambda: update_norms(chain))


def baseline(blocks: Sequence[ImplicitBlock]) -> Side:
    """The paper's blocks with the same weights."""
    likewise = [BroydenBlock(spectral_net(block.g_x), spectral_net(block.g_z), 2) for block in blocks]
    return Side(Chain(2, likewise), lambda: iterate_norms(likewise))


SIDES = {"broyden-brute-force": baseline, "ours": ours}


def new_blocks(seed: int) -> list[ImplicitBlock]:
    """Blocks as the library starts them, near the identity."""
    with seeded(seed, "bench/init"):
        return [ImplicitBlock(*(LipschitzMLP(2, WIDTHS, "sin", COEFF) for _ in range(2))) for _ in range(BLOCKS)]


def run(settings: Settings, say: Say) -> list[Row]:
    """Rows of ``implicit-step``: the baseline over ours and both in seconds, at the start and in mid-training."""
    problem = {"blocks": BLOCKS, "widths": WIDTHS, "coeff": COEFF, "batch": BATCH, "trained": TRAINED}
    sheet = Sheet("implicit-step", asdict(settings) | problem, settings.seeds)
    split = Split.from_distribution(pf.distributions.checkerboard(), settings.points, settings.held_out, 1)
    blocks = new_blocks(0)
    measure(sheet, blocks, split.train, settings, "", f"batch {BATCH}, blocks near the identity", say)
    side = ours(blocks)
    side.train(split.train, TRAINED, seed=0)
    note = f"batch {BATCH}, weights that {TRAINED} iterations of ours have trained"
    measure(sheet, list(side.chain.blocks), split.train, settings, "-trained", note, say)
    return sheet.save([split])


def measure(
    sheet: Sheet,
    blocks: Sequence[ImplicitBlock],
    points: Points,
    settings: Settings,
    suffix: str,
    note: str,
    say: Say,
) -> None:
    """Let both sides step in turn, from the weights of ``blocks`` each time, and add their rows."""
    seconds: dict[str, list[float]] = {name: [] for name in SIDES}
    for side in SIDES.values():
        side(blocks).train(points, 1, seed=0)  # no lazy import is timed
    for turn in range(TURNS * settings.rounds):
        for name, side in SIDES.items():
            seconds[name].append(side(blocks).train(points, STEPS, turn))
        say(f"{note}: " + ", ".join(f"{name} {times[-1]:.4f} s a step" for name, times in seconds.items()))
    values = ratios(seconds["broyden-brute-force"], seconds["ours"])
    text = f"CPU-seconds of a step of the baseline over ours, {note}"
    sheet.add(f"{CASE}/ours-vs-broyden-brute-force/step-time{suffix}", values, "ratio", "higher", text)
    for name, times in seconds.items():
        sheet.add(f"{CASE}/{name}/step-time{suffix}", times, "s", "lower", note)
