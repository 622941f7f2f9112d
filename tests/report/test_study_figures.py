"""The studies' figures draw what they are given: curves, marks and legends are read back from the axes."""

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest

from pushforward.report import study_figures as figures

matplotlib.use("agg")
plt = matplotlib.pyplot


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_estimators_are_hollow_where_they_have_no_second_moment():
    rows = np.array([(0.3, 1e-3, 1, 2e-3), (0.9, 5.0, 0, np.nan)])
    fig = figures.estimators({"one": {"a": rows, "b": 0 * rows + 1}, "two": {"a": rows, "b": rows}})
    first = fig.axes[0]
    theory, line, full, hollow, _ = first.lines[:5]
    assert theory.get_ydata()[0] == 2e-3 and line.get_ydata().tolist() == [1e-3, 5.0]
    assert (full.get_xdata().tolist(), hollow.get_xdata().tolist()) == ([0.3], [0.9])
    assert hollow.get_markerfacecolor() == "white" and full.get_markerfacecolor() != "white"
    assert first.lines[-1].get_xdata()[0] == pytest.approx(0.5**0.5)
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["a", "b"]
    assert first.get_yscale() == "log" and first.get_ylabel() and fig.axes[1].get_xlabel()


def test_a_zero_error_stays_on_the_logarithmic_axis():
    fig = figures.estimators({"one": {"a": np.array([(0.3, 0.0, 1, np.nan)])}})
    assert fig.axes[0].lines[1].get_ydata()[0] > 0


def test_second_moments_are_drawn_term_by_term():
    fig = figures.second_moments({"law": {"0.5": np.array([1.0, 2.0, 2.5]), "0.9": np.array([1.0, 10.0, 100.0])}})
    low, high = fig.axes[0].lines
    assert low.get_xdata().tolist() == [1, 2, 3] and high.get_ydata()[-1] == 100
    assert not np.allclose(low.get_color(), high.get_color())
    assert "0.9" in fig.legends[0].get_texts()[1].get_text()


@pytest.mark.parametrize("count", [1, 3])
def test_solvers_show_iterations_above_time(count):
    rows = np.array([(2, 5.0, 0.1), (8, 6.0, 0.7)])
    fig = figures.solvers({f"map {k}": {"newton": rows, "broyden": 2 * rows} for k in range(count)}, rows=30)
    above, below = fig.axes[0], fig.axes[count]
    assert above.lines[0].get_ydata().tolist() == [5, 6] and below.lines[0].get_ydata().tolist() == [0.1, 0.7]
    assert above.get_title() == "map 0" and "30 roots" in below.get_ylabel()
    assert [text.get_text() for text in fig.legends[0].get_texts()] == ["newton", "broyden"]
    assert [text.get_text() for text in below.get_xticklabels()] == ["2", "4", "8", "16"]
