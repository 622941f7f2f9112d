"""Figures of images decoded from codes: arrays in, a matplotlib figure out."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pushforward.report.style import colour


def pictures(rows: Mapping[str, np.ndarray]) -> Figure:
    """A row a title with its pictures, [n, h, w] or [n, h, w, 3], all on one scale: 0 is black, 1 white."""
    count = max(len(each) for each in rows.values())
    fig, axes = plt.subplots(len(rows), count, figsize=(0.62 * count + 1.0, 0.66 * len(rows)), squeeze=False)
    for line, (title, each) in zip(axes, rows.items(), strict=True):
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
            ax.spines[:].set_visible(False)
        for ax, picture in zip(line, each, strict=False):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
    return fig


def distances(panels: Mapping[str, Sequence[tuple[str, float, float]]], unit: str, flow: str = "jko-iflow") -> Figure:
    """A panel a set of images: a bar for each thing compared with its test images, standard error on it.

    The dashed line is the distance of reconstructions: what the flow's bar has to the right of it is not the decoder's.

    Args:
        panels: by title, (name, distance, standard error or NaN).
        unit: what the distance is called.
        flow: the name that has the flow's colour.
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(4.4 * len(panels), 2.4), squeeze=False)
    for ax, (title, rows) in zip(axes[0], panels.items(), strict=True):
        names, values, errors = zip(*rows, strict=True)
        tones = [colour("jko" if name == flow else "data" if name == "images" else "latent") for name in names]
        ax.barh(names, values, xerr=np.nan_to_num(errors), color=tones, ecolor=colour("baseline"))
        for name, value, _ in rows:
            if name == "reconstruction":
                ax.axvline(value, color=colour("data"), lw=1, ls="--")
        ax.invert_yaxis()
        ax.set(title=title, xlabel=unit)
        ax.grid(axis="y", visible=False)
    return fig
