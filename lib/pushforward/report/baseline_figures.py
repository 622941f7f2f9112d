"""Figures of JKO-iFlow beside its baselines: arrays in, a matplotlib figure out."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure

from pushforward.report.style import colour

OURS = "jko-iflow"


def densities(rows: Mapping[str, Mapping[str, np.ndarray]], extent: float) -> Figure:
    """A row a law, a column a density (the truth first), on one colour scale a row.

    Args:
        rows: by law and title, a density on a grid over [−extent, extent]², first row of the array lowest.
    """
    columns = max(len(panels) for panels in rows.values())
    fig, axes = plt.subplots(len(rows), columns, figsize=(1.9 * columns, 2.15 * len(rows)), squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for line, (law, panels) in zip(axes, rows.items(), strict=True):
        first = next(iter(panels.values()))
        top = float(np.quantile(first[first > 0], 0.995))
        for ax, (title, values) in zip(line, panels.items(), strict=False):
            ax.imshow(values, origin="lower", extent=(-extent, extent, -extent, extent), vmin=0, vmax=top)
            ax.set_title(f"{law}: {title}" if values is first else title, fontsize=9)
    return fig


def training(
    curves: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    published: Mapping[str, Mapping[str, float]],
    level: str = "KL",
) -> Figure:
    """A panel a law: ``level`` against CPU-seconds of training, a line a method; dashed what a paper reports.

    Args:
        curves: by law and method, (seconds, nats) on the way.
        published: by law and method, nats; drawn in the method's colour.
    """
    methods = list(dict.fromkeys(name for lines in curves.values() for name in lines))
    others = [name for name in methods if name != OURS]
    shades = dict(zip(others, seaborn.color_palette("husl", len(others)), strict=True)) | {OURS: colour("jko")}
    fig, axes = plt.subplots(1, len(curves), figsize=(4.6 * len(curves), 3.6), squeeze=False)
    for ax, (law, lines) in zip(axes[0], curves.items(), strict=True):
        for name, points in lines.items():
            seconds, values = zip(*points, strict=True)
            width = 2.4 if name == OURS else 1.3
            ax.plot(seconds, values, "o-", ms=3.5, lw=width, color=shades[name], label=name)
        for name, value in published.get(law, {}).items():
            ax.axhline(value, color=shades.get(name, colour("latent")), lw=0.9, ls="--")
        ax.set(title=law, xlabel="CPU-seconds of training", ylabel=f"{level} (nats)", yscale="log")
    named = {line.get_label(): line for ax in axes[0] for line in ax.lines if line.get_label() in methods}
    axes[0, -1].legend(named.values(), named, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


def discrepancies(tests: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    """A panel a law: MMD² of each method (dot) beside its permutation threshold at 5 % (bar), MMD² on a symlog axis.

    Args:
        tests: by law and method, (MMD², threshold).
    """
    fig, axes = plt.subplots(1, len(tests), figsize=(4.0 * len(tests), 3.4), squeeze=False)
    for ax, (law, methods) in zip(axes[0], tests.items(), strict=True):
        thresholds = [threshold for _, threshold in methods.values()]
        ax.barh(range(len(methods)), thresholds, color=colour("latent"), alpha=0.4, label="threshold")
        for place, (name, (value, _)) in enumerate(methods.items()):
            ax.plot(value, place, "o", color=colour("jko" if name == OURS else "baseline"))
        ax.axvline(0, color=colour("data"), lw=0.8)
        ax.set_xscale("symlog", linthresh=max(thresholds))
        ax.set_yticks(range(len(methods)), list(methods))
        ax.invert_yaxis()
        ax.set(title=law, xlabel=r"MMD$^2$, unbiased")
    axes[0, 0].legend(fontsize=8, loc="lower right")
    return fig
