"""Data by name: ``load(name, profile)`` gives a ``Split``, ``labelled`` images with labels; ``make data`` fetches."""

from pushforward.datasets.labelled import Labelled
from pushforward.datasets.registry import PROFILES, available, labelled, load, names
from pushforward.datasets.split import Split

__all__ = ["PROFILES", "Labelled", "Split", "available", "labelled", "load", "names"]
