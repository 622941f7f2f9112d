"""The implicit theorems' figures draw what they are given: curves, bands and dots are read back from the axes."""

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest

from pushforward.report import implicit_figures as figures

matplotlib.use("agg")
plt = matplotlib.pyplot
X = np.linspace(-1, 1, 5)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_the_line_shows_target_learned_and_slope():
    panel = {"x": X, "target": 2 * X, "learned": X, "slope": 1 + X**2, "limits": (0.5, 3.0), "ball": (0.1, 0.2)}
    panel["ramp"] = (0.1, 10.0)
    fig = figures.line({"resflow-1": panel, "impflow-1": panel})
    upper, lower = fig.axes[0], fig.axes[2]
    heights = [line.get_ydata() for line in upper.lines]
    assert np.array_equal(heights[0], 2 * X) and np.array_equal(heights[1], X)
    assert np.array_equal(lower.lines[0].get_ydata(), 1 + X**2) and lower.get_yscale() == "log"
    assert [ax.get_title() for ax in fig.axes[:2]] == ["resflow-1", "impflow-1"]
    assert upper.lines[1].get_color() != fig.axes[1].lines[1].get_color()


def test_errors_stand_beside_their_bounds():
    fig = figures.errors({"resflow-1": {"measured": 0.9, "weak": 0.4, "sharp": 0.8}, "impflow-1": {"measured": 0.01}})
    (ax,) = fig.axes
    assert sorted(bar.get_height() for bar in ax.patches) == [0.4, 0.8]
    assert sorted(float(line.get_ydata()[0]) for line in ax.lines) == [0.01, 0.9]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["measured", "weak", "sharp"]


def test_intervals_show_band_and_measured_extremes():
    panel = {"kappa": X, "ends": np.stack([X + 2, X + 3], 1), "at": X[:2], "measured": np.ones((2, 2))}
    fig = figures.intervals({"resflow-1": panel, "impflow": panel})
    ax = fig.axes[0]
    assert np.array_equal(ax.lines[0].get_ydata(), X + 2) and np.array_equal(ax.lines[1].get_ydata(), X + 3)
    assert np.array_equal(ax.lines[2].get_ydata(), [1, 1]) and len(ax.collections) == 1


def test_certificates_lie_above_errors_and_zero_is_drawn():
    rows = np.array([[1.0, 1e-2, 1e-1], [5.0, 0.0, 1e-8]])
    fig = figures.certificates({"newton": rows, "broyden": rows})
    bound, error = fig.axes[0].lines
    assert np.array_equal(bound.get_ydata(), [1e-1, 1e-8]) and np.array_equal(error.get_ydata(), [1e-2, figures.SMALL])
    assert bound.get_label() == "certified" and error.get_label() == "true"


def test_turns_draw_every_spoke_from_the_origin():
    ends = np.array([[1.0, 0.0], [0.0, 1.0]])
    fig = figures.turns({"x": ends, "after 1": -ends})
    spokes = fig.axes[1].lines[:2]  # then the dot of the first
    assert [tuple(line.get_xydata()[0]) for line in spokes] == [(0, 0)] * 2
    assert np.array_equal([line.get_xydata()[1] for line in spokes], -ends)
    assert len(fig.axes[0].lines) == 3
