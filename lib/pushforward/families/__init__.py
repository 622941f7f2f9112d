"""One frozen dataclass of settings per family; each builds a flow and lists its training stages."""

from pushforward.families.jko import JKO
from pushforward.families.stage import Family, Stage, TrainingHistory

__all__ = ["JKO", "Family", "Stage", "TrainingHistory"]
