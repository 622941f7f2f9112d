"""The arrays behind the figures: measured curves with the bounds that belong to them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.integrate import cumulative_simpson

from pushforward.catalogue.theorems.gradients import spectrum_over_time
from pushforward.catalogue.theorems.loops import cycle, density_error, loop_error, step_errors
from pushforward.catalogue.theorems.loss import sampled_loss
from pushforward.catalogue.theorems.parts import Grid, draws, marginal
from pushforward.catalogue.theorems.stability import WAVES, deviations
from pushforward.catalogue.theorems.study import CLAIMS, Study
from pushforward.interpolation import TARGETS, Schedule, Target, bounds, loss_floor
from pushforward.interpolation.flow_map import quantile_map, transport, transport_with_jacobian

PATHS, STOPS, PIXELS = 12, 31, 161
FINE = 401  # times at which a bound is drawn
NEAR = 0.995  # a bound that diverges at 1 is drawn up to here
TOP = 60.0  # a bound that diverges elsewhere is drawn up to here
Panel = dict[str, Any]  # of report.theorem_figures.bounded


def flows(schedules: Sequence[Schedule]) -> dict[str, dict[str, np.ndarray]]:
    """F1. By schedule on T-A1: p_t over time, and 12 trajectories from the same quantiles of the source."""
    target, found = TARGETS["T-A1"], {}
    times, z = torch.linspace(0, 1, STOPS, dtype=torch.float64), torch.linspace(-2, 2, PATHS, dtype=torch.float64)
    for schedule in schedules:
        oracle = target.make(schedule)
        paths = [quantile_map(marginal(target.law, schedule, 0.0), z[:, None])]
        for t0, t1 in zip(times[:-1], times[1:], strict=True):
            paths.append(transport(oracle, paths[-1], float(t0), float(t1), 1e-7))
        reach = 1.4 * float(torch.cat(paths).abs().max())
        x = torch.linspace(-reach, reach, PIXELS, dtype=torch.float64)
        density = torch.stack([oracle.log_prob(float(t), x[:, None]).exp() for t in times], 1)
        arrays = {"times": times, "x": x, "density": density, "paths": torch.cat(paths, 1).T}
        found[schedule.name] = {name: values.numpy() for name, values in arrays.items()}
    return found


def spectra(schedules: Sequence[Schedule], grid: Grid, targets: Sequence[str] = ("T-A", "T-B")) -> dict[str, Panel]:
    """F2. Extreme eigenvalues of ∇v over time, and A4(d)."""
    fine, panels = grid.evenly(FINE), {}
    for target in (TARGETS[name] for name in targets):
        for schedule in schedules:
            lower, upper = bounds.mixture(schedule, fine, target.sigma, target.radius)
            panel = _measured(schedule, target, grid)
            panel["bounds"] = {"lower (d)": (fine, lower), "upper (d)": (fine, upper)}
            panels[f"{target.name}, {schedule.name}"] = _plain(panel)
    return panels


def curvature(schedules: Sequence[Schedule], grid: Grid) -> dict[str, Panel]:
    """F3. κ and β on T-D, where both hold at all times; κ < 0 on T-A, from t_0 on."""
    fine, panels = grid.evenly(FINE), {}
    for schedule in schedules:
        target = TARGETS["T-D"]
        panel = _measured(schedule, target, grid)
        lower = bounds.semi_log_convex(schedule, fine, target.beta)
        upper = bounds.semi_log_concave(schedule, fine, target.kappa)
        panel["bounds"] = {"lower (b), β": (fine, lower), "upper (c), κ": (fine, upper)}
        panels[f"T-D, {schedule.name}"] = _plain(panel)
    for schedule in schedules:
        target = TARGETS["T-A"]
        panel, t0 = _measured(schedule, target, grid), bounds.first_valid_time(schedule, target.kappa)
        late = fine[fine > t0]
        upper = bounds.semi_log_concave(schedule, late, target.kappa)
        lower = bounds.semi_log_convex(schedule, fine, target.beta)
        panel["bounds"] = {"lower (b), β": (fine, lower), "upper (c), κ": _below_top(late, upper)}
        panels[f"T-A, {schedule.name}"] = _plain(panel | {"mark": ("t_0", t0)})
    return panels


def branches(schedules: Sequence[Schedule], grid: Grid) -> dict[str, Panel]:
    """F4. Case (ii) on the two laws on an interval: (a) before t_1, (c) after it."""
    fine, panels = torch.linspace(0, NEAR, FINE, dtype=torch.float64), {}
    for target in (TARGETS["T-U"], TARGETS["T-E"]):
        for schedule in schedules:
            panel = _measured(schedule, target, grid)
            valid = fine[target.kappa * schedule.a2(fine) + schedule.b(fine) ** 2 > 0]
            support = bounds.bounded_support(schedule, fine, target.diameter)[1]
            concave = bounds.semi_log_concave(schedule, valid, target.kappa)
            both = {"upper (a), support": _below_top(fine, support), "upper (c), κ": _below_top(valid, concave)}
            t1 = bounds.crossing_time(schedule, target.kappa, target.diameter)
            del panel["measured"]["smallest"]  # diverges downwards, and no bound of this figure is about it
            panels[f"{target.name}, {schedule.name}"] = _plain(panel | {"bounds": both, "mark": ("t_1", t1)})
    return panels


def stretching(schedules: Sequence[Schedule], target: Target, starts: int = 12) -> dict[str, Panel]:
    """F5. Singular values of DX_t along trajectories from 0 and from draws, and exp of A4(d) integrated so far."""
    stops = torch.linspace(0, 1, STOPS, dtype=torch.float64)
    fine, panels = np.linspace(0, 1, 4001), {}
    for schedule in schedules:
        oracle = target.make(schedule)
        x = torch.cat([torch.zeros(1, oracle.dim, dtype=torch.float64), draws(oracle, 0.0, starts)])
        matrix = torch.eye(oracle.dim, dtype=torch.float64).expand(len(x), -1, -1)
        values = [torch.linalg.svdvals(matrix)]
        for t0, t1 in zip(stops[:-1], stops[1:], strict=True):
            x, step = transport_with_jacobian(oracle, x, float(t0), float(t1), 1e-8)
            matrix = step @ matrix
            values.append(torch.linalg.svdvals(matrix))
        low, high = bounds.mixture(schedule, torch.from_numpy(fine), target.sigma, target.radius)
        below, above = (np.exp(cumulative_simpson(rate.numpy(), x=fine, initial=0.0)) for rate in (low, high))
        measured = {"singular values": (stops, torch.stack(values).flatten(1))}
        limits = {"lower, exp ∫ (d)": (fine, below), "upper, exp ∫ (d)": (fine, above)}
        panels[schedule.name] = _plain({"measured": measured, "bounds": limits})
    return panels


def perturbations(schedules: Sequence[Schedule], grid: Grid, target: str = "T-A1") -> dict[str, dict[str, np.ndarray]]:
    """F6. By schedule and perturbation: rows (η, W2, refined, crude)."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for schedule in schedules:
        for wave in WAVES:
            rows = [(d.eta, d.w2, d.refined, d.crude) for d in deviations(schedule, TARGETS[target], grid, wave)]
            found.setdefault(schedule.name, {})[wave] = np.array(rows)
    return found


