"""Gaussian interpolation flows, learned (arXiv 2311.11475): schedules against each other, a plain baseline, and JKO."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pushforward import datasets, distributions, paths
from pushforward.catalogue.cases import SOLVER_GAP, PlanarCase, RealCase
from pushforward.catalogue.settings import family
from pushforward.datasets import Split
from pushforward.experiment import train_once
from pushforward.families import Interpolation
from pushforward.report.results import Recorder, read_rows

PLAIN = {  # flow matching as it is usually run, behind the same whitening as ours; its optimiser is the notebook's
    "schedule": "linear",
    "prediction": "velocity",
    "net": {"kind": "mlp", "widths": [256, 256, 256], "activation": "silu", "time": True},
    "coupling": "independent",
    "antithetic": False,
    "emphasis": 1.0,
}
# Two hidden layers: the exact divergence then has a closed form, without which 63 dimensions are out of reach.
PLAIN_REAL = PLAIN | {
    "net": {"kind": "mlp", "widths": [256, 256], "activation": "silu", "time": True},
    "precondition": ["affine", "radial"],  # as ours has it, so that what is compared is the flow
}


SCORE_SDE = {"schedule": "vp", "prediction": "noise", "coupling": "independent", "antithetic": False, "emphasis": 1.0}
ASKED = {  # one network, asked for different things; the last two change the pairs, or the schedule, as well
    **{name: {"schedule": "linear", "prediction": name} for name in ("angle", "velocity", "denoiser", "noise")},
    "optimal-transport": {"schedule": "linear", "prediction": "velocity", "coupling": "optimal-transport"},
    "score-sde": SCORE_SDE,
}
AHEAD = {"rose": 0.5}  # the excess over that of plain flow matching that is required there; 1 elsewhere


def planar(
    name: str, settings: Mapping[str, Any], method: str, seeds: Iterable[int] = (0,), points: int = 20_000
) -> PlanarCase:
    """Train an interpolation flow on a law of ``pushforward.distributions``, once a seed, with as many test points.

    Raises:
        InputError: unknown law or setting.
    """
    law, chosen = distributions.by_name(name), family(Interpolation, settings)
    splits = {seed: Split.from_distribution(law, chosen.pool, points, points, seed) for seed in seeds}
    results = [train_once(f"{name}-gif-{method}", chosen, split, seed=seed) for seed, split in splits.items()]
    return PlanarCase("gif", name, method, law, results)


def real(
    name: str | Split,
    settings: Mapping[str, Any],
    method: str,
    seeds: Iterable[int] = (0,),
    profile: str = "quick",
    points: int = 20_000,
) -> RealCase:
    """Train an interpolation flow on a data set, once a seed (the split is that of seed 0).

    At most ``points`` test points are used: they are shuffled, and each costs an adaptive solve with its divergence.

    Raises:
        InputError: unknown data set or setting.
        DataError: the data is absent or altered.
    """
    split = name if isinstance(name, Split) else datasets.load(name, profile)
    split = replace(split, test=split.test[:points])
    chosen = family(Interpolation, settings)
    results = [train_once(f"{split.name}-gif-{method}", chosen, split, seed=seed) for seed in seeds]
    return RealCase("gif", split.name, method, results)


def record(study: PlanarCase | RealCase, recorder: Recorder, run: str) -> None:
    """The rows of one study that compare: likelihood, MMD, evaluations, seconds."""
    study.record_quality(recorder, run)
    recorder.add(study.id("nfe"), study.nfe, unit="1", run=run)


def record_checks(study: PlanarCase, recorder: Recorder, run: str, resolution: int) -> None:
    """Whether the density is one: its integral (bound of a coarse grid), the solver's part, the way there and back."""
    integral, gap = study.integral(resolution), max(study.solver_gap)
    recorder.add(study.id("integral"), integral, unit="1", better="check", at_least=0.99, at_most=1.01, run=run)
    recorder.add(study.id("nll-solver-gap"), gap, better="check", at_most=SOLVER_GAP, run=run)
    recorder.add(study.id("round-trip"), max(study.round_trip), unit="1", run=run)


