"""Figures of the learned interpolation flows: arrays in, a matplotlib figure out."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure

from pushforward.report.style import colour, equal_axes


def densities(columns: Mapping[str, Mapping[str, np.ndarray]], extent: float) -> Figure:
    """A column a law, a row a density (the truth first), on one colour scale a column.

    Args:
        columns: by law and row title, a density on a grid over [−extent, extent]², first row of the array lowest.
    """
    rows = list(next(iter(columns.values())))
    fig, axes = plt.subplots(len(rows), len(columns), figsize=(2.5 * len(columns), 2.6 * len(rows)), squeeze=False)
    for column, (law, panels) in enumerate(columns.items()):
        top = float(np.quantile(panels[rows[0]][panels[rows[0]] > 0], 0.995))
        for ax, title in zip(axes[:, column], rows, strict=True):
            ax.imshow(panels[title], origin="lower", extent=(-extent, extent, -extent, extent), vmin=0, vmax=top)
            ax.set(title=f"{law}: {title}", xticks=[], yticks=[])
            ax.grid(False)
    return fig


def stability(curves: Mapping[str, Sequence[tuple[float, float, float, float]]]) -> Figure:
    """A panel a schedule: W2 to the data with both of its bounds against the excess loss of a checkpoint.

    Args:
        curves: by schedule, (excess loss, W2, refined bound, crude bound) of each checkpoint.
    """
    fig, axes = plt.subplots(1, len(curves), figsize=(3.6 * len(curves), 3.3), sharey=True, squeeze=False)
    lines = (
        ("W2, exact", "o-", "interpolation"),
        ("refined bound", "s--", "latent"),
        ("crude bound", "^:", "baseline"),
    )
    for ax, (schedule, points) in zip(axes[0], curves.items(), strict=True):
        excess, *values = np.array(sorted(points)).T
        for (label, mark, tone), value in zip(lines, values, strict=True):
            ax.loglog(excess, value, mark, color=colour(tone), label=label)
        ax.set(title=schedule, xlabel=r"excess loss $\int E|v-\tilde v|^2dt$")
    axes[0, 0].set_ylabel(r"$W_2$")
    axes[0, 0].legend(fontsize=8)
    return fig


def methods(levels: Mapping[str, Mapping[str, tuple[float, float]]], unit: str = "KL to the truth (nats)") -> Figure:
    """A panel a case: a dot a method with two standard errors, the best one filled.

    Args:
        levels: by case and method, (value, standard error); lower is better.
    """
    fig, axes = plt.subplots(1, len(levels), figsize=(3.6 * len(levels), 3.2), squeeze=False)
    for ax, (case, methods) in zip(axes[0], levels.items(), strict=True):
        best = min(methods, key=lambda name: methods[name][0])
        for place, (name, (value, error)) in enumerate(methods.items()):
            tone = "baseline" if name.startswith("plain") else "jko" if name.startswith("jko") else "interpolation"
            face = colour(tone) if name == best else "white"
            ax.errorbar(value, place, xerr=2 * error, fmt="o", color=colour(tone), markerfacecolor=face)
        ax.set_yticks(range(len(methods)), list(methods))
        ax.invert_yaxis()
        ax.set(title=case, xlabel=unit)
    return fig


def translation(clouds: Mapping[str, np.ndarray], angles: np.ndarray, extent: float) -> Figure:
    """A panel a stage: points [n, 2] on their way from one domain to the other and back, coloured once and for all."""
    fig, axes = plt.subplots(1, len(clouds), figsize=(2.7 * len(clouds), 2.9), squeeze=False)
    for ax, (title, points) in zip(axes[0], clouds.items(), strict=True):
        ax.scatter(points[:, 0], points[:, 1], c=angles, s=1.2, cmap="hsv", linewidths=0)
        ax.set(title=title, xticks=[], yticks=[])
    equal_axes(axes, extent)
    return fig


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], level: str) -> Figure:
    """``level`` against CPU-seconds of training, a line a method; a method measured once is a dot."""
    fig, ax = plt.subplots(figsize=(5.2, 3.4))
    shades = seaborn.color_palette("viridis", len(lines))
    for (name, points), shade in zip(lines.items(), shades, strict=True):
        seconds, values = zip(*points, strict=True)
        ax.plot(seconds, values, "o-", ms=4, color=shade, label=name)
    ax.set(xlabel="CPU-seconds of training", ylabel=f"{level} (nats)", yscale="log")
    ax.legend(fontsize=8)
    return fig
