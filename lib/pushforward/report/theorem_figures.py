"""The figures of the interpolation theorems: arrays in, a matplotlib figure out; measured dark, bounds in colour."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, SymmetricalLogLocator

from pushforward.report.style import COLOURS, DENSITY, colour

SHADES = [COLOURS[name] for name in ("jko", "interpolation", "implicit", "flow-maps", "baseline", "latent")]
MARKERS = "osv^Dx"
SMALL = 3.0  # a panel that stays within this needs no asinh scale
LOWER, UPPER = colour("jko"), colour("interpolation")


def flows(panels: Mapping[str, Mapping[str, np.ndarray]], columns: int = 3) -> Figure:
    """p_t over time, each time on its own scale, with trajectories.

    Args:
        panels: by schedule, ``times`` [k], ``x`` [m], ``density`` [m, k], ``paths`` [k, n].
    """
    fig, axes = _panels(len(panels), columns, 3.0, 2.3)
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        t, x, density = panel["times"], panel["x"], panel["density"]
        ax.contourf(t, x, density / density.max(0), levels=np.linspace(0, 1, 9), cmap=DENSITY)
        ax.plot(t, panel["paths"], color="white", lw=0.9)
        ax.plot(np.ones_like(panel["paths"][-1]), panel["paths"][-1], ".", color="#58c4dd", ms=5, clip_on=False)
        ax.set(title=title, xlim=(0, 1))
        ax.grid(False)
    _label_edges(axes, columns, "t", "x")
    return fig


def bounded(
    panels: Mapping[str, Mapping[str, Any]], ylabel: str, columns: int = 3, scale: str = "linear", size: float = 2.9
) -> Figure:
    """Measured curves (dark) between bounds (blue from below, orange from above), a panel a case.

    Args:
        panels: by title, ``measured`` and ``bounds``: curves (x [k], y [k] or [k, n]) by name, and maybe ``mark``, a
            name and a time, drawn as a vertical line. Names of bounds begin with lower or upper; a second upper one
            is dashed.
        scale: of the vertical axis: linear, log or asinh (linear about 0, logarithmic far from it).
    """
    fig, axes = _panels(len(panels), columns, size, 2.2)
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        uppers = [name for name in panel["bounds"] if name.startswith("upper")]
        for name, (x, y) in panel["bounds"].items():
            second = name in uppers[1:]
            tone = UPPER if name in uppers else LOWER
            ax.plot(x, y, color=tone, ls="--" if second else "-", lw=3, alpha=0.75, label=name)
        for name, (x, y) in panel["measured"].items():
            many = y.ndim > 1
            style = {"lw": 0.7, "alpha": 0.7} if many else {"ls": "", "marker": ".", "ms": 3.5}
            lines = ax.plot(x, y, color=colour("data"), **style)
            lines[0].set_label(name if many else "measured" if name == "largest" else f"_{name}")
        if "mark" in panel:
            name, place = panel["mark"]
            ax.axvline(place, color=colour("latent"), ls=":", lw=1.2)
            where = {"xycoords": ("data", "axes fraction"), "ha": "right", "va": "top"}
            ax.annotate(f"${name}$ ", (place, 1.0), color="#555555", **where)
        ax.set_title(title, fontsize=9)
        _scale(ax, scale)
        ax.tick_params(labelsize=8)
    _label_edges(axes, columns, "t", ylabel)
    _legend_below(fig, axes)
    return fig


def perturbations(panels: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """W2 against the size of a perturbation with both bounds, a panel a schedule; the second perturbation is dashed.

    Args:
        panels: by schedule and perturbation, rows (η, W2, refined, crude).
    """
    fig, axes = _panels(len(panels), 3, 3.2, 2.8)
    curves = (("W2", colour("data"), "o"), ("refined bound", LOWER, "s"), ("crude bound", UPPER, "^"))
    for ax, (title, waves) in zip(axes, panels.items(), strict=True):
        for (wave, rows), ls in zip(waves.items(), ("-", "--", ":"), strict=False):
            for column, (name, tone, marker) in enumerate(curves, start=1):
                ax.loglog(rows[:, 0], rows[:, column], ls=ls, marker=marker, ms=4, color=tone, label=f"{name}, {wave}")
        ax.set(title=title)
    _label_edges(axes, 3, r"size of the perturbation $\eta$", r"$W_2$ at $t = 1$")
    _legend_below(fig, axes)
    return fig


def loops(adaptive: Mapping[str, np.ndarray], fixed: Mapping[str, np.ndarray], slopes: Mapping[str, tuple]) -> Figure:
    """Left: error of loops against the tolerance. Right: one-way (dashed) and round-trip error against steps.

    Args:
        adaptive: by loop, rows (rtol, error).
        fixed: by method, rows (steps, one way, round trip); ``slopes`` by method, (one way, round trip).
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.6))
    names = list(dict.fromkeys(name.split(", ")[1] for name in adaptive))
    for name, rows in adaptive.items():
        kind, schedule = name.split(", ")
        style = {"ls": "--", "marker": "s"} if kind == "cycle" else {"ls": "-", "marker": "o"}
        tone = SHADES[names.index(schedule) % len(SHADES)]
        left.loglog(rows[:, 0], rows[:, 1], ms=4, color=tone, label=name, **style)
    span = np.sort(np.concatenate([rows[:, 0] for rows in adaptive.values()]))[[0, -1]]
    left.loglog(span, 20 * span, color=colour("latent"), ls=":", lw=1.2, label="20 × tolerance")
    left.set(xlabel="relative tolerance of dopri5", ylabel="error of the loop (rms)")
    for (method, rows), tone in zip(fixed.items(), SHADES, strict=False):
        one, trip = slopes[method]
        right.loglog(rows[:, 0], rows[:, 1], "s--", ms=4, color=tone, label=f"{method}, one way: order {one:.1f}")
        right.loglog(rows[:, 0], rows[:, 2], "o-", ms=4, color=tone, label=f"{method}, round trip: order {trip:.1f}")
    right.set(xlabel="steps", ylabel="error (rms)")
    for ax in (left, right):
        ax.legend(fontsize=7)
    return fig


