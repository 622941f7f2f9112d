"""Figures of the steps of a JKO flow: how far they move, what rounds of retraining do, what training costs."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter

from pushforward.report.style import colour


def rounds(cases: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A row a case: distance S_k that each block moves, round by round, its variation, and the validation NLL.

    Args:
        cases: by name, ``distance`` (a list a round), ``distance_cv``, ``val_nll``, ``chosen`` (its round),
            ``unchanged`` (NLL of the rounds without change, may be empty) and ``refined`` (NLL, or None).
    """
    fig, axes = plt.subplots(len(cases), 3, figsize=(11, 3.0 * len(cases)), squeeze=False)
    for (left, middle, right), (name, case) in zip(axes, cases.items(), strict=True):
        shades = seaborn.color_palette("viridis", len(case["distance"]))
        for number, (moved, shade) in enumerate(zip(case["distance"], shades, strict=True)):
            ends = number in (0, len(shades) - 1)
            left.plot(range(1, len(moved) + 1), moved, "o-", ms=3, color=shade, label=f"round {number}" * ends or None)
        left.set(xlabel="block", ylabel=r"distance $S_k$", title=name, ylim=(0, None))
        left.legend(fontsize=8)
        _variation(middle, case)
        _nll(right, case)
        for ax in (left, middle, right):
            ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return fig


def _variation(ax: Axes, case: Mapping[str, Any]) -> None:
    values = case["distance_cv"]
    ax.plot(range(len(values)), values, "o-", color=colour("jko"))
    ax.plot(case["chosen"], values[case["chosen"]], "o", ms=11, mfc="none", color=colour("data"))
    ax.axhline(values[0] / 2, color=colour("latent"), ls="--", lw=1, label="half of the start")
    ax.set(xlabel="round", ylabel="variation of the distances", ylim=(0, None))
    ax.legend(fontsize=8)


def _nll(ax: Axes, case: Mapping[str, Any]) -> None:
    values, chosen = case["val_nll"], case["chosen"]
    ax.plot(range(len(values)), values, "o-", color=colour("jko"), label="steps follow the movements")
    ax.plot(chosen, values[chosen], "o", ms=11, mfc="none", color=colour("data"), label="chosen")
    if case["unchanged"]:
        ax.plot(
            range(len(case["unchanged"])), case["unchanged"], "s--", ms=4, color=colour("latent"), label="same steps"
        )
    if case["refined"] is not None:
        ax.plot(chosen + 1, case["refined"], "^", color=colour("interpolation"), label="chosen, refined")
    ax.set(xlabel="round", ylabel="validation NLL (nats)")
    ax.legend(fontsize=8)


def gaussian(rows: list[Mapping[str, Any]]) -> Figure:
    """Distances S_k of trained blocks (dots) and of exact JKO steps of the same sizes (lines), first and last round."""
    fig, ax = plt.subplots(figsize=(4.8, 3.2))
    ends = [rows[0], rows[-1]]
    for row, shade in zip(ends, (colour("latent"), colour("jko")), strict=True):
        blocks = range(1, len(row["exact"]) + 1)
        ax.plot(blocks, row["exact"], "-", color=shade, label=f"round {row['round']}: exact")
        ax.plot(blocks, row["measured"], "o", color=shade, label=f"round {row['round']}: trained")
    ax.set(xlabel="block", ylabel=r"distance $S_k$", ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(fontsize=8)
    return fig


def costs(rows: list[Mapping[str, Any]]) -> Figure:
    """Memory, CPU time and velocity evaluations of training against the number of blocks, a line a way.

    Args:
        rows: ``training`` (the way), ``blocks``, ``MiB``, ``CPU s`` and ``evaluations``.
    """
    fig, axes = plt.subplots(1, 3, figsize=(11, 3.2))
    titles = {"MiB": "peak memory of training (MiB)", "CPU s": "CPU-seconds", "evaluations": "velocity evaluations"}
    shades = {"block-wise": colour("jko"), "end-to-end": colour("baseline")}
    counts = sorted({row["blocks"] for row in rows})
    for ax, (quantity, title) in zip(axes, titles.items(), strict=True):
        for way, shade in shades.items():
            chosen = [row for row in rows if row["training"] == way]
            ax.loglog(
                [row["blocks"] for row in chosen], [row[quantity] for row in chosen], "o-", color=shade, label=way
            )
        ax.set(xlabel="blocks", title=title, xticks=counts)
        ax.xaxis.set_major_formatter(ScalarFormatter())
        ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0].set_ylim(bottom=min(row["MiB"] for row in rows) / 3)
    axes[0].legend(fontsize=8)
    return fig
