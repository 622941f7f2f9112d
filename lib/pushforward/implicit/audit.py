"""What a training run's solves did, added up: none of them may fail unseen."""

from dataclasses import dataclass

from pushforward.implicit.root import RootResult


@dataclass
class Audit:
    """Counts over rows of all solves since the start (or ``reset``)."""

    solves: int = 0
    unconverged: int = 0
    fallbacks: int = 0
    iterations: int = 0
    worst: float = 0.0  # the largest certified error, relative to max(1, ‖z‖)

    def add(self, result: RootResult) -> None:
        """Count the rows of one solve; a NaN bound counts as infinite."""
        self.solves += len(result.x)
        self.unconverged += int((~result.converged).sum())
        self.fallbacks += int(result.fallbacks.sum())
        self.iterations += int(result.iterations.sum())
        self.worst = max(self.worst, result.relative_bound.nan_to_num(nan=float("inf")).max().item())

    def reset(self) -> None:
        """Begin anew."""
        self.__init__()
