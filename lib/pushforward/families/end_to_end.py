"""What the families share that train one bijection as a whole, in one stage."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from pushforward.datasets import Split
from pushforward.errors import InputError, NotInvertible
from pushforward.families.counting import Counted
from pushforward.families.pushing import nll, push, push_with_log_det
from pushforward.families.stage import Stage, TrainingHistory
from pushforward.families.whitening import check_preconditioners, preconditioned
from pushforward.fit import FitConfig
from pushforward.flows import Bijection, Chain, Flow
from pushforward.flows.implicit import drawing_from
from pushforward.objectives import Objective
from pushforward.seeds import seeded, stream
from pushforward.shapes import Points


@dataclass(frozen=True)
class Whole:
    """A bijection in training: ``module`` holds the parameters, ``bijection`` stands in the flow and shares them.

    ``passes`` are those of an iteration, see ``TrainingHistory.evaluations``; a ``Counted`` module counts them itself.
    ``after_step`` is called whenever the parameters have changed, first as they are drawn; ``notes`` joins the
    history's last row.
    """

    module: nn.Module
    bijection: Bijection
    objective: Objective
    passes: int = 1
    after_step: Callable[[], None] | None = None
    notes: Callable[[], dict] = dict

    def evaluations(self, iterations: int) -> int:
        """Passes of networks in so many iterations, the last there were."""
        return int(self.module.evaluations) if isinstance(self.module, Counted) else self.passes * iterations


class EndToEnd(ABC):
    """A family with the settings below that trains ``whole`` behind its preconditioners.

    Raises:
        InputError: no point in the pool, or an unknown preconditioner.
    """

    precondition: tuple[str, ...]
    pool: int
    fit: FitConfig | None

    stage: ClassVar[str] = "flow"  # its name, and the stream of its minibatches
    held_out: ClassVar[int] = 10_000  # validation points

    def __post_init__(self) -> None:
        if self.pool < 1:
            raise InputError(f"pool is {self.pool}, expected at least 1 point")
        check_preconditioners(self.precondition)

    @abstractmethod
    def whole(self, x: Points) -> Whole:
        """What is trained on points x [n, d], before training; random weights come from torch's global stream."""

    def chosen(self, x: Points, count: int, purpose: str) -> Points:
        """``count`` rows out of a larger set x [n, d], whatever for: the first."""
        return x[:count]

    def config(self, dim: int) -> FitConfig:
        """The optimiser's settings in dimension ``dim``."""
        return self.fit

    def build(self, split: Split) -> Flow:
        """The flow before training: the preconditioners, fitted on the training points."""
        return preconditioned(self.precondition, split.train)

    def stages(self, flow: Flow, split: Split, history: TrainingHistory, seed: int) -> Iterator[Stage]:
        """One stage; the history gets a row before and one after."""
        started = time.process_time()
        x = push(flow.bijection, self.chosen(split.train, self.pool, "training points"))
        z, log_det = push_with_log_det(flow.bijection, self.chosen(split.val, self.held_out, "validation points"))
        history.stages.append({"stage": "start", "val_nll": nll(z, log_det), "seconds": time.process_time() - started})
        whole = self._begun(x, seed)

        def validation() -> float | None:
            try:
                with drawing_from(whole.bijection, stream(seed, "validation")):  # a log-determinant may be an estimate
                    latent, more = push_with_log_det(whole.bijection, z)
            except NotInvertible:  # what is trained is kept; whoever measures it is told
                return None
            return nll(latent, log_det + more)

        yield Stage(self.stage, whole.module, whole.objective, x, self.config(flow.dim), validation, whole.after_step)
        fitted = history.fits[self.stage]
        for block in whole.bijection.blocks if isinstance(whole.bijection, Chain) else [whole.bijection]:
            flow.bijection.append(block)
        counts = {"minibatches": fitted.iterations, "evaluations": whole.evaluations(fitted.iterations)}
        row = {"stage": self.stage, **counts, "seconds": fitted.seconds, "val_nll": validation()}
        history.stages.append(row | whole.notes())

    def _begun(self, x: Points, seed: int) -> Whole:
        """``whole`` with the weights of this seed, on the device and of the dtype of x."""
        with seeded(seed, "init"):
            whole = self.whole(x)
        whole.module.to(x)
        whole.bijection.to(x)
        if whole.bijection is not whole.module:  # which is what changes between training and evaluation
            whole.bijection.eval()
        if whole.after_step:
            whole.after_step()
        return whole
