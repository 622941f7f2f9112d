"""What is minimised, term by term."""

from pushforward.objectives.jko import JKOObjective
from pushforward.objectives.loss import Loss, Objective

__all__ = ["JKOObjective", "Loss", "Objective"]
