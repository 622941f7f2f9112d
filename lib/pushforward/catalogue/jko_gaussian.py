"""Rounds on a Gaussian, whose every JKO step is known (note on arXiv 2212.14424, §10.1)."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pushforward.catalogue.jko_rounds import TOPIC, RoundsCase, reparameterised
from pushforward.distributions import GaussianMixture
from pushforward.errors import InputError
from pushforward.experiment import Result
from pushforward.metrics import variation
from pushforward.report.check import check_below
from pushforward.report.results import Recorder

MOVEMENT_ERROR = 0.1  # of a trained block's movement against the exact one, in units of the mean movement
SETTINGS = {
    "velocity": {"kind": "mlp", "widths": [32], "activation": "silu"},
    "log_det": "trace",
    "precondition": [],  # whitening alone would end it
    "blocks": 4,
    "h0": 0.5,
    "growth": 1.0,
    "steps": 2,
    "pool": 20000,
    "stop_ratio": 0.0,
    "stop_on_rise": False,
    "fit": {"iterations": 200, "batch": 500, "lr": 0.01},
}
ROUNDS = {"spread": 0.05, "patience": 9, "h_max": 50.0, "fit": {"iterations": 60, "lr": 0.005}}


def gaussian_steps(sd: Sequence[float], h: Sequence[float]) -> list[float]:
    """S_k of exact JKO steps h_k from N(0, diag sd²): sd → (sd + √(sd² + 4h(1 + h))) / (2(1 + h)). Source: note §10.1.

    Raises:
        InputError: a standard deviation or step that is not positive.
    """
    if not all(value > 0 for value in (*sd, *h)):
        raise InputError(f"sd={list(sd)}, h={list(h)}: expected positive numbers")
    moved, now = [], list(sd)
    for step in h:
        later = [(s + math.sqrt(s * s + 4 * step * (1 + step))) / (2 * (1 + step)) for s in now]
        moved.append(math.hypot(*(b - a for a, b in zip(now, later, strict=True))))
        now = later
    return moved


class GaussianCase(RoundsCase):
    """Rounds on N(0, diag sd²), whose every JKO step is known."""

    def __init__(self, sd: Sequence[float], results: Sequence[Result]) -> None:
        super().__init__("gaussian", results)
        self.sd = list(sd)

    @cached_property
    def steps(self) -> list[dict[str, Any]]:
        """A row a round: step sizes, measured and exact distances S_k, and their variations."""
        found = []
        for row in self.rows:
            exact = gaussian_steps(self.sd, row["h"])
            found.append({"round": row["round"], "h": row["h"], "measured": row["distance"], "exact": exact})
            found[-1] |= {"variation": row["distance_cv"], "exact variation": variation(exact)}
        return found

    @property
    def error(self) -> float:
        """Largest |measured − exact| movement of a block, over the mean exact movement of its round."""
        return max(
            abs(m - e) / (sum(row["exact"]) / len(row["exact"]))
            for row in self.steps
            for m, e in zip(row["measured"], row["exact"], strict=True)
        )

    def record(self, record: Recorder, run: str) -> None:
        """Put every number into the results table."""
        super().record(record, run)
        row = f"{TOPIC}/{self.name}/movement-error"
        record.add(row, self.error, unit="ratio", better="check", at_most=MOVEMENT_ERROR, run=run)

    def check(self) -> None:
        """Print what holds; AssertionError otherwise."""
        super().check()
        check_below(f"{self.name}: movements against exact JKO steps", self.error, MOVEMENT_ERROR)


def gaussian(
    sd: Sequence[float], settings: Mapping[str, Any], rounds: Mapping[str, Any], seed: int = 0
) -> GaussianCase:
    """Train JKO-iFlow on N(0, diag sd²) and reparameterise it; what ``SETTINGS`` and ``ROUNDS`` say may be replaced.

    Raises:
        InputError: an unknown setting, or a standard deviation that is not positive.
    """
    settings, rounds = {**SETTINGS, **settings}, {**ROUNDS, **rounds}
    law = GaussianMixture([1.0], [[0.0] * len(sd)], scales=[list(sd)], name="gaussian")
    return GaussianCase(sd, reparameterised("gaussian", law, settings, rounds, seed))
