"""Data by name: ``load(name, profile)`` gives a ``Split``; the images are fetched by ``make data``."""

from pushforward.datasets.registry import PROFILES, available, load, names
from pushforward.datasets.split import Split

__all__ = ["PROFILES", "Split", "available", "load", "names"]
