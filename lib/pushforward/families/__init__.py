"""One frozen dataclass of settings per family; each builds a flow and lists its training stages."""

from pushforward.families.implicit import Implicit
from pushforward.families.interpolation import Interpolation
from pushforward.families.jko import JKO
from pushforward.families.stage import Family, Stage, TrainingHistory
from pushforward.families.whitening import preconditioned

__all__ = ["JKO", "Family", "Implicit", "Interpolation", "Stage", "TrainingHistory", "preconditioned"]
