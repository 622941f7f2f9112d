"""The learned flows' figures draw what they are given: pictures, marks and curves are read back from the axes."""

import matplotlib
import matplotlib.colors
import matplotlib.pyplot
import numpy as np
import pytest

from pushforward.report import gif_figures as figures
from pushforward.report.style import colour

matplotlib.use("agg")
plt = matplotlib.pyplot


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_densities_put_the_truth_first_on_one_scale_a_column():
    true, learned = np.linspace(0, 1, 400).reshape(20, 20), np.full((20, 20), 7.0)
    panels = {"true": true, "plain": learned, "angle": -learned}
    fig = figures.densities({"rose": panels, "tree": panels | {"true": 2 * true}}, 4.5)
    assert [ax.get_title() for ax in fig.axes] == [
        f"{law}: {row}" for row in ("true", "plain", "angle") for law in ("rose", "tree")
    ]
    images = [ax.images[0] for ax in fig.axes]
    for image, shown in zip(images[::2], (true, learned, -learned), strict=True):
        assert np.array_equal(image.get_array(), shown)
        assert image.origin == "lower" and image.get_extent() == [-4.5, 4.5, -4.5, 4.5]
    for column, scale in ((images[::2], 1.0), (images[1::2], 2.0)):  # a learned peak does not dim the truth
        low, high = zip(*(image.get_clim() for image in column), strict=True)
        assert set(low) == {0} and len(set(high)) == 1
        assert 0.99 * scale < high[0] < scale  # nor does one bright cell of the truth: the top is a quantile


def test_a_density_that_fills_little_of_the_square_keeps_its_scale():
    true = np.zeros((40, 40))
    true[0, :2] = (1.0, 2.0)  # 2 of 1600 cells: a quantile over all of them would be 0
    (ax,) = figures.densities({"point": {"true": true}}, 1.0).axes
    assert 1.9 < ax.images[0].get_clim()[1] <= 2


def test_stability_orders_the_checkpoints_by_excess_loss():
    curves = {"linear": [(0.1, 2.0, 3.0, 4.0), (0.01, 0.2, 0.3, 0.4)], "foellmer": [(0.5, 5.0, 6.0, 7.0)]}
    left, right = figures.stability(curves).axes
    w2, refined, crude = left.lines
    assert w2.get_xydata().tolist() == [[0.01, 0.2], [0.1, 2.0]]
    assert refined.get_xydata().tolist() == [[0.01, 0.3], [0.1, 3.0]]
    assert crude.get_xydata().tolist() == [[0.01, 0.4], [0.1, 4.0]]
    assert [line.get_ydata().tolist() for line in right.lines] == [[5.0], [6.0], [7.0]]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["W2, exact", "refined bound", "crude bound"]
    assert len({line.get_color() for line in left.lines}) == len({line.get_linestyle() for line in left.lines}) == 3
    assert left.get_xscale() == left.get_yscale() == "log"
    assert (left.get_title(), right.get_title()) == ("linear", "foellmer")
    assert left.get_ylim() == right.get_ylim()


def test_methods_fill_the_best_and_reach_two_standard_errors():
    levels = {
        "rose": {"plain": (0.5, 0.1), "linear": (0.2, 0.02), "jko-iflow": (0.3, 0.03)},
        "tree": {"vp": (1.0, 0.0)},
    }
    rose, tree = figures.methods(levels, "nats").axes
    dots = [bars[0] for bars in rose.containers]
    assert [dot.get_xydata().tolist() for dot in dots] == [[[0.5, 0]], [[0.2, 1]], [[0.3, 2]]]
    tones = [colour("baseline"), colour("interpolation"), colour("jko")]
    assert [dot.get_color() for dot in dots] == tones
    assert [dot.get_markerfacecolor() for dot in dots] == ["white", tones[1], "white"]
    for bars, (value, error) in zip(rose.containers, levels["rose"].values(), strict=True):
        ((left, _), (right, _)) = bars[2][0].get_segments()[0]
        assert (left, right) == pytest.approx((value - 2 * error, value + 2 * error))
    assert [label.get_text() for label in rose.get_yticklabels()] == ["plain", "linear", "jko-iflow"]
    assert rose.yaxis_inverted() and rose.get_xlabel() == "nats"
    assert tree.get_title() == "tree" and tree.containers[0][0].get_markerfacecolor() == colour("interpolation")


def test_translated_points_keep_their_colour():
    cloud, angles = np.random.default_rng(0).normal(size=(6, 2)), np.linspace(-3, 3, 6)
    stages = {"rose": cloud, "as tree": cloud + 1, "and back": 2 * cloud}
    fig = figures.translation(stages, angles, 3.0)
    assert [ax.get_title() for ax in fig.axes] == list(stages)
    for ax, points in zip(fig.axes, stages.values(), strict=True):
        (drawn,) = ax.collections
        assert np.array_equal(drawn.get_offsets(), points) and np.array_equal(drawn.get_array(), angles)
        assert drawn.get_clim() == (-3, 3)
        assert ax.get_xlim() == ax.get_ylim() == (-3.0, 3.0)


def test_curves_join_the_points_of_a_method():
    lines = {"JKO-iFlow": [(1.0, 0.5), (4.0, 0.1)], "plain": [(2.0, 0.3), (3.0, 0.2)], "longer": [(5.0, 0.01)]}
    (ax,) = figures.curves(lines, "KL").axes
    assert [line.get_xydata().tolist() for line in ax.lines] == [[list(p) for p in row] for row in lines.values()]
    assert [line.get_linestyle() for line in ax.lines] == ["-"] * 3
    assert [line.get_marker() for line in ax.lines] == ["o"] * 3
    assert len({matplotlib.colors.to_hex(line.get_color()) for line in ax.lines}) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(lines)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("CPU-seconds of training", "KL (nats)")
    assert ax.get_xscale() == "linear" and ax.get_yscale() == "log"
