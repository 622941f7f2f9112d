"""Figures of JKO-iFlow and its baselines on real data: arrays in, a matplotlib figure out."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pushforward.report.style import COLOURS, colour

TONES = {  # by method: a colour of the sheet and a line style, so that seven lines stay apart
    "jko-iflow": ("jko", "-"),
    "ffjord": ("baseline", "-"),
    "ot-flow": ("flow-maps", "-"),
    "i-resnet": ("implicit", "-"),
    "ignn": ("implicit", "--"),
    "score-sde": ("interpolation", "-"),
    "nsf": ("data", "--"),
    "maf": ("latent", "--"),
}
COLUMNS = 2
SUFFIX = "-fixed-budget"  # of methods in the place of Table 2: every line would repeat it


def training(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]) -> Figure:
    """A panel a data set: validation NLL against CPU-seconds of training, a line a method.

    Args:
        panels: by data set and method, (CPU-seconds, NLL in nats) along the training, the untrained flow first.
    """
    fig, axes = _grid(len(panels))
    for ax, (title, lines) in zip(axes, panels.items(), strict=True):
        start = max(points[0][1] for points in lines.values())
        best = min(value for points in lines.values() for _, value in points)
        for method, points in lines.items():
            tone, stroke = _tone(method)
            seconds, values = zip(*points, strict=True)
            ax.plot(seconds, values, stroke, marker="o", ms=2.5, lw=1.3, color=tone, label=method.removesuffix(SUFFIX))
        margin = 0.05 * (start - best)
        ax.set(title=title, xlabel="CPU-seconds of training", ylim=(best - margin, start + 2 * margin))
    for ax in axes[::COLUMNS]:
        ax.set_ylabel("validation NLL (nats)")
    _legend(fig, axes)
    return fig


def mmd(panels: Mapping[str, Mapping[str, tuple[float, float]]]) -> Figure:
    """A panel a data set: MMD² of each method (dot) beside its permutation threshold at 5 % (bar).

    Args:
        panels: by data set and method, (unbiased MMD², threshold). The axis is linear below the largest threshold and
            logarithmic above it.
    """
    fig, axes = _grid(len(panels))
    for ax, (title, tests) in zip(axes, panels.items(), strict=True):
        places = np.arange(len(tests))
        values, thresholds = np.array(list(tests.values())).T
        ax.barh(places, thresholds, color=colour("latent"), alpha=0.4, label="threshold at 5 %")
        tones = [_tone(method)[0] for method in tests]
        ax.scatter(values, places, c=tones, s=28, zorder=3, label="measured")
        ax.axvline(0, color=colour("data"), lw=0.8)
        ax.set_xscale("symlog", linthresh=float(thresholds.max()))
        ax.set_yticks(places, [method.removesuffix(SUFFIX) for method in tests])
        ax.set(title=title, xlabel=r"MMD$^2$, unbiased", xlim=(None, 2 * max(values.max(), thresholds.max())))
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
    kind = next((name for name in TONES if method.startswith(name)), None)
    name, stroke = TONES.get(kind, ("latent", ":"))
    return COLOURS[name], stroke


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
