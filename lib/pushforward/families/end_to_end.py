"""The one stage of a family that trains a single bijection as a whole."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from pushforward.datasets import Split
from pushforward.families.pushing import nll, push, push_with_log_det
from pushforward.families.stage import Stage, TrainingHistory
from pushforward.fit import FitConfig
from pushforward.flows import Bijection, Chain, Flow
from pushforward.objectives import Objective
from pushforward.seeds import stream

HELD_OUT = 10_000  # validation points


@dataclass(frozen=True)
class Whole:
    """A bijection in training: ``module`` holds the parameters, ``bijection`` stands in the flow and shares them.

    ``evaluations`` says how often training has called the velocity; None: the network once a minibatch.
    """

    module: nn.Module
    bijection: Bijection
    objective: Objective
    evaluations: Callable[[], int] | None = None


def end_to_end(
    flow: Flow,
    split: Split,
    history: TrainingHistory,
    seed: int,
    make: Callable[[int], Whole],
    fit: FitConfig,
    pool: int,
) -> Iterator[Stage]:
    """Behind the preconditioners of ``flow``, the stage "flow": ``make(dim)`` trained on ``pool`` points.

    ``make`` draws its weights from torch's global stream, seeded here. The history gets a row before and one after.
    """
    started = time.process_time()
    x = push(flow.bijection, split.train[:pool])
    z, log_det = push_with_log_det(flow.bijection, split.val[:HELD_OUT])
    history.stages.append({"stage": "start", "val_nll": nll(z, log_det), "seconds": time.process_time() - started})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, "init").initial_seed())
        whole = make(flow.dim)
    whole.module.to(x)
    whole.bijection.to(x).eval()

    def validation() -> float:
        latent, more = push_with_log_det(Chain(flow.dim, [whole.bijection]), z)
        return nll(latent, log_det + more)

    yield Stage("flow", whole.module, whole.objective, x, fit, validation)
    fitted = history.fits["flow"]
    flow.bijection.append(whole.bijection)
    calls = whole.evaluations() if whole.evaluations else fitted.iterations
    counts = {"minibatches": fitted.iterations, "evaluations": calls}
    history.stages.append({"stage": "flow", **counts, "seconds": fitted.seconds, "val_nll": validation()})
