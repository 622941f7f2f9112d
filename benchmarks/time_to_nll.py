"""CPU-seconds to the same NLL: the paper-faithful baseline, our trainer with the same network, our lattice."""

from dataclasses import asdict
from typing import NamedTuple

from benchmarks.problem import H, Problem, rose
from benchmarks.recipe import LATTICE, OURS, PAPER, Timed, warm_up
from benchmarks.settings import Say, Settings
from benchmarks.sheet import CASE, Sheet, ratios
from pushforward.errors import NotConverged
from pushforward.report.results import Row


class Round(NamedTuple):
    """The NLL at the end of the baseline's budget, and the seconds of each side to it."""

    target: float
    paper: float
    ours: float
    lattice: float


def run(settings: Settings, say: Say) -> list[Row]:
    """Rows of ``time-to-nll``: two ratios to the baseline, and the seconds and the NLL behind them."""
    recipes = {"paper-faithful": PAPER.settings(), "ours": OURS.settings(), "lattice": LATTICE.settings()}
    sheet = Sheet("time-to-nll", asdict(settings) | {"h": H} | recipes, settings.seeds)
    split = rose(settings.points, settings.held_out)
    problem = Problem.of(split)
    warm_up(problem, (PAPER, OURS, LATTICE))
    rounds = []
    for seed in settings.seeds:
        rounds.append(one_round(problem, seed, settings.budget))
        say("NLL {:.4f}: paper-faithful {:.1f} s, ours {:.2f} s, lattice {:.2f} s".format(*rounds[-1]))
    record(sheet, rounds)
    return sheet.save([split], training_seconds=sum(sum(r[1:]) for r in rounds))


def one_round(problem: Problem, seed: int, budget: float) -> Round:
    """The baseline spends its budget; the others run to the NLL where it ended.

    Raises:
        NotConverged: one of ours does not get there in the baseline's budget.
    """
    baseline = PAPER.train(problem, seed, budget=budget)
    target = baseline.nll[-1]
    ours, lattice = (recipe.time_to(problem, seed, target, budget) for recipe in (OURS, LATTICE))
    return Round(target, baseline.time_to(target), _reached("ours", ours, target), _reached("lattice", lattice, target))


def record(sheet: Sheet, rounds: list[Round]) -> None:
    """The rows of all rounds."""
    target, paper, ours, lattice = (list(column) for column in zip(*rounds, strict=True))
    note = "CPU-seconds of the baseline over ours to the NLL where its budget ends"
    sheet.add(f"{CASE}/ours-vs-paper-faithful/time-to-nll", ratios(paper, ours), "ratio", "higher", note)
    sheet.add(f"{CASE}/lattice-vs-paper-faithful/time-to-nll", ratios(paper, lattice), "ratio", "higher", note)
    for name, seconds in (("paper-faithful", paper), ("ours", ours), ("lattice", lattice)):
        sheet.add(f"{CASE}/{name}/time-to-nll", seconds, "s", "lower")
    sheet.add(f"{CASE}/paper-faithful/nll-at-budget", target, "nats", "lower")


def _reached(name: str, timed: Timed, target: float) -> float:
    if timed.reached:
        return timed.seconds
    raise NotConverged(
        f"{name} did not reach the baseline's NLL of {target:.4f} in its {timed.seconds:.0f} s: tune the recipe"
    )
