"""Figures of the baselines: every method is named, in its own colour, in every panel that it is in."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pushforward.catalogue.jko_baselines import METHODS
from pushforward.errors import InputError
from pushforward.report import baseline_figures as figures
from pushforward.report.style import colour


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_training_has_a_method_in_one_colour_and_dashes_for_what_is_published():
    curves = {
        "rose": {"jko-iflow": [(0, 1.0), (2, 0.1)], "jko-iflow-mlp": [(1, 0.5)]},
        "rings": {"jko-iflow": [(0, 1.0)], "nsf": [(1, 0.3), (2, 0.2)]},
    }
    fig = figures.training(curves, {"rose": {"nsf": 0.4, "jko-iflow": 0.15}}, level="KL")
    assert [text.get_text() for text in fig.legends[0].texts] == ["jko-iflow", "jko-iflow-mlp", "nsf"]
    rose, rings = fig.axes
    lines = {line.get_label(): line for line in (*rose.lines, *rings.lines)}
    assert lines["jko-iflow"].get_color() == lines["jko-iflow-mlp"].get_color() == colour("jko")
    assert lines["jko-iflow"].get_linestyle() == "-" and lines["jko-iflow-mlp"].get_linestyle() == ":"
    dashed = {line.get_ydata()[0]: line.get_color() for line in rose.lines if line.get_linestyle() == "--"}
    assert dashed == {0.4: lines["nsf"].get_color(), 0.15: colour("jko")}
    assert {ax.get_yscale() for ax in fig.axes} == {"log"} and rose.get_ylabel() == "validation KL (nats)"


def test_every_method_has_a_line_of_its_own():
    assert set(figures.TONES) == set(METHODS)
    assert len(set(figures.TONES.values())) == len(METHODS)


def test_an_unknown_method_is_named():
    with pytest.raises(InputError, match="'glow' has no colour"):
        figures.training({"rose": {"glow": [(0, 1.0)]}}, level="KL")


def test_densities_share_the_truths_scale_and_leave_lost_ones_out():
    true, learned = np.linspace(0, 1, 16).reshape(4, 4), np.full((4, 4), 7.0)
    fig = figures.densities({"rose": {"true": true, "nsf": learned}, "rings": {"true": 2 * true}}, 4.5)
    shown = [image for ax in fig.axes for image in ax.images]
    top = np.quantile(true[true > 0], 0.995)
    assert [image.get_clim()[1] for image in shown] == pytest.approx([top, top, 2 * top])
    assert [ax.get_title() for ax in fig.axes] == ["rose: true", "nsf", "rings: true", ""]


def test_training_has_a_panel_a_data_set_and_hides_what_is_worse_than_the_start():
    lines = {"jko-iflow-fixed-budget": [(0.0, 5.0), (2.0, 3.0)], "score-sde": [(0.0, 5.0), (1.0, 90.0), (2.0, 4.0)]}
    fig = figures.training({"flights": lines, "digits": lines, "patches": lines})
    shown = [ax for ax in fig.axes if ax.axison]
    assert [ax.get_title() for ax in shown] == ["flights", "digits", "patches"]
    low, high = shown[0].get_ylim()
    assert low < 3.0 and 5.0 < high < 6.0
    first, second = shown[0].lines
    assert first.get_color() == colour("jko") and second.get_color() == colour("interpolation")
    assert [text.get_text() for text in fig.legends[0].texts] == ["jko-iflow", "score-sde"]
    np.testing.assert_array_equal(second.get_xydata(), lines["score-sde"])


def test_a_dot_a_method_and_a_bar_as_long_as_its_threshold():
    tests = {"jko-iflow": (-1e-4, 3e-4), "ffjord": (2e-2, 4e-4)}
    (ax,) = figures.discrepancies({"flights": tests}).axes
    assert [bar.get_width() for bar in ax.patches] == [3e-4, 4e-4]
    assert ax.collections[0].get_offsets()[:, 0].tolist() == [-1e-4, 2e-2]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(tests)
    assert ax.get_xlim()[1] > 2e-2


def test_sensitivity_writes_every_number_and_a_dash_for_none():
    table = {"linear": {"5": 4.0, "20": 6.25}, "constant": {"5": None, "20": 5.0}}
    fig = figures.sensitivity(table, "ScoreSDE on flights")
    ax = fig.axes[0]
    assert [text.get_text() for text in ax.texts] == ["4.00", "6.25", "-", "5.00"]
    dark = ax.images[0].cmap(ax.images[0].norm(np.array([4.0, 6.25])))[:, :3].sum(1)
    assert dark[0] > dark[1] and [text.get_color() for text in ax.texts[:2]] == ["black", "white"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["linear", "constant"]