def slopes(rows: np.ndarray) -> np.ndarray:
    """Of log W2, log refined and log crude against log η, between the two smallest η of rows of ``perturbations``."""
    last, least = rows[rows[:, 0].argsort()[:2]][::-1]
    return np.log(last[1:] / least[1:]) / np.log(last[0] / least[0])


def loop_errors(schedules: Sequence[Schedule], rtols: Sequence[float], points: int) -> dict[str, np.ndarray]:
    """F8, left. By loop: rows (rtol, rms error): noise → T-A → noise, and T-A → T-B → T-A."""
    found = {}
    for schedule in schedules:
        first, second = (TARGETS[name].make(schedule) for name in ("T-A", "T-B"))
        z, x = draws(first, 0.0, points), draws(first, 1.0, points)
        there_and_back = [(first, 0.0, 1.0), (first, 1.0, 0.0)]
        trip = [(rtol, loop_error(there_and_back, z, rtol)) for rtol in rtols]
        loop = [(rtol, loop_error(cycle(first, second), x, rtol)) for rtol in rtols]
        found |= {f"auto-encoding, {schedule.name}": np.array(trip), f"cycle, {schedule.name}": np.array(loop)}
    return found


def fixed_step_errors(schedule: Schedule, steps: Sequence[int], points: int) -> dict[str, np.ndarray]:
    """F8, right. By method: rows (steps, one-way error, round-trip error) of noise on T-A."""
    oracle = TARGETS["T-A"].make(schedule)
    x = draws(oracle, 0.0, points)
    exact, methods = transport(oracle, x, 0.0, 1.0, 1e-12), ("euler", "midpoint", "rk4")
    return {method: np.array([(n, *step_errors(oracle, x, exact, n, method)) for n in steps]) for method in methods}


