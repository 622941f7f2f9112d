"""Figures of conditional generation on a graph: arrays in, a matplotlib figure out."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pushforward.report.style import colour

TONES = {"truth": "data", "jko-iflow": "jko"}  # all others are baselines
SHOWN = 500  # points a panel


def graphs(adjacency: Sequence[Sequence[float]], labels: Mapping[str, Sequence[int]]) -> Figure:
    """A panel a label configuration: the graph on a circle, nodes with label 1 filled.

    Args:
        labels: by title, 0 or 1 for every node.
    """
    weights = np.asarray(adjacency)
    angle = np.pi / 2 - 2 * np.pi * np.arange(len(weights)) / len(weights)
    place = np.stack([np.cos(angle), np.sin(angle)], 1)
    fig, axes = plt.subplots(1, len(labels), figsize=(2.7 * len(labels), 2.8), squeeze=False)
    for ax, (title, chosen) in zip(axes[0], labels.items(), strict=True):
        for u, v in np.argwhere(np.triu(weights, 1) > 0):
            ax.plot(*place[[u, v]].T, color=colour("latent"), lw=1, zorder=1)
        on = np.asarray(chosen) == 1
        fill = np.where(on, colour("jko"), "white")
        ax.scatter(*place.T, s=230, c=fill, edgecolors=colour("jko"), linewidths=1.3, zorder=2)
        for node, (x, y) in enumerate(place):
            tone = "white" if on[node] else colour("data")
            ax.text(x, y, str(node), color=tone, ha="center", va="center", fontsize=8, zorder=3)
        ax.set(title=title, xticks=[], yticks=[], aspect="equal", xlim=(-1.25, 1.25), ylim=(-1.25, 1.25))
        _bare(ax)
    return fig


def nodes(points: Mapping[str, np.ndarray], labels: Sequence[int]) -> Figure:
    """A row a source, a column a node: its two features, on the window that holds nearly all of the first row's.

    Args:
        points: by source, the truth first, [n, nodes, 2].
        labels: of the nodes, shown above the columns.
    """
    first = next(iter(points.values()))
    low, high = np.quantile(first, 0.002, axis=0), np.quantile(first, 0.998, axis=0)  # [nodes, 2]
    fig, axes = plt.subplots(len(points), len(labels), figsize=(1.15 * len(labels), 1.25 * len(points)), squeeze=False)
    for row, (name, values) in enumerate(points.items()):
        tone = colour(TONES.get(name, "baseline"))
        for node, ax in enumerate(axes[row]):
            ax.scatter(*values[:SHOWN, node].T, s=1.2, color=tone, linewidths=0)
            margin = 0.08 * (high[node] - low[node])
            window = np.stack([low[node] - margin, high[node] + margin], 1)
            ax.set(xlim=window[0], ylim=window[1], xticks=[], yticks=[])
            if row == 0:
                ax.set_title(f"{node}: {int(labels[node])}", fontsize=8)
        axes[row, 0].set_ylabel(name, fontsize=8)
    fig.supxlabel("current value", fontsize=8)
    fig.supylabel("previous value", fontsize=8)
    return fig


def correlations(matrices: Mapping[str, np.ndarray]) -> Figure:
    """A panel a source: correlations of current values (first half) and previous ones, on one scale."""
    fig, axes = plt.subplots(1, len(matrices), figsize=(2.9 * len(matrices), 2.9), squeeze=False)
    for ax, (title, matrix) in zip(axes[0], matrices.items(), strict=True):
        image = ax.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r")
        half = len(matrix) // 2
        for line in (ax.axhline, ax.axvline):
            line(half - 0.5, color=colour("data"), lw=0.6)
        ax.set(title=title, xticks=[half / 2, 1.5 * half], yticks=[])
        ax.set_xticklabels(["current", "previous"])
        ax.grid(False)
    fig.colorbar(image, ax=axes[0].tolist(), shrink=0.8)
    return fig


def training(curves: Mapping[str, Sequence[tuple[float, float]]], level: str, reference: Mapping[str, float]) -> Figure:
    """``level`` on validation points against CPU-seconds of training, a line a method; ``reference`` as dashes."""
    fig, ax = plt.subplots(figsize=(4.6, 3.2))
    for name, points in curves.items():
        seconds, values = zip(*points, strict=True)
        ax.plot(seconds, values, "o-", ms=3, color=colour(TONES.get(name, "baseline")), label=name)
    for name, value in reference.items():
        ax.axhline(value, color=colour("latent"), lw=1, ls="--")
        ax.annotate(name, (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    if all(value > 0 for points in curves.values() for _, value in points):
        ax.set_yscale("log")
    ax.set(xlabel="CPU-seconds of training", ylabel=f"{level} (nats)")
    ax.legend(fontsize=8)
    return fig


def _bare(ax: Axes) -> None:
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
