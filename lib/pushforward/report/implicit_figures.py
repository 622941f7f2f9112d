"""The figures of the implicit theorems: arrays in, a matplotlib figure out; measured dark, bounds in colour."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from pushforward.report.style import colour, equal_axes

TONES = {"resflow": colour("jko"), "impflow": colour("implicit")}
BOUND = colour("interpolation")
SLOPES = (5e-3, 200.0)  # ends of the slopes' axis: three residual blocks may contract far more than any need to
SMALL = 1e-17  # an error of 0 is drawn here


def line(panels: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Above: the ramp (dark) and what was learned. Below: its slope, and in colour the slopes that κ allows.

    Args:
        panels: by method, ``x``, ``target``, ``learned``, ``slope`` [n], and pairs ``limits``, ``ball``, ``ramp``.
    """
    fig, axes = plt.subplots(2, len(panels), figsize=(2.5 * len(panels), 4.6), sharex=True, sharey="row", squeeze=False)
    for (upper, lower), (method, panel) in zip(axes.T, panels.items(), strict=True):
        tone = _tone(method)
        for ax in (upper, lower):
            ax.axvspan(*panel["ball"], color=colour("latent"), alpha=0.2, lw=0)
        upper.plot(panel["x"], panel["target"], color=colour("data"), lw=1.2, label="target")
        upper.plot(panel["x"], panel["learned"], color=tone, lw=2, label="learned")
        upper.set_title(method)
        lower.axhspan(*panel["limits"], color=tone, alpha=0.15, lw=0)
        lower.plot(panel["x"], panel["slope"], color=tone)
        for slope in panel["ramp"]:
            lower.axhline(slope, color=colour("data"), lw=0.8, ls=":")
        lower.set(yscale="log", xlabel="x", ylim=SLOPES)
    axes[0, 0].set_ylabel("z")
    axes[1, 0].set_ylabel("slope")
    axes[0, 0].legend(fontsize=8, loc="upper left")
    return fig


def errors(methods: Mapping[str, Mapping[str, float]]) -> Figure:
    """Largest error on the ball (dots) above its bounds (bars), a column a method.

    Args:
        methods: by method, ``measured`` and the bounds by name.
    """
    fig, ax = plt.subplots(figsize=(5.6, 3.4))
    names = list(dict.fromkeys(name for row in methods.values() for name in row if name != "measured"))
    shades = dict(zip(names, ("#f3c79f", "#e39a55", BOUND), strict=False))
    for place, (method, row) in enumerate(methods.items()):
        for k, name in enumerate(name for name in names if name in row):
            label = name if place == 0 else None
            ax.bar(place + 0.2 * (k - 1), row[name], 0.18, color=shades[name], label=label)
        ax.plot(place, row["measured"], "o", color=_tone(method), label="measured" if place == 0 else None)
        ax.annotate(f"  {row['measured']:.2g}", (place, row["measured"]), va="center", fontsize=8)
    ax.set_xticks(range(len(methods)), list(methods))
    ax.set_ylabel(r"$\sup_{B_r}|f-g|$")
    ax.grid(False, axis="x")
    ax.legend(fontsize=8)
    return fig


def intervals(panels: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Slopes that a method can have against κ (band), and the extremes of random networks (dots).

    Args:
        panels: by method, ``kappa`` [k], ``ends`` [k, 2], ``at`` [j], ``measured`` [j, 2].
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(2.9 * len(panels), 3.0), sharey=True, squeeze=False)
    for ax, (method, panel) in zip(axes[0], panels.items(), strict=True):
        ax.fill_between(panel["kappa"], *panel["ends"].T, color=_tone(method), alpha=0.25, lw=0)
        ax.plot(panel["kappa"], panel["ends"], color=_tone(method))
        ax.plot(panel["at"], panel["measured"], ".", color=colour("data"))
        ax.set(title=method, xlabel=r"$\kappa$", yscale="log")
    axes[0, 0].set_ylabel("singular values")
    return fig


def certificates(solvers: Mapping[str, np.ndarray]) -> Figure:
    """A panel a solver: the largest true error (dark) and the largest certified one, against iterations.

    Args:
        solvers: by name, rows (iterations, true error, certified error).
    """
    fig, axes = plt.subplots(1, len(solvers), figsize=(2.3 * len(solvers), 2.9), sharey=True, squeeze=False)
    for ax, (name, rows) in zip(axes[0], solvers.items(), strict=True):
        ax.semilogy(rows[:, 0], np.maximum(rows[:, 2], SMALL), "s-", ms=4, color=BOUND, label="certified")
        ax.semilogy(rows[:, 0], np.maximum(rows[:, 1], SMALL), "o-", ms=4, color=colour("data"), label="true")
        ax.set(title=name, xlabel="iterations")
    axes[0, 0].set_ylabel("largest error")
    axes[0, 0].legend(fontsize=8)
    return fig


def turns(stages: Mapping[str, np.ndarray]) -> Figure:
    """A panel a stage: spokes [n, 2], coloured once and for all, the first with a dot."""
    fig, axes = plt.subplots(1, len(stages), figsize=(2.2 * len(stages), 2.4), squeeze=False)
    for ax, (title, ends) in zip(axes[0], stages.items(), strict=True):
        for k, end in enumerate(ends):
            ax.plot([0, end[0]], [0, end[1]], "-", color=plt.get_cmap("hsv")(k / len(ends)), lw=2)
        ax.plot(*ends[0], "o", color=colour("data"))
        ax.set(title=title, xticks=[], yticks=[])
        ax.grid(False)
    equal_axes(axes, 1.1)
    return fig


def _tone(method: str) -> str:
    return TONES[method.split("-")[0]]