def orders(errors: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Slopes (one way, round trip) between the two finest grids of ``fixed_step_errors``."""
    found = {}
    for method, rows in errors.items():
        ratio = np.log(rows[-1, 0] / rows[-2, 0])
        found[method] = tuple(float(np.log(rows[-2, k] / rows[-1, k]) / ratio) for k in (1, 2))
    return found


def density_errors(schedules: Sequence[Schedule], rtols: Sequence[float], points: int) -> dict[str, np.ndarray]:
    """F10. By schedule on T-B: rows (rtol, largest error of the log-density in nats), dopri5."""
    return {
        schedule.name: np.array(
            [(rtol, density_error(TARGETS["T-B"].make(schedule), points, rtol, "dopri5")) for rtol in rtols]
        )
        for schedule in schedules
    }


def floors(schedules: Sequence[Schedule], times: int, samples: int) -> dict[str, dict[str, np.ndarray]]:
    """F11. By schedule on T-A: the floor (t, F), and the loss of the exact velocity on draws (t, loss, its error)."""
    target, found = TARGETS["T-A"], {}
    for schedule in schedules:
        oracle = target.make(schedule)
        closer = NEAR * (1 - (1 - np.linspace(0, 1, times)) ** 2)  # where the floor may be steep
        curve = [(t, loss_floor(oracle, t)) for t in closer.tolist()]
        measured = [(t, *sampled_loss(oracle, target, t, samples)) for t in np.linspace(0.05, 0.95, 10).tolist()]
        found[schedule.name] = {"floor": np.array(curve), "loss": np.array(measured)}
    return found


def identity_errors(study: Study) -> dict[str, Panel]:
    """By statement that is an identity: its tolerance, and the largest error under each schedule."""
    found: dict[str, Panel] = {}
    for claim in CLAIMS:
        for part in (part for part in study.parts(claim) if part.kind == "identity"):
            key = f"{claim.upper()}  {part.statement}"
            entry = found.setdefault(key, {"tolerance": part.tolerance, "errors": {}})
            entry["errors"][part.schedule] = max(part.error, entry["errors"].get(part.schedule, 0.0))
    return found


def _measured(schedule: Schedule, target: Target, grid: Grid) -> Panel:
    low, high = spectrum_over_time(schedule, target, grid)
    return {"measured": {"smallest": (grid.evenly(), low), "largest": (grid.evenly(), high)}}


def _below_top(times: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    keep = values < TOP
    return times[keep], values[keep]


def _plain(panel: Panel) -> Panel:
    """The panel with numpy arrays."""
    for part in ("measured", "bounds"):
        panel[part] = {name: tuple(map(np.asarray, curve)) for name, curve in panel[part].items()}
    return panel
