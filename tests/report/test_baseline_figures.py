"""Figures of the baselines: every method is named, in its own colour, in every panel that it is in."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pushforward.report import baseline_figures as figures
from pushforward.report.style import colour


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_method_of_one_law_alone_is_named_too():
    curves = {
        "rose": {"jko-iflow": [(0, 1.0), (2, 0.1)], "only-here": [(1, 0.5)]},
        "rings": {"jko-iflow": [(0, 1.0)], "nsf": [(1, 0.3), (2, 0.2)]},
    }
    fig = figures.training(curves, {"rose": {"nsf": 0.4, "jko-iflow": 0.15}})
    assert [text.get_text() for text in fig.axes[-1].get_legend().get_texts()] == ["jko-iflow", "only-here", "nsf"]
    rose, rings = fig.axes
    lines = {line.get_label(): line for line in (*rose.lines, *rings.lines)}
    assert lines["jko-iflow"].get_color() == colour("jko")
    dashed = {line.get_ydata()[0]: line.get_color() for line in rose.lines if line.get_linestyle() == "--"}
    assert dashed == {0.4: lines["nsf"].get_color(), 0.15: colour("jko")}


def test_densities_share_the_truths_scale_and_leave_lost_ones_out():
    true, learned = np.linspace(0, 1, 16).reshape(4, 4), np.full((4, 4), 7.0)
    fig = figures.densities({"rose": {"true": true, "nsf": learned}, "rings": {"true": 2 * true}}, 4.5)
    shown = [image for ax in fig.axes for image in ax.images]
    top = np.quantile(true[true > 0], 0.995)
    assert [image.get_clim()[1] for image in shown] == pytest.approx([top, top, 2 * top])
    assert [ax.get_title() for ax in fig.axes] == ["rose: true", "nsf", "rings: true", ""]


def test_a_dot_a_method_and_a_bar_as_long_as_its_threshold():
    fig = figures.discrepancies({"rose": {"jko-iflow": (-1e-5, 2e-4), "nsf": (1e-3, 3e-4)}})
    (ax,) = fig.axes
    assert [bar.get_width() for bar in ax.patches] == [2e-4, 3e-4]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"] == [-1e-5, 1e-3]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["jko-iflow", "nsf"]
