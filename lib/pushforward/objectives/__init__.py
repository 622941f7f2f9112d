"""What is minimised, term by term."""

from pushforward.objectives.coupling import COUPLINGS, couple
from pushforward.objectives.evidence import EvidenceObjective
from pushforward.objectives.jko import JKOObjective
from pushforward.objectives.likelihood import LikelihoodObjective
from pushforward.objectives.loss import Loss, Objective
from pushforward.objectives.matching import MatchingObjective
from pushforward.objectives.ot_flow import OTFlowObjective
from pushforward.objectives.residual import ResidualObjective

__all__ = [
    "COUPLINGS",
    "EvidenceObjective",
    "JKOObjective",
    "LikelihoodObjective",
    "Loss",
    "MatchingObjective",
    "OTFlowObjective",
    "Objective",
    "ResidualObjective",
    "couple",
]
