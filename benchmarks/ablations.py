"""What each idea buys: seconds to the same NLL without it over seconds with it, everything else as in our recipe."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.paper_faithful import AdjointGrid
from benchmarks.problem import Problem, rose, zero_last_layer
from benchmarks.recipe import OURS, Recipe, Timed, plain_paper_network, warm_up
from benchmarks.settings import Say, Settings
from benchmarks.sheet import CASE, Sheet
from pushforward.numerics import FiniteDifference, FixedGrid
from pushforward.report.results import Row

TARGET = 3.45  # nats: about where the baseline stands after two minutes
HELD_OUT = 1000  # enough to rank ideas by; with more, looking takes longer than training
START = OURS.but(validate_every=10)
TRACE = START.but(log_det="trace")


@dataclass(frozen=True)
class Idea:
    """One change of the recipe.

    Args:
        name: as in the row's id.
        other: our recipe without the idea where it is kept, with it where it is not.
        kept: whether our recipe has it.
        why: a word on the choice.
        reference: what ``other`` is compared with: our recipe, or ours with the other log-determinant, where ``other``
            would else differ from it in two things.
        affine: whether ``other`` starts behind the affine map.
    """

    name: str
    other: Recipe
    kept: bool
    why: str
    reference: Recipe = START
    affine: bool = True


FD = TRACE.but(network=plain_paper_network, divergence=FiniteDifference(0.02))
ADJOINT = TRACE.but(solver=AdjointGrid(1))
SLOW = START.but(lr=1e-4, schedule="constant", iterations=10_000, validate_every=40)
IDEAS = (
    Idea("exact-divergence", FD, True, "against a finite difference, cheaper and biased", TRACE),
    Idea("plain-backprop", ADJOINT, True, "against the adjoint ODE", TRACE),
    Idea("discrete-log-det", TRACE, True, "against the trace, which coarse steps can exploit"),
    Idea("one-step", START.but(solver=FixedGrid(3)), True, "against three RK4 steps"),
    Idea("learning-rate", SLOW, True, "4e-3 on a cosine against 1e-4 constant"),
    Idea("cosine-schedule", START.but(schedule="constant"), True, "against 4e-3 constant"),
    Idea("small-batch", START.but(batch=2000), True, "500 against 2000"),
    Idea("short-adam-memory", START.but(betas=(0.9, 0.999)), True, "beta2 0.98 against 0.999"),
    Idea("affine-start", START.but(validate_every=40), True, "against a block that starts at the data", affine=False),
    Idea("bf16", START.but(bf16=True), False, "pays only where the CPU multiplies bfloat16"),
    Idea("compiled-steps", START.but(compile=True), False, "with the seconds that compiling takes in this process"),
    Idea("midpoint-rule", START.but(solver=FixedGrid(1, "midpoint")), False, "the NLL rises in longer training"),
    Idea("zero-last-layer", START.but(network=zero_last_layer), False, "both sides share the start of the paper"),
    Idea("clipping", START.but(clip=1.0), False, "norm 1, as the baseline has it"),
)


def run(settings: Settings, say: Say) -> list[Row]:
    """Rows ``<idea>/time-to-nll``: ratios above one pay; the note says what our recipe keeps."""
    sheet = Sheet("ablations", asdict(settings) | {"ours": START.settings(), "target": TARGET}, settings.seeds)
    split = rose(settings.points, min(settings.held_out, HELD_OUT))
    problems = {affine: Problem.of(split, affine) for affine in (True, False)}
    ideas = [idea for idea in IDEAS if not idea.other.fit.compile or shutil.which("c++")]
    warm_up(problems[True], [START, TRACE, FD, ADJOINT])
    rounds = [_round(ideas, problems, seed, settings.ablation_limit, say) for seed in settings.seeds]
    for idea in ideas:
        add(sheet, idea, [timed[idea.name] for timed in rounds])
    return sheet.save([split])


def _round(
    ideas: Sequence[Idea], problems: dict[bool, Problem], seed: int, limit: float, say: Say
) -> dict[str, tuple[Timed, Timed]]:
    """(without, with) of every idea; the reference runs again beside each, for a busy machine drifts in minutes."""
    pairs = {}
    for idea in ideas:
        reference = idea.reference.time_to(problems[True], seed, TARGET, limit)
        other = idea.other.time_to(problems[idea.affine], seed, TARGET, limit)
        without, with_ = pairs[idea.name] = (other, reference) if idea.kept else (reference, other)
        say(f"seed {seed}, {idea.name}: without {without.seconds:.2f} s, with {with_.seconds:.2f} s")
    return pairs


def add(sheet: Sheet, idea: Idea, pairs: Sequence[tuple[Timed, Timed]]) -> Row:
    """One row from (without, with) of every round; where a side gave up the ratio is a bound, and says so."""
    bounds = ["at least: some gave up without it"] if not all(without.reached for without, _ in pairs) else []
    bounds += ["at most: some gave up with it"] if not all(timed.reached for _, timed in pairs) else []
    note = "; ".join(["kept" if idea.kept else "not kept", idea.why, *bounds])
    values = [without.seconds / with_.seconds for without, with_ in pairs]
    return sheet.add(f"{CASE}/{idea.name}/time-to-nll", values, "ratio", "higher", note)
