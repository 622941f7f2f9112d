"""Figures of implicit flows on real data: arrays in, a matplotlib figure out."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from pushforward.report.style import colour

TONES = {"impflow": "implicit", "resflow": "baseline"}  # others take the tone of data


def training(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], level: str = "NLL (nats)") -> Figure:
    """A panel a data set: validation level against CPU-seconds of training, a line a method.

    Args:
        panels: by data set and method, (CPU-seconds, level) along the training; dashed where a method's name says a
            second coefficient of the same kind.
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(3.7 * len(panels), 3.1), squeeze=False)
    for ax, (name, lines) in zip(axes[0], panels.items(), strict=True):
        seen: dict[str, int] = {}
        for method, points in lines.items():
            if not points:  # nothing was validated on the way
                continue
            kind = method.split("-")[0]
            style = ("-", "--", ":", "-.")[seen.setdefault(kind, 0) % 4]
            seen[kind] += 1
            seconds, values = zip(*points, strict=True)
            ax.plot(seconds, values, style, marker="o", ms=3, color=_tone(kind), label=method)
        ax.set(title=name, xlabel="CPU-seconds of training")
        ax.legend(fontsize=8)
    axes[0, 0].set_ylabel(f"validation {level}")
    return fig


def coefficients(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], level: str) -> Figure:
    """A panel a table: ``level`` against the Lipschitz coefficient c, a line a method.

    Args:
        panels: by title and method, (c, level).
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(3.7 * len(panels), 3.1), squeeze=False)
    for ax, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for method, points in lines.items():
            coeffs, values = zip(*sorted(points), strict=True)
            ax.plot(coeffs, values, "o-", ms=4, color=_tone(method), label=method)
        ax.set(title=title, xlabel="Lipschitz coefficient c")
        ax.legend(fontsize=8)
    axes[0, 0].set_ylabel(level)
    return fig


def _tone(kind: str) -> str:
    return colour(TONES.get(kind, "data"))
