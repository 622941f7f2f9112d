"""One frozen dataclass of settings per family; each builds a flow and lists its training stages."""

from pushforward.families.coupling import Zuko
from pushforward.families.ffjord import FFJORD
from pushforward.families.ignn import IGNN
from pushforward.families.implicit import Implicit
from pushforward.families.interpolation import Interpolation
from pushforward.families.jko import JKO
from pushforward.families.ot_flow import OTFlow
from pushforward.families.score_sde import ScoreSDE
from pushforward.families.stage import Family, Stage, TrainingHistory
from pushforward.families.whitening import preconditioned

__all__ = [
    "FFJORD",
    "IGNN",
    "JKO",
    "Family",
    "Implicit",
    "Interpolation",
    "OTFlow",
    "ScoreSDE",
    "Stage",
    "TrainingHistory",
    "Zuko",
    "preconditioned",
]
