"""The one stage of a family that trains a single bijection as a whole."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from pushforward.datasets import Split
from pushforward.errors import NotInvertible
from pushforward.families.pushing import nll, push, push_with_log_det
from pushforward.families.stage import Stage, TrainingHistory
from pushforward.fit import FitConfig
from pushforward.flows import Bijection, Flow
from pushforward.flows.implicit import drawing_from
from pushforward.objectives import Objective
from pushforward.seeds import stream
from pushforward.shapes import Points

HELD_OUT = 10_000  # validation points


@dataclass(frozen=True)
class Whole:
    """A bijection in training: ``module`` holds the parameters, ``bijection`` stands in the flow and shares them.

    ``evaluations`` says how often so many iterations have called the velocity; None: once an iteration. ``after_step``
    is called whenever the parameters have changed, first as they are drawn; ``notes`` joins the history's last row.
    """

    module: nn.Module
    bijection: Bijection
    objective: Objective
    evaluations: Callable[[int], int] | None = None
    after_step: Callable[[], None] | None = None
    notes: Callable[[], dict] = dict


def first(x: Points, count: int, purpose: str) -> Points:
    """The first ``count`` rows of x [n, d], whatever for."""
    return x[:count]


def end_to_end(
    flow: Flow,
    split: Split,
    history: TrainingHistory,
    seed: int,
    make: Callable[[int], Whole],
    fit: FitConfig,
    pool: int,
    chosen: Callable[[Points, int, str], Points] = first,
) -> Iterator[Stage]:
    """Behind the preconditioners of ``flow``, the stage "flow": ``make(dim)`` trained on ``pool`` points.

    ``make`` draws its weights from torch's global stream, seeded here. The history gets a row before and one after.
    ``chosen`` takes the pool, and the validation points, out of larger sets.
    """
    started = time.process_time()
    x = push(flow.bijection, chosen(split.train, pool, "training points"))
    z, log_det = push_with_log_det(flow.bijection, chosen(split.val, HELD_OUT, "validation points"))
    history.stages.append({"stage": "start", "val_nll": nll(z, log_det), "seconds": time.process_time() - started})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, "init").initial_seed())
        whole = make(flow.dim)
    whole.module.to(x)
    whole.bijection.to(x)
    if whole.bijection is not whole.module:  # which is what changes between training and evaluation
        whole.bijection.eval()
    if whole.after_step:
        whole.after_step()

    def validation() -> float | None:
        try:
            with drawing_from(whole.bijection, stream(seed, "validation")):  # a log-determinant may be an estimate
                latent, more = push_with_log_det(whole.bijection, z)
        except NotInvertible:  # what is trained is kept; whoever measures it is told
            return None
        return nll(latent, log_det + more)

    yield Stage("flow", whole.module, whole.objective, x, fit, validation, whole.after_step)
    fitted = history.fits["flow"]
    flow.bijection.append(whole.bijection)
    calls = whole.evaluations(fitted.iterations) if whole.evaluations else fitted.iterations
    counts = {"minibatches": fitted.iterations, "evaluations": calls}
    row = {"stage": "flow", **counts, "seconds": fitted.seconds, "val_nll": validation()}
    history.stages.append(row | whole.notes())