def record_lead(study: PlanarCase | RealCase, plain: PlanarCase | RealCase, recorder: Recorder, run: str) -> None:
    """How far ahead of plain flow matching: the ratio of excesses, or the difference of NLLs where there is none."""
    if isinstance(study, PlanarCase):
        ratio, most = _level(study) / _level(plain), AHEAD.get(study.name, 1.0)
        recorder.add(study.id("excess-over-plain"), ratio, unit="ratio", better="check", at_most=most, run=run)
    else:
        study.record_lead("plain", _level(plain) - _level(study), recorder, run, required=True)


def _level(study: PlanarCase | RealCase) -> float:
    """KL to the truth where it is known, else the test NLL: mean over seeds, nats."""
    values = study.excess if isinstance(study, PlanarCase) else study.nll
    return sum(e.value for e in values) / len(values)


def compared(studies: Sequence[PlanarCase | RealCase]) -> list[dict[str, Any]]:
    """A row a study for the table: level is the KL to the truth where it is known, else the test NLL (nats).

    ``nats`` and ``CPU s`` are means over seeds; ``se`` (of the test points), MMD and evaluations are the first seed's.
    """
    rows = []
    for study in studies:
        values = study.excess if isinstance(study, PlanarCase) else study.nll
        row = {"case": study.name, "method": study.method, "level": study.level}
        row |= {"nats": _level(study), "se": values[0].se, "seeds": len(values)}
        row |= {"mmd²": study.mmd[0].value, "threshold": study.mmd[0].threshold}
        parameters = sum(p.numel() for p in study.flow.parameters())
        row |= {"nfe": study.nfe[0], "parameters": parameters, "CPU s": sum(study.seconds) / len(study.seconds)}
        rows.append(row)
    return rows


def references(studies: Iterable[RealCase]) -> list[dict[str, Any]]:
    """Rows of the same table for the Gaussian and the elliptical law, which need no training to speak of."""
    rows = []
    for study in studies:
        for method, level in (("gaussian", study.gaussian), ("elliptical", study.radial)):
            rows.append({"case": study.name, "method": method, "level": "NLL", "nats": level.value, "se": level.se})
    return rows


def curve(rival: PlanarCase) -> list[tuple[float, float]]:
    """(CPU-seconds, validation KL) after each stage that a flow kept."""
    return [(row["seconds"], row["KL"]) for row in rival.curve() if row["seconds"] > 0]


def budget(study: PlanarCase) -> list[tuple[float, float]]:
    """(CPU-seconds, test KL) of one finished flow."""
    return [(study.seconds[0], study.excess[0].value)]


def contest(rival: PlanarCase, studies: Iterable[PlanarCase]) -> list[dict[str, Any]]:
    """Each study beside what the rival had reached by then: KL to the truth (nats) and the family that is nearer.

    ``neither`` where they differ by less than two standard errors of the study's test points. The rival's level is on
    validation points, of the last block it had finished; its learning rates were set for its whole training.
    """
    rows = []
    for study in studies:
        seconds, level = budget(study)[0]
        reached = [kl for when, kl in [(0.0, rival.curve()[0]["KL"]), *curve(rival)] if when <= seconds][-1]
        close = abs(level - reached) < 2 * study.excess[0].se
        winner = "neither" if close else "interpolation" if level < reached else "JKO-iFlow"
        row = {"case": study.name, "method": study.method, "CPU s": seconds, "interpolation": level}
        rows.append(row | {"JKO-iFlow by then": reached, "nearer": winner})
    return rows


def density_columns(case: Mapping[str, PlanarCase], resolution: int) -> dict[str, np.ndarray]:
    """The true density and that of each method on the figures' grid [resolution, resolution]."""
    grids = {method: study.density_grids(resolution) for method, study in case.items()}
    true = next(iter(grids.values()))[0]
    return {"true": true} | {method: learned for method, (_, learned) in grids.items()}


def jko_on(names: Iterable[str], profile: str) -> list[dict[str, Any]]:
    """Rows of the same table for JKO-iFlow, as notebook 02 measured it in this profile; none where it has not run."""
    file = paths.results(profile) / "rows" / "02-jko-real-data.csv"
    rows = read_rows(file) if file.is_file() else []
    found = [row for row in rows if row.parts[1] in names and row.parts[3] == "nll" and "jko" in row.parts[2]]
    return [
        {"case": row.parts[1], "method": row.parts[2], "level": "NLL", "nats": row.value, "CPU s": row.seconds}
        for row in found
    ]
