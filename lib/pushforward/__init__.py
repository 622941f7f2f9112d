"""Invertible flows that carry data to a Gaussian and back: the library behind the notebooks."""

from pushforward import datasets, distributions, metrics
from pushforward.datasets import Split
from pushforward.experiment import Result, train, train_once
from pushforward.families import FFJORD, IGNN, JKO, Implicit, Interpolation, OTFlow, ScoreSDE, Zuko
from pushforward.fit import FitConfig
from pushforward.flows import Flow
from pushforward.flows import load_flow as load
from pushforward.rounds import refine, reparameterise

__version__ = "0.1.0"

__all__ = [
    "FFJORD",
    "IGNN",
    "JKO",
    "FitConfig",
    "Flow",
    "Implicit",
    "Interpolation",
    "OTFlow",
    "Result",
    "ScoreSDE",
    "Split",
    "Zuko",
    "datasets",
    "distributions",
    "load",
    "metrics",
    "refine",
    "reparameterise",
    "train",
    "train_once",
]
