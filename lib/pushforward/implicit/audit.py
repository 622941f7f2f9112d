"""What a training run's solves did, added up: none of them may fail unseen."""

from dataclasses import astuple, dataclass

import torch
from torch import Tensor

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
        if len(result.x):
            self.worst = max(self.worst, result.relative_bound.nan_to_num(nan=float("inf")).max().item())

    def __add__(self, other: "Audit") -> "Audit":
        *counts, worst = zip(astuple(self), astuple(other), strict=True)
        return Audit(*map(sum, counts), max(worst))

    def reset(self) -> None:
        """Begin anew."""
        self.__init__()

    def state(self) -> Tensor:
        """Its numbers, float64 [5], for a ``state_dict``."""
        return torch.tensor(astuple(self), dtype=torch.float64)

    def restore(self, state: Tensor) -> None:
        """Take up the numbers of ``state``."""
        *counts, worst = state.tolist()
        self.__init__(*map(int, counts), worst)
