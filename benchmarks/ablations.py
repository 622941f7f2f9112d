"""What each idea buys: seconds to the same NLL without it over seconds with it, everything else as in our recipe."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.paper_faithful import AdjointGrid
from benchmarks.problem import Problem, zero_last_layer
from benchmarks.recipe import OURS, Recipe, Timed, plain_paper_network, warm_up
from benchmarks.settings import Say, Settings
from benchmarks.sheet import Sheet
from pushforward.numerics import FiniteDifference, FixedGrid
from pushforward.report.results import Row

TARGET = 3.45  # nats: about where the baseline stands after two minutes
TRACE = OURS.but(log_det="trace")


@dataclass(frozen=True)
class Idea:
    """One change of the recipe. ``reference`` is what it is compared with: ours, if that has the idea or lacks only it.

    Args:
        name: as in the row's id.
        other: ours without the idea where it is kept, ours with it where it is not.
        kept: whether our recipe has it.
        why: a word on the choice.
        reference: another recipe to compare with, where ours differs in more than the idea.
        affine: whether ``other`` starts behind the affine map.
    """

    name: str
    other: Recipe
    kept: bool
    why: str
    reference: Recipe = OURS
    affine: bool = True


IDEAS = (
    Idea(
        "exact-divergence",
        TRACE.but(network=plain_paper_network, divergence=FiniteDifference(0.02)),
        True,
        "against the finite-difference estimate",
        reference=TRACE,
    ),
    Idea("discrete-log-det", TRACE, True, "against the integral of the trace, on the same grid"),
    Idea("plain-backprop", TRACE.but(solver=AdjointGrid(1)), True, "against the adjoint ODE", reference=TRACE),
    Idea("one-step", OURS.but(solver=FixedGrid(3)), True, "against three RK4 steps"),
    Idea("learning-rate", OURS.but(lr=1e-4), True, "4e-3 against 1e-4"),
    Idea("cosine-schedule", OURS.but(schedule="constant"), True, "against a constant rate"),
    Idea("small-batch", OURS.but(batch=2000), True, "500 against 2000"),
    Idea("short-adam-memory", OURS.but(betas=(0.9, 0.999)), True, "beta2 0.98 against 0.999"),
    Idea("affine-start", OURS, True, "against a block that starts at the data itself", affine=False),
    Idea("bf16", OURS.but(bf16=True), False, "left out: pays only where the CPU multiplies bfloat16"),
    Idea("compiled-steps", OURS.but(compile=True), False, "left out: the compiler's seconds outweigh a short fit"),
    Idea("midpoint-rule", OURS.but(solver=FixedGrid(1, "midpoint")), False, "left out: folds once trained for longer"),
    Idea("zero-last-layer", OURS.but(network=zero_last_layer), False, "left out: the baseline gains from the other start"),
    Idea("clipping", OURS.but(clip=1.0), False, "left out"),
)


def run(settings: Settings, say: Say) -> list[Row]:
    """Rows ``bench/jko-rose/<idea>/time-to-nll``, and a table that says which ideas our recipe keeps."""
    sheet = Sheet("ablations", asdict(settings) | {"ours": OURS.settings(), "target": TARGET}, settings.seeds)
    problems = {affine: Problem.rose(settings.points, settings.held_out, affine) for affine in (True, False)}
    warm_up(problems[True], {idea.other for idea in IDEAS if not idea.other.fit.compile} | {OURS})
    pairs: dict[str, list[tuple[Timed, Timed]]] = {idea.name: [] for idea in IDEAS}
    for seed in settings.seeds:
        for idea in IDEAS:
            reference = idea.reference.time_to(problems[True], seed, TARGET, settings.ablation_limit)
            other = idea.other.time_to(problems[idea.affine], seed, TARGET, settings.ablation_limit)
            pairs[idea.name].append((other, reference) if idea.kept else (reference, other))
        say(f"{len(IDEAS)} ideas, seed {seed}")
    for idea in IDEAS:
        add(sheet, idea, pairs[idea.name])
    return sheet.save()


def add(sheet: Sheet, idea: Idea, pairs: Sequence[tuple[Timed, Timed]]) -> Row:
    """One row from (without, with) of every round; where a side gave up the ratio is a bound, and says so."""
    given_up = [("at least", without) for without, _ in pairs if not without.reached]
    given_up += [("at most", with_) for _, with_ in pairs if not with_.reached]
    words = sorted({f"{word}: gave up after {timed.seconds:.0f} s" for word, timed in given_up})
    note = "; ".join(["kept" if idea.kept else "not kept", idea.why, *words])
    values = [without.seconds / with_.seconds for without, with_ in pairs]
    return sheet.add(f"bench/jko-rose/{idea.name}/time-to-nll", values, "ratio", "higher", note)
