"""The figures: arrays in, a matplotlib figure out. Nothing here trains, and nothing is computed that a table shows."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pushforward.report.style import colour, equal_axes


def densities(panels: Mapping[str, tuple[np.ndarray, np.ndarray]], extent: float) -> Figure:
    """A column a law: the true density above, the learned one below, on one colour scale a column.

    Args:
        panels: by title, densities (true, learned) on a grid over [−extent, extent]², first row lowest.
    """
    fig, axes = plt.subplots(2, len(panels), figsize=(2.6 * len(panels), 5.4), squeeze=False)
    for column, (title, (true, learned)) in enumerate(panels.items()):
        top = float(np.quantile(true[true > 0], 0.995))
        for row, (name, values) in enumerate((("true", true), ("learned", learned))):
            ax = axes[row, column]
            ax.imshow(values, origin="lower", extent=(-extent, extent, -extent, extent), vmin=0, vmax=top)
            ax.set(title=f"{title}: {name}", xticks=[], yticks=[])
            ax.grid(False)
    return fig


def clouds(panels: Mapping[str, tuple[np.ndarray, np.ndarray]], extent: float) -> Figure:
    """A column a law: points of the data above (black), samples of the flow below (blue). Arrays [n, 2]."""
    fig, axes = plt.subplots(2, len(panels), figsize=(2.6 * len(panels), 5.4), squeeze=False)
    for column, (title, (data, samples)) in enumerate(panels.items()):
        for row, (name, points, tone) in enumerate((("data", data, "data"), ("samples", samples, "jko"))):
            ax = axes[row, column]
            ax.scatter(points[:, 0], points[:, 1], s=0.3, color=colour(tone), linewidths=0)
            ax.set(title=f"{title}: {name}", xticks=[], yticks=[])
    equal_axes(axes, extent)
    return fig


def there_and_back(forward: np.ndarray, backward: np.ndarray, extent: float, columns: int = 5) -> Figure:
    """Above, data on the way to noise; below, noise on the way to data. Paths [stops, n, 2], points coloured by angle.

    The colour belongs to the point in the latent space, so that both rows can be read against each other.
    """
    fig, axes = plt.subplots(2, columns, figsize=(2.3 * columns, 4.8))
    for row, (paths, latent) in enumerate(((forward, forward[-1]), (backward, backward[0]))):
        angle = np.arctan2(latent[:, 1], latent[:, 0])
        picks = np.linspace(0, len(paths) - 1, columns).round().astype(int)
        for ax, stop in zip(axes[row], picks, strict=True):
            ax.scatter(paths[stop, :, 0], paths[stop, :, 1], c=angle, s=1.0, cmap="hsv", linewidths=0)
            ax.set(xticks=[], yticks=[])
        axes[row, 0].set_title("data" if row == 0 else "noise")
        axes[row, -1].set_title("noise" if row == 0 else "data")
    equal_axes(axes, extent)
    return fig


def trajectories(paths: Mapping[str, np.ndarray], extent: float) -> Figure:
    """A panel a law: single points' ways from data (black dots) to noise (grey dots). Paths [stops, n, 2]."""
    fig, axes = plt.subplots(1, len(paths), figsize=(2.7 * len(paths), 2.9), squeeze=False)
    for ax, (title, path) in zip(axes[0], paths.items(), strict=True):
        ax.plot(path[:, :, 0], path[:, :, 1], color=colour("jko"), lw=0.5, alpha=0.6)
        ax.scatter(path[0, :, 0], path[0, :, 1], s=5, color=colour("data"), zorder=3)
        ax.scatter(path[-1, :, 0], path[-1, :, 1], s=5, color=colour("latent"), zorder=3)
        ax.set(title=title, xticks=[], yticks=[])
    equal_axes(axes, extent)
    return fig


def blocks(
    curves: Mapping[str, Sequence[Mapping[str, float]]], level: str, reference: Mapping[str, float] | None = None
) -> Figure:
    """What each block did: ``level`` (say the KL to the truth) after it, and how far it moved the points.

    Args:
        curves: by case, a row a stage with ``level``, ``seconds`` (of training so far) and ``movement``.
        reference: level by name, drawn as horizontal lines: published values, baselines.
    """
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.2))
    positive = all(row[level] > 0 for rows in curves.values() for row in rows)
    shades = seaborn.color_palette("viridis", len(curves))
    for (case, rows), shade in zip(curves.items(), shades, strict=True):
        values = [row[level] for row in rows]
        left.plot(range(len(rows)), values, "o-", color=shade, label=case)
        middle.plot([row["seconds"] for row in rows], values, "o-", color=shade)
        right.plot(range(1, len(rows)), [row["movement"] for row in rows[1:]], "o-", color=shade)
    for name, value in (reference or {}).items():
        for ax in (left, middle):
            ax.axhline(value, color=colour("baseline"), lw=1, ls="--")
        middle.annotate(name, (1, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    left.set(xlabel="block", ylabel=f"{level} (nats)")
    middle.set(xlabel="CPU-seconds of training", ylabel=f"{level} (nats)")
    right.set(xlabel="block", ylabel=r"movement $E|T_k(x)-x|^2$", yscale="log")
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if positive:
        left.set_yscale("log")
        middle.set_yscale("log")
    left.legend(fontsize=8)
    return fig


def solver_errors(errors: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """Round-trip error against the solver's tolerance, a line a case; the dashed line is error = tolerance."""
    fig, ax = plt.subplots(figsize=(4.6, 3.4))
    shades = seaborn.color_palette("viridis", len(errors))
    for (case, points), shade in zip(errors.items(), shades, strict=True):
        tolerances, values = zip(*points, strict=True)
        ax.loglog(tolerances, values, "o-", color=shade, label=case)
    span = [t for points in errors.values() for t, _ in points]
    ax.loglog([min(span), max(span)], [min(span), max(span)], ls="--", color=colour("latent"), lw=1)
    ax.set(xlabel="tolerance of dopri5 (float64)", ylabel="round-trip error (rms)")
    ax.legend(fontsize=8)
    return fig


def mmd(tests: Mapping[str, tuple[float, float]]) -> Figure:
    """MMD² of each case (dot) beside its permutation threshold at 5 % (bar)."""
    fig, ax = plt.subplots(figsize=(1.2 + 1.1 * len(tests), 3.2))
    places = range(len(tests))
    ax.bar(places, [threshold for _, threshold in tests.values()], color=colour("latent"), alpha=0.4, label="threshold")
    ax.plot(places, [value for value, _ in tests.values()], "o", color=colour("jko"), label="measured")
    ax.axhline(0, color=colour("data"), lw=0.8)
    ax.set(ylabel=r"MMD$^2$, unbiased")
    ax.set_xticks(list(places), list(tests), rotation=20, ha="right")
    ax.legend(fontsize=8)
    return fig


def patches(rows: Mapping[str, np.ndarray], count: int = 16) -> Figure:
    """A row a source with its first ``count`` pictures [n, height, width], each on its own grey scale."""
    fig, axes = plt.subplots(len(rows), count, figsize=(0.62 * count, 0.75 * len(rows)), squeeze=False)
    for line, (title, pictures) in zip(axes, rows.items(), strict=True):
        for ax, picture in zip(line, pictures[:count], strict=True):
            ax.imshow(picture, cmap="gray")
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
    return fig
