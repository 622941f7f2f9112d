"""CPU-seconds of one optimiser step at equal batch, the two sides taking turns."""

from dataclasses import asdict

from benchmarks.problem import Problem, rose
from benchmarks.recipe import OURS, PAPER, warm_up
from benchmarks.settings import Say, Settings
from benchmarks.sheet import CASE, Sheet, ratios
from pushforward.report.results import Row

STEPS = 8  # of each side in a turn
TURNS = 3  # a round


def run(settings: Settings, say: Say) -> list[Row]:
    """Rows of ``step-time``: the baseline over ours, and both in seconds."""
    sides = {"paper-faithful": PAPER, "ours": OURS.but(batch=PAPER.fit.batch)}
    sheet = Sheet("step-time", asdict(settings) | {k: r.settings() for k, r in sides.items()}, settings.seeds)
    split = rose(settings.points, settings.held_out)
    problem = Problem.of(split)
    warm_up(problem, sides.values())
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(TURNS * settings.rounds):
        for name, recipe in sides.items():
            seconds[name].append(recipe.step_seconds(problem, turn, STEPS))
        say(", ".join(f"{name} {times[-1]:.4f} s a step" for name, times in seconds.items()))
    note = f"CPU-seconds of a step of the baseline over ours, both at batch {PAPER.fit.batch}"
    values = ratios(seconds["paper-faithful"], seconds["ours"])
    sheet.add(f"{CASE}/ours-vs-paper-faithful/step-time", values, "ratio", "higher", note)
    for name, times in seconds.items():
        sheet.add(f"{CASE}/{name}/step-time", times, "s", "lower", f"batch {sides[name].fit.batch}")
    return sheet.save([split])
