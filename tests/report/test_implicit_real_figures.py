import matplotlib.pyplot as plt
import pytest

from pushforward.report import implicit_real_figures as figures
from pushforward.report import style


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_training_has_a_panel_a_data_set_and_a_line_a_method():
    lines = {"impflow-0-9": [(1.0, 5.0), (2.0, 4.0)], "resflow-0-9": [(0.5, 6.0)], "impflow-0-6": [(1.0, 5.5)]}
    first, second = figures.training({"digits": lines, "mnist": {"resflow": [(3.0, 1.0)]}}).axes
    assert [line.get_label() for line in first.lines] == list(lines)
    assert first.lines[0].get_xdata().tolist() == [1.0, 2.0]
    assert first.lines[0].get_ydata().tolist() == [5.0, 4.0]
    assert [line.get_color() for line in first.lines] == [
        style.colour("implicit"),
        style.colour("baseline"),
        style.colour("implicit"),
    ]
    assert [line.get_linestyle() for line in first.lines] == ["-", "-", "--"]
    assert (first.get_title(), second.get_title()) == ("digits", "mnist")
    assert first.get_ylabel() == "validation NLL (nats)"


def test_coefficients_are_drawn_from_small_to_large():
    fig = figures.coefficients({"digits": {"impflow": [(0.9, 2.0), (0.6, 3.0)], "vanilla": [(1.0, 1.0)]}}, "error (%)")
    (ax,) = fig.axes
    assert ax.lines[0].get_xdata().tolist() == [0.6, 0.9]
    assert ax.lines[0].get_ydata().tolist() == [3.0, 2.0]
    assert ax.lines[1].get_color() == style.colour("data")
    assert ax.get_ylabel() == "error (%)"
