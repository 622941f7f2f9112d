"""The theorems' figures draw what they are given: curves, marks and legends are read back from the axes."""

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest

from pushforward.report import theorem_figures as figures

matplotlib.use("agg")
plt = matplotlib.pyplot
T = np.linspace(0, 1, 5)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def panel(size=1.0, **more):
    measured = {"smallest": (T, -size * T), "largest": (T, size * T)}
    bounds = {"lower (b)": (T, -2 * size * T), "upper (a)": (T, 2 * size * T), "upper (c)": (T, 3 * size * T)}
    return {"measured": measured, "bounds": bounds, **more}


def test_bounds_and_measurements_are_drawn_with_their_values():
    fig = figures.bounded({"one": panel(), "two": panel(mark=("t_0", 0.4))}, "slope", columns=1)
    first, second = fig.axes
    heights = sorted(float(line.get_ydata()[-1]) for line in first.lines)
    assert heights == [-2, -1, 1, 2, 3]
    assert [line.get_linestyle() for line in first.lines[:3]] == ["-", "-", "--"]
    assert first.lines[0].get_color() == figures.LOWER and first.lines[1].get_color() == figures.UPPER
    assert second.lines[-1].get_xdata()[0] == 0.4 and "$t_0$" in second.texts[0].get_text()
    assert (first.get_xlabel(), second.get_xlabel()) == ("", "t") and first.get_ylabel() == "slope"
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [
        "lower (b)",
        "upper (a)",
        "upper (c)",
        "measured",
    ]


def test_a_panel_of_small_numbers_stays_linear():
    fig = figures.bounded({"small": panel(0.5), "large": panel(50.0)}, "slope", scale="asinh")
    assert [ax.get_yscale() for ax in fig.axes] == ["linear", "asinh"]


def test_flows_show_every_path_and_its_end():
    arrays = {
        "times": T,
        "x": np.linspace(-1, 1, 4),
        "density": np.ones((4, 5)),
        "paths": np.arange(10.0).reshape(5, 2),
    }
    (ax,) = figures.flows({"linear": arrays}).axes
    assert len(ax.lines) == 3 and list(ax.lines[-1].get_ydata()) == [8, 9]


def test_perturbations_have_three_curves_each():
    rows = np.array([[0.1, 1.0, 2.0, 3.0], [0.01, 0.1, 0.2, 0.3]])
    fig = figures.perturbations({"linear": {"u = 1": rows, "u = sin 2x": rows}})
    (ax,) = fig.axes
    assert [line.get_ydata()[0] for line in ax.lines] == [1, 2, 3] * 2
    assert ax.get_xscale() == ax.get_yscale() == "log" and len(fig.legends[0].get_texts()) == 6


def test_loops_tell_the_orders():
    adaptive = {"auto-encoding, linear": np.array([[1e-3, 1e-4]]), "cycle, linear": np.array([[1e-3, 2e-4]])}
    fixed = {"euler": np.array([[8, 0.1, 0.2], [16, 0.05, 0.1]])}
    left, right = figures.loops(adaptive, fixed, {"euler": (1.0, 1.02)}).axes
    assert [line.get_ydata()[0] for line in left.lines] == [1e-4, 2e-4, 20e-3]
    assert [text.get_text() for text in right.get_legend().get_texts()] == [
        "euler, one way: order 1.0",
        "euler, round trip: order 1.0",
    ]
    assert list(right.lines[1].get_ydata()) == [0.2, 0.1]


def test_lines_with_a_reference():
    (ax,) = figures.lines({"a": np.array([[1e-3, 2.0], [1e-5, 1.0]])}, "x", "y", "same").axes
    assert ax.lines[1].get_label() == "same" and list(ax.lines[1].get_ydata()) == [1e-5, 1e-3]
    (ax,) = figures.lines({"a": np.array([[1e-3, 2.0]])}, "x", "y").axes
    assert len(ax.lines) == 1


def test_floors_and_losses():
    curves = {"linear": {"floor": np.array([[0, 1.0], [1, 2.0]]), "loss": np.array([[0.5, 1.5, 0.1]])}}
    (ax,) = figures.floors(curves).axes
    assert list(ax.lines[0].get_ydata()) == [1, 2] and list(ax.lines[1].get_ydata()) == [1.5]


def test_identities_put_every_error_before_its_tolerance():
    rows = {"A1": {"tolerance": 1e-9, "errors": {"linear": 1e-12, "vp": 0.0}}}
    (ax,) = figures.identities(rows).axes
    assert [float(line.get_xdata()[0]) for line in ax.lines] == [1e-9, 1e-12, 1e-17]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["A1"]
