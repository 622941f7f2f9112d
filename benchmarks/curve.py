"""NLL against CPU-seconds of training, watched from inside ``fit``, which may be stopped once enough is known."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field


class Enough(Exception):
    """Raised through ``fit`` by a curve that needs no further point."""


@dataclass
class Curve:
    """NLL at CPU-seconds of training; call ``look`` as the validation of a fit.

    Everything that the process does counts, from the making of the curve on, except the looks themselves.

    Args:
        judge: gives the NLL of the network as it stands.
        target: ``Enough`` once the NLL is at or below it.
        budget: ``Enough`` once so many seconds are spent.
    """

    judge: Callable[[], float]
    target: float = -math.inf
    budget: float = math.inf
    seconds: list[float] = field(default_factory=list)
    nll: list[float] = field(default_factory=list)
    clock: Callable[[], float] = time.process_time

    def __post_init__(self) -> None:
        self._spent, self._resumed = 0.0, self.clock()

    def spent(self) -> float:
        """CPU-seconds of training so far."""
        return self._spent + self.clock() - self._resumed

    def look(self) -> float:
        """Note the NLL and the seconds spent.

        Raises:
            Enough: the target is reached or the budget spent.
        """
        self._spent = self.spent()
        nll = self.judge()
        self.seconds.append(self._spent)
        self.nll.append(nll)
        if nll <= self.target or self._spent >= self.budget:
            raise Enough
        self._resumed = self.clock()
        return nll

    def time_to(self, nll: float) -> float | None:
        """Seconds at the first look at or below ``nll``; None if there is none."""
        return next((s for s, value in zip(self.seconds, self.nll, strict=True) if value <= nll), None)
