"""A training that dies half-way and goes on, beside one that does not."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pushforward.datasets import Split
from pushforward.families import Family, Stage, TrainingHistory
from pushforward.fit import FitHistory, fit
from pushforward.flows import Flow
from pushforward.objectives import Loss, Objective


class Killed(Exception):
    """Ends a training in the middle."""


def killed_and_whole(family: Family, split: Split, path: Path, after: int = 7) -> list[tuple[Flow, TrainingHistory]]:
    """A training of one stage that dies ``after`` some iterations and goes on from ``path``, and one that does not."""
    ends = []
    for checkpoint in (path, None):
        flow, history = family.build(split), TrainingHistory()
        torch.manual_seed(7 + len(ends))  # nothing may draw from torch's own stream
        if checkpoint:
            stage = next(family.stages(flow, split, history, 0))
            doomed = replace(stage, objective=_dying(stage.objective, after))
            with pytest.raises(Killed):
                _fitted(doomed, checkpoint)
            assert checkpoint.is_file(), "it died before there was anything to go on from"
        steps = family.stages(flow, split, history, 0)
        stage = next(steps)
        history.fits[stage.name] = _fitted(stage, checkpoint)
        assert next(steps, None) is None
        ends.append((flow, history))
    return ends


def _fitted(stage: Stage, checkpoint: Path | None) -> FitHistory:
    return fit(
        stage.module,
        stage.objective,
        stage.points,
        stage.config,
        0,
        checkpoint=checkpoint,
        after_step=stage.after_step,
    )


def _dying(objective: Objective, after: int) -> Objective:
    calls = []

    def dying(x: Tensor, random: torch.Generator) -> Loss:
        calls.append(1)
        if len(calls) > after:
            raise Killed
        return objective(x, random)

    return dying
