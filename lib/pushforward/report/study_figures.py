"""The figures of the estimator and the solver study: arrays in, a matplotlib figure out."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from pushforward.report.style import COLOURS

SHADES = [COLOURS[name] for name in ("jko", "interpolation", "implicit", "flow-maps", "baseline", "latent")]
MARKERS = "os^vDx"
LOSS = 0.5**0.5  # where the geometric law of p = 1/2 loses its second moment


def estimators(panels: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Root mean square error against κ, a line an estimator; hollow where the second moment is infinite; theory, where
    there is one, as a pale band below.

    Args:
        panels: by title and estimator, rows (κ, error in nats, 1 where the second moment is finite, theory or NaN).
    """
    columns = 2
    fig, axes = plt.subplots(-(-len(panels) // columns), columns, figsize=(8.4, 6.0), sharex=True, squeeze=False)
    for ax, (title, lines) in zip(axes.flat, panels.items(), strict=False):
        for place, (name, rows) in enumerate(lines.items()):
            shade, marker = SHADES[place % len(SHADES)], MARKERS[place % len(MARKERS)]
            kappa, error = rows[:, 0], np.maximum(rows[:, 1], 1e-16)
            ax.plot(kappa, rows[:, 3], color=shade, lw=6, alpha=0.25, solid_capstyle="round", zorder=1)
            ax.plot(kappa, error, color=shade, lw=1.2, zorder=2)
            for finite, face in ((1, shade), (0, "white")):
                chosen = rows[:, 2] == finite
                ax.plot(kappa[chosen], error[chosen], ls="", marker=marker, ms=5, color=shade, mfc=face, zorder=3)
            ax.plot([], [], color=shade, marker=marker, ms=5, label=name)
        ax.axvline(LOSS, color=COLOURS["latent"], ls=":", lw=1.2)
        ax.set(title=title, yscale="log")
    label = {"xycoords": ("data", "axes fraction"), "color": "#555555", "fontsize": 8}
    axes[0, 0].annotate(r"$\kappa^2=1/2$  ", (LOSS, 0.04), ha="right", **label)
    _edges(axes, r"$\kappa$", "rms error of a draw (nats)")
    _legend_below(fig, axes[0, 0])
    return fig


def second_moments(panels: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Partial sums of a second moment against the number of terms, a panel a law, a line a κ.

    Args:
        panels: by law and κ, sums [terms].
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(3.3 * len(panels), 3.1), sharey=True, squeeze=False)
    for ax, (title, lines) in zip(axes.flat, panels.items(), strict=True):
        for (kappa, sums), shade in zip(lines.items(), _ramp(len(lines)), strict=True):
            ax.plot(np.arange(1, len(sums) + 1), sums, color=shade, label=rf"$\kappa$ = {kappa}")
        ax.set(yscale="log", ylim=(None, 1e4))
        ax.set_title(title, fontsize=9)
    _edges(axes, "terms", r"partial sum of $E[S^2]$ (nats²)")
    _legend_below(fig, axes[0, 0])
    return fig


def solvers(panels: Mapping[str, Mapping[str, np.ndarray]], rows: int) -> Figure:
    """Iterations (above) and time (below) of each solver against d, a column a map and κ.

    Args:
        panels: by title and solver, rows (d, iterations, milliseconds).
        rows: right-hand sides that were solved together.
    """
    fig, axes = plt.subplots(2, len(panels), figsize=(2.3 * len(panels) + 0.6, 5.0), sharex=True, sharey="row")
    axes = axes.reshape(2, len(panels))
    for (above, below), (title, lines) in zip(axes.T, panels.items(), strict=True):
        for place, (name, values) in enumerate(lines.items()):
            style = {"color": SHADES[place % len(SHADES)], "marker": MARKERS[place % len(MARKERS)], "ms": 4, "lw": 1.2}
            above.plot(values[:, 0], values[:, 1], label=name, **style)
            below.plot(values[:, 0], values[:, 2], **style)
        above.set_title(title, fontsize=9)
        for ax in (above, below):
            ax.set(xscale="log", yscale="log")
        dims = np.unique(np.concatenate([values[:, 0] for values in lines.values()]))
        below.set_xticks(dims, [f"{d:g}" for d in dims], fontsize=8)
        below.xaxis.set_minor_locator(NullLocator())
        below.set_xlabel("d")
    axes[0, 0].set_ylabel("iterations")
    axes[1, 0].set_ylabel(f"CPU ms for {rows} roots")
    _legend_below(fig, axes[0, 0])
    return fig


def _ramp(count: int) -> Sequence[tuple[float, ...]]:
    """Colours from light to dark, for an ordered family of curves."""
    return plt.get_cmap("viridis_r")(np.linspace(0.1, 0.95, count))


def _edges(axes: np.ndarray, xlabel: str, ylabel: str) -> None:
    """Names on the lowest and the leftmost panels alone."""
    for ax in axes[-1]:
        ax.set_xlabel(xlabel)
    for ax in axes[:, 0]:
        ax.set_ylabel(ylabel)


def _legend_below(fig: Figure, ax: Axes) -> None:
    handles, names = ax.get_legend_handles_labels()
    columns = min(len(names), round(fig.get_figwidth() / 1.4))
    fig.legend(handles, names, fontsize=8, ncols=columns, loc="outside lower center")
