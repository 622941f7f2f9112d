"""What the figures of the comparison on real data show."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from pushforward.report import jko_real_figures
from pushforward.report.style import colour

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_training_has_a_panel_a_data_set_and_hides_what_is_worse_than_the_start():
    lines = {"jko-iflow-fixed-budget": [(0.0, 5.0), (2.0, 3.0)], "score-sde": [(0.0, 5.0), (1.0, 90.0), (2.0, 4.0)]}
    fig = jko_real_figures.training({"flights": lines, "digits": lines, "patches": lines})
    shown = [ax for ax in fig.axes if ax.axison]
    assert [ax.get_title() for ax in shown] == ["flights", "digits", "patches"]
    low, high = shown[0].get_ylim()
    assert low < 3.0 and 5.0 < high < 6.0
    first, second = shown[0].lines
    assert first.get_color() == colour("jko") and second.get_color() == colour("interpolation")
    assert [text.get_text() for text in fig.legends[0].texts] == ["jko-iflow", "score-sde"]
    np.testing.assert_array_equal(second.get_xydata(), lines["score-sde"])


def test_mmd_draws_every_value_beside_its_threshold():
    tests = {"jko-iflow": (1e-4, 3e-4), "ffjord": (2e-2, 4e-4)}
    (ax,) = jko_real_figures.mmd({"flights": tests}).axes
    assert [bar.get_width() for bar in ax.patches] == [3e-4, 4e-4]
    assert ax.collections[0].get_offsets()[:, 0].tolist() == [1e-4, 2e-2]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(tests)
    assert ax.get_xlim()[1] > 2e-2


def test_sensitivity_writes_every_number_and_a_dash_for_none():
    table = {"linear": {"5": 4.0, "20": 6.25}, "constant": {"5": None, "20": 5.0}}
    fig = jko_real_figures.sensitivity(table, "ScoreSDE on flights")
    ax = fig.axes[0]
    assert [text.get_text() for text in ax.texts] == ["4.00", "6.25", "-", "5.00"]
    dark = ax.images[0].cmap(ax.images[0].norm(np.array([4.0, 6.25])))[:, :3].sum(1)
    assert dark[0] > dark[1] and [text.get_color() for text in ax.texts[:2]] == ["black", "white"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["linear", "constant"]
