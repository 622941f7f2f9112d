"""A loss keeps its terms, so that each is logged and plotted on its own."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from pushforward.shapes import Points


@dataclass(frozen=True)
class Loss:
    """Named scalar terms; their sum is what is minimised."""

    terms: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        """The sum of the terms."""
        return sum(self.terms.values())


@runtime_checkable
class Objective(Protocol):
    """Points [n, d] and a random stream in, a loss out."""

    def __call__(self, x: Points, generator: torch.Generator) -> Loss: ...
