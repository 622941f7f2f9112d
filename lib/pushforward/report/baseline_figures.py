"""Figures of JKO-iFlow beside its baselines: arrays in, a matplotlib figure out."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pushforward.errors import InputError
from pushforward.report.style import colour

TONES = {  # by method: a family's colour and a line style, so that all lines stay apart; dashes are for papers
    "jko-iflow": ("jko", "-"),
    "ffjord": ("baseline", "-"),
    "ot-flow": ("flow-maps", "-"),
    "i-resnet": ("implicit", "-"),
    "ignn": ("implicit", "-."),
    "score-sde": ("interpolation", "-"),
    "nsf": ("data", "-."),
    "maf": ("latent", "-."),
}
VARIANT = ":"  # line of a method with other settings than its own, as jko-iflow-mlp
COLUMNS = 2
SUFFIX = "-fixed-budget"  # of methods in the place of Table 2: every line would repeat it


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
    panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    published: Mapping[str, Mapping[str, float]] | None = None,
    level: str = "NLL",
) -> Figure:
    """A panel a law or data set: ``level`` on validation points against CPU-seconds of training, a line a method.

    A KL has a logarithmic axis. That of an NLL, which may be negative, ends where the worst of the methods began.

    Args:
        panels: by law or data set and method, (CPU-seconds, nats) along the training.
        published: by the same, nats that a paper reports; dashed, in the method's colour.
    """
    fig, axes = _grid(len(panels))
    for ax, (title, lines) in zip(axes, panels.items(), strict=True):
        for method, points in lines.items():
            shade, stroke = _tone(method)
            seconds, values = zip(*points, strict=True)
            ax.plot(seconds, values, stroke, marker="o", ms=2.5, lw=1.3, color=shade, label=method.removesuffix(SUFFIX))
        for method, value in (published or {}).get(title, {}).items():
            ax.axhline(value, color=_tone(method)[0], lw=0.9, ls="--")
        ax.set(title=title, xlabel="CPU-seconds of training")
        if level == "KL":
            ax.set_yscale("log")
        else:
            start = max(points[0][1] for points in lines.values())
            best = min(value for points in lines.values() for _, value in points)
            ax.set_ylim(best - 0.05 * (start - best), start + 0.1 * (start - best))
    for ax in axes[::COLUMNS]:
        ax.set_ylabel(f"validation {level} (nats)")
    _legend(fig, axes)
    return fig


def discrepancies(panels: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    """A panel a law or data set: MMD² of each method (dot) beside its permutation threshold at 5 % (bar).

    Args:
        panels: by law or data set and method, (unbiased MMD², threshold). The axis is linear up to the decade below
            the smallest threshold and logarithmic from there.
    """
    fig, axes = _grid(len(panels))
    for ax, (title, tests) in zip(axes, panels.items(), strict=True):
        places = np.arange(len(tests))
        values, thresholds = np.array(list(tests.values())).T
        ax.barh(places, thresholds, color=colour("latent"), alpha=0.4)
        ax.scatter(values, places, c=[_tone(method)[0] for method in tests], s=28, zorder=3)
        ax.axvline(0, color=colour("data"), lw=0.8)
        ax.set_xscale("symlog", linthresh=10 ** math.floor(math.log10(thresholds.min())))
        ax.set_yticks(places, [method.removesuffix(SUFFIX) for method in tests])
        least, most = min(0.0, values.min()), max(values.max(), thresholds.max())
        ax.set(title=title, xlabel=r"MMD$^2$, unbiased", xlim=(2 * least, 2 * most))
        ax.invert_yaxis()
    return fig


def sensitivity(table: Mapping[str, Mapping[str, float | None]], title: str) -> Figure:
    """NLL in nats by the form of the noise rate (rows) and its maximum (columns), the number in every cell.

    Args:
        table: by form and maximum; None where there is no number.
    """
    values = np.array([[np.nan if v is None else v for v in line.values()] for line in table.values()], dtype=float)
    columns = list(next(iter(table.values())))
    fig, ax = plt.subplots(figsize=(1.6 + 0.95 * len(columns), 0.9 + 0.7 * len(table)))
    image = ax.imshow(values, cmap="viridis_r", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for (row, column), value in np.ndenumerate(values):
        text = "-" if np.isnan(value) else f"{value:.2f}"
        ax.text(column, row, text, ha="center", va="center", color="black" if value < middle else "white", fontsize=9)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(table)), list(table))
    ax.set(title=title, xlabel="maximal noise rate")
    ax.grid(False)
    fig.colorbar(image, ax=ax, label="test NLL (nats)")
    return fig


def _tone(method: str) -> tuple[str, str]:
    """Colour and line style of a method, whatever its suffix."""
    title = method.removesuffix(SUFFIX)
    kind = next((name for name in TONES if title.startswith(name)), None)
    if kind is None:
        raise InputError(
            f"{method!r} has no colour, expected a method named after one of {sorted(TONES)}: add it there"
        )
    name, stroke = TONES[kind]
    return colour(name), stroke if title == kind else VARIANT


def _grid(count: int) -> tuple[Figure, np.ndarray]:
    rows = -(-count // COLUMNS)
    columns = min(count, COLUMNS)
    fig, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 3.1 * rows), squeeze=False)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    return fig, axes.flat[:count]


def _legend(fig: Figure, axes: np.ndarray) -> None:
    """One for all panels, below them."""
    handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    columns = 2 * min(len(axes), COLUMNS)
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, fontsize=8)