def lines(curves: Mapping[str, np.ndarray], xlabel: str, ylabel: str, reference: str = "") -> Figure:
    """Log-log lines, rows (x, y); ``reference`` names a dotted line y = x."""
    fig, ax = plt.subplots(figsize=(4.8, 3.4))
    for (name, rows), tone, marker in zip(curves.items(), SHADES, MARKERS, strict=False):
        ax.loglog(rows[:, 0], rows[:, 1], ls="-", marker=marker, ms=4, color=tone, label=name)
    if reference:
        span = np.sort(next(iter(curves.values()))[:, 0])[[0, -1]]
        ax.loglog(span, span, color=colour("latent"), ls=":", lw=1.2, label=reference)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(fontsize=8)
    return fig


def floors(curves: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Loss floors over time (lines) and the measured loss of the exact velocity (dots, two standard errors).

    Args:
        curves: by schedule, ``floor``: rows (t, F), and ``loss``: rows (t, mean, standard error).
    """
    fig, ax = plt.subplots(figsize=(5.6, 3.6))
    for (name, parts), tone in zip(curves.items(), SHADES, strict=False):
        ax.plot(parts["floor"][:, 0], parts["floor"][:, 1], color=tone, label=name)
        t, mean, se = parts["loss"].T
        ax.errorbar(t, mean, 2 * se, color=tone, ls="", marker="o", ms=4)
    ax.set(xlabel="t", ylabel="loss of the exact velocity", yscale="log")
    ax.legend(fontsize=8, ncols=2)
    return fig


def identities(rows: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Errors of identities, a line a statement: a dot a schedule, and the tolerance as a bar on the right.

    Args:
        rows: by statement, ``tolerance`` and ``errors`` by schedule.
    """
    fig, ax = plt.subplots(figsize=(8.6, 0.8 + 0.26 * len(rows)))
    names = list(dict.fromkeys(name for row in rows.values() for name in row["errors"]))
    for place, row in enumerate(rows.values()):
        ax.plot([row["tolerance"]] * 2, [place - 0.38, place + 0.38], color=UPPER, lw=2.5, label="_")
        for name, error in row["errors"].items():
            shade = SHADES[names.index(name) % len(SHADES)]
            ax.plot(max(error, 1e-17), place, ls="", marker=MARKERS[names.index(name) % 6], ms=4, color=shade)
    handles = [
        plt.Line2D([], [], ls="", marker=MARKERS[k % 6], color=SHADES[k % len(SHADES)], label=name)
        for k, name in enumerate(names)
    ]
    handles.append(plt.Line2D([], [], color=UPPER, lw=2.5, label="tolerance"))
    ax.set_yticks(range(len(rows)), list(rows), fontsize=8)
    ax.set(xscale="log", xlabel="largest error")
    ax.invert_yaxis()
    fig.legend(handles=handles, fontsize=8, ncols=len(handles), loc="outside lower center")
    return fig


def _panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    columns = min(columns, count)
    lines = -(-count // columns)
    fig, axes = plt.subplots(lines, columns, figsize=(width * columns, height * lines + 0.4), squeeze=False)
    for spare in axes.flat[count:]:
        spare.remove()
    return fig, list(axes.flat[:count])


def _scale(ax: Axes, scale: str) -> None:
    """A vertical scale with few and plain labels."""
    if scale == "asinh" and np.abs(ax.get_ylim()).max() < SMALL:
        scale = "linear"
    ax.set_yscale(scale)
    if scale == "log":
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    if scale == "asinh":
        ax.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1))
    if scale != "linear":
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())


def _label_edges(axes: Sequence[Axes], columns: int, xlabel: str, ylabel: str) -> None:
    """Names of the axes on the left and on the lowest panels alone."""
    for place, ax in enumerate(axes):
        if place % columns == 0:
            ax.set_ylabel(ylabel)
        if place + columns >= len(axes):
            ax.set_xlabel(xlabel)


def _legend_below(fig: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels."""
    found: dict[str, Any] = {}
    for ax in axes:
        found |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    fig.legend(
        found.values(),
        found.keys(),
        fontsize=8,
        ncols=min(len(found), round(fig.get_figwidth() / 1.6)),
        loc="outside lower center",
    )
