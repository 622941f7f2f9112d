"""Invertible flows that carry data to a Gaussian and back: the library behind the notebooks."""

from pushforward import datasets, distributions, metrics
from pushforward.datasets import Split
from pushforward.experiment import Result, train, train_once
from pushforward.families import JKO, Implicit, Interpolation
from pushforward.fit import FitConfig
from pushforward.flows import Flow
from pushforward.flows import load_flow as load

__version__ = "0.1.0"

__all__ = [
    "JKO",
    "FitConfig",
    "Flow",
    "Implicit",
    "Interpolation",
    "Result",
    "Split",
    "datasets",
    "distributions",
    "load",
    "metrics",
    "train",
    "train_once",
]
