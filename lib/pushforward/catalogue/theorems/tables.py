"""Tables 1 to 4 of the notebook: schedules, what they cost, flow-map constants, and the price of a wrong source."""

from collections.abc import Sequence

import pandas as pd
import torch
from scipy.integrate import simpson

from pushforward.catalogue.theorems.flow_maps import forward_constants, reverse_constants, singular_values
from pushforward.catalogue.theorems.loops import fixed_steps, rms
from pushforward.catalogue.theorems.loss import energy
from pushforward.catalogue.theorems.parts import Grid, draws, marginal
from pushforward.catalogue.theorems.stability import NODES, between_ends, steepest, wrong_source
from pushforward.interpolation import TARGETS, Oracle, Schedule, Target
from pushforward.interpolation.flow_map import quantile_map, transport
from pushforward.shapes import Points, Time

FORMULAS = {
    "linear": ("(1 − t)²", "t"),
    "foellmer": ("1 − t²", "t"),
    "trigonometric": ("cos²(πt/2)", "sin(πt/2)"),
    "vp": ("1 − exp(−6(1 − t))", "exp(−3(1 − t))"),
    "ve": ("25(1 − t)", "1"),
    "ve-linear": ("25(1 − t)²", "1"),
}
STEPS = (8, 16, 32, 64)
ACCURACY, RTOLS = 1e-5, tuple(10 ** (-k / 2) for k in range(4, 20))
POINTS = 256


def schedules(chosen: Sequence[Schedule]) -> pd.DataFrame:
    """Tab1. Formulas, end points, and c in F(t) ~ c/(1 − t), a coordinate (0: the loss floor is bounded)."""
    rows = []
    for schedule in chosen:
        a2, b = FORMULAS.get(schedule.name, ("", ""))
        source = "N(0, I)" if schedule.b0 == 0 and schedule.a0 == 1 else "a_0 Z + b_0 X_1"
        row = {"schedule": schedule.name, "a²": a2, "b": b, "a_0": schedule.a0, "b_0": schedule.b0, "source": source}
        rows.append(row | {"c of the loss floor": abs(float(schedule.aa_prime(1.0))) / 2, "t_max": schedule.t_max})
    return pd.DataFrame(rows)


def costs(chosen: Sequence[Schedule], times: int = 101) -> pd.DataFrame:
    """Tab2. Largest A4(d) bound over time on T-A and T-B, kinetic energy and squared W2 between the ends on T-A1,
    evaluations that dopri5 needs for an rms error of 1e-5 on T-A, and W2 to T-A1 after N Euler steps.
    """
    rows, line = [], TARGETS["T-A1"]
    for schedule in chosen:
        oracle, start = line.make(schedule), quantile_map(marginal(line.law, schedule, 0.0), NODES)
        row = {"schedule": schedule.name}
        for name in ("T-A", "T-B"):
            row[f"sup of the bound, {name}"] = steepest(schedule, TARGETS[name])
        grid = torch.linspace(0, 1, times, dtype=torch.float64)
        row["kinetic energy"] = float(simpson([energy(oracle, float(t)) for t in grid], x=grid.numpy()))
        row["W2² of the ends"] = between_ends(start, quantile_map(line.law, NODES)) ** 2
        row["evaluations for 1e-5"] = evaluations(TARGETS["T-A"].make(schedule))
        for steps in STEPS:
            end = fixed_steps(oracle, start, 0.0, 1.0, steps, "euler")
            row[f"Euler, N = {steps}"] = between_ends(end, quantile_map(line.law, NODES))
        rows.append(row)
    return pd.DataFrame(rows)


def evaluations(oracle: Oracle) -> int:
    """Of the velocity, by dopri5 at the loosest tolerance that carries 256 draws of p_0 to t = 1 within 1e-5 rms."""
    x = draws(oracle, 0.0, POINTS)
    exact = transport(oracle, x, 0.0, 1.0, 1e-11)
    for rtol in RTOLS:
        counted = _Counted(oracle)
        if rms(transport(counted, x, 0.0, 1.0, rtol, method="dopri5") - exact) <= ACCURACY:
            break
    return counted.calls


def constants(chosen: Sequence[Schedule], targets: Sequence[Target], grid: Grid) -> pd.DataFrame:
    """Tab3. Largest and smallest singular value of DX_1 seen on a grid over the source, and the best constants."""
    rows = []
    for target in targets:
        for schedule in chosen:
            values = singular_values(schedule, target, grid)
            row = {"target": target.name, "schedule": schedule.name, "largest seen": float(values.max())}
            forward, reverse = forward_constants(schedule, target), reverse_constants(schedule, target)
            best = min(forward, key=lambda each: each.value, default=None)
            row |= {"Lip(X_1)": best.value if best else None, "by": best.name.split(": ", 1)[1] if best else ""}
            row["inverse's largest seen"] = float(1 / values.min())
            row["Lip of the inverse"] = min((each.value for each in reverse), default=None)
            rows.append(row)
    return pd.DataFrame(rows)


def sources(chosen: Sequence[Schedule], targets: Sequence[Target]) -> pd.DataFrame:
    """Tab4. W2 at t = 1 when the flow is started at a_0 Z, and its two bounds (0 where b_0 = 0)."""
    rows = []
    for target in targets:
        for schedule in chosen:
            found = wrong_source(schedule, target)
            row = {"target": target.name, "schedule": schedule.name, "b_0": schedule.b0, "W2 out": found.w2}
            rows.append(row | {"Lip(X_1) W2(sources)": found.sharper, "Lip(X_1) b_0 (E|X_1|²)^½": found.plain})
    return pd.DataFrame(rows)


class _Counted:
    """A velocity that counts its calls."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle, self.calls = oracle, 0

    def __call__(self, t: Time, x: Points) -> Points:
        self.calls += 1
        return self.oracle(t, x)
