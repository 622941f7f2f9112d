"""What the command line sets."""

from collections.abc import Callable
from dataclasses import dataclass

from pushforward.errors import InputError

Say = Callable[[str], None]  # one line of progress


@dataclass(frozen=True)
class Settings:
    """Size of the benchmarks.

    Args:
        rounds: times that the sides of a ratio take turns.
        budget: CPU-seconds of the baseline in one round of ``time-to-nll``.
        points, held_out: training points, and points that the NLL is judged on.
        ablation_limit: CPU-seconds after which an ablation gives up.
    """

    rounds: int = 3
    budget: float = 60.0
    points: int = 200_000
    held_out: int = 5000
    ablation_limit: float = 15.0

    def __post_init__(self) -> None:
        if self.rounds < 1 or not self.budget > 0:
            raise InputError(f"rounds={self.rounds}, budget={self.budget}: expected at least 1 and more than 0")

    @property
    def seeds(self) -> range:
        """One a round."""
        return range(self.rounds)
