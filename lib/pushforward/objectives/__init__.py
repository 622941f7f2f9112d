"""What is minimised, term by term."""

from pushforward.objectives.coupling import COUPLINGS, couple
from pushforward.objectives.jko import JKOObjective
from pushforward.objectives.likelihood import LikelihoodObjective
from pushforward.objectives.loss import Loss, Objective
from pushforward.objectives.matching import MatchingObjective

__all__ = ["COUPLINGS", "JKOObjective", "LikelihoodObjective", "Loss", "MatchingObjective", "Objective", "couple"]
