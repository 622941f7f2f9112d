"""Rounds of retraining a JKO flow: its steps made equally long (§4.2 of arXiv 2212.14424), and each cut in two."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pushforward.errors import InputError
from pushforward.experiment import Data, Result, as_split, train_once
from pushforward.families import JKO
from pushforward.fit import FitConfig
from pushforward.metrics import block_distances, variation

DIGITS = 4  # of a step size: rounding of the machine must not make another question of a remembered one


def reparameterise(
    name: str,
    family: JKO,
    data: Data,
    rounds: int = 3,
    eta: float = 0.5,
    *,
    h_max: float | None = None,
    spread: float = 0.1,
    patience: int = 2,
    fit: FitConfig | None = None,
    start: Result | None = None,
    seed: int = 0,
    device: str = "auto",
    profile: str | None = None,
) -> list[Result]:
    """Train ``family``, then let the step sizes follow ``updated_steps`` and retrain from the round before.

    Every result is remembered, under ``name`` and ``name-round-1``, …; the key of a round has its parent's in it. In a
    round no block is dropped and none is the last before its time: whether the round helped, its NLL says.
    Source: xu2023 §4.2 and App. B.3.1.

    Args:
        name, family, data, seed, device, profile: as for ``train_once``.
        rounds: at most so many retrainings.
        eta: how far a step size goes towards the one that would move as far as the mean, in (0, 1].
        h_max: bound of the step sizes; None: that of ``family``, or the longest step it gives in ``h``.
        spread: stop once the coefficient of variation of the distances S_k (on validation points) is at most this.
        patience: stop after so many rounds in a row without a lower validation NLL.
        fit: the optimiser's settings in the rounds; None: those of ``family``.
        start: go on from this result instead of training ``family``, e.g. from a refined one.

    Returns:
        The start and the rounds, in order: at least one result.

    Raises:
        InputError: ``family`` is not a JKO, or a number out of its range.
    """
    _check(family, rounds)
    if not 0 < eta <= 1 or patience < 1 or not spread >= 0:
        raise InputError(
            f"eta={eta}, patience={patience}, spread={spread}: expected eta in (0, 1], patience >= 1, spread >= 0"
        )
    split = as_split(family, data, seed, profile)
    if h_max is None:
        h_max = max(family.h_max, *family.h) if family.h else family.h_max
    results = [start or train_once(name, family, split, seed=seed, device=device)]
    while len(results) <= rounds and _hopeful(results, patience):
        last, moved = results[-1], distances(results[-1])
        if variation(moved) <= spread:
            break
        h = updated_steps(step_sizes(last), moved, eta, h_max)
        child = _child(family, last, h, fit)
        results.append(train_once(f"{name}-round-{len(results)}", child, split, seed=seed, device=device))
    return results


def refine(
    name: str,
    family: JKO,
    data: Data,
    rounds: int = 1,
    *,
    fit: FitConfig | None = None,
    start: Result | None = None,
    seed: int = 0,
    device: str = "auto",
    profile: str | None = None,
) -> list[Result]:
    """Train ``family``, then cut every step in two and retrain, from halves of the blocks of the round before.

    L steps h_k become 2L steps h_k / 2; before it is retrained the refined flow is its parent. Arguments, results and
    errors are those of ``reparameterise``; the names are ``name`` and ``name-refined-<blocks>``.
    Source: xu2023 §4.2 and App. B.3.2.
    """
    _check(family, rounds)
    split = as_split(family, data, seed, profile)
    results = [start or train_once(name, family, split, seed=seed, device=device)]
    for _ in range(rounds):
        h = [half for step in step_sizes(results[-1]) for half in (step / 2, step / 2)]
        child = _child(family, results[-1], h, fit)
        results.append(train_once(f"{name}-refined-{len(h)}", child, split, seed=seed, device=device))
    return results


def updated_steps(
    h: Sequence[float], distances: Sequence[float], eta: float = 0.5, h_max: float = math.inf
) -> tuple[float, ...]:
    """h_k ← min(h_k + η (S̄ h_k / S_k − h_k), h_max) with S̄ the mean of the distances S_k, to four digits.

    η is the paper's; of the form of the update only its idea is. A block that does not move at all gets ``h_max``.

    Raises:
        InputError: the numbers of steps and distances differ.
    """
    if len(h) != len(distances):
        raise InputError(f"there are {len(h)} step sizes and {len(distances)} distances, expected one each a block")
    mean = math.fsum(distances) / len(distances)
    wanted = [mean / s * step if s else math.inf for step, s in zip(h, distances, strict=True)]
    moved = [min(step + eta * (aim - step), h_max) for step, aim in zip(h, wanted, strict=True)]
    return tuple(float(f"{step:.{DIGITS}g}") for step in moved)


def step_sizes(result: Result) -> list[float]:
    """h_k of the blocks that a JKO flow has, without its free block.

    Raises:
        InputError: it has none: its training kept no block, or it is not a JKO flow.
    """
    found = [row["h"] for row in _kept(result) if row.get("h") is not None]
    if not found:
        raise InputError(f"{result.folder.name} has no block of a finite step, expected a JKO flow that kept some")
    return found


def distances(result: Result) -> list[float]:
    """S_k of the same blocks on the validation points, see ``metrics.block_distances``."""
    proximal = len(step_sizes(result))
    return block_distances(result.flow, result.split.val)[:proximal]


def val_nll(result: Result) -> float:
    """Validation NLL of the whole flow, in nats."""
    return [result.history.stages[0], *_kept(result)][-1]["val_nll"]


def table(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A row a result: the distances S_k and their variation, validation NLL, and the cost of these trainings so far."""
    rows, costs = [], dict.fromkeys(("minibatches", "evaluations", "seconds"), 0)
    for index, result in enumerate(results):
        moved = distances(result)
        row = {"round": index, "blocks": len(moved), "h": step_sizes(result), "distance": moved}
        row |= {"distance_cv": variation(moved), "val_nll": val_nll(result)}
        costs = {cost: so_far + getattr(result.history, cost) for cost, so_far in costs.items()}
        rows.append(row | costs)
    return rows


def _kept(result: Result) -> list[dict]:
    return [row for row in result.history.stages[1:] if row.get("kept")]


def _hopeful(results: Sequence[Result], patience: int) -> bool:
    """Whether one of the last ``patience`` rounds has the lowest NLL of all, or there were not yet so many."""
    found = [val_nll(result) for result in results]
    return len(found) - 1 - found.index(min(found)) < patience


def _child(family: JKO, parent: Result, h: Sequence[float], fit: FitConfig | None) -> JKO:
    free = _kept(parent)[-1]["h"] is None
    settings = {"h": tuple(h), "parent": parent.folder.name, "free_block": free, "fit": fit or family.fit}
    return replace(family, **settings, stop_ratio=0.0, stop_on_rise=False)


def _check(family: JKO, rounds: int) -> None:
    if not isinstance(family, JKO):
        raise InputError(f"family is {family!r}, expected a JKO: only its blocks have step sizes")
    if family.target is not None:
        raise InputError(f"target is {family.target}, expected None: rounds go on from flows to N(0, I) alone")
    if rounds < 0:
        raise InputError(f"rounds is {rounds}, expected 0 or more")
