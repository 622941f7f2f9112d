"""Figures of decoded images draw what they are given: pictures, bars and errors are read back from the axes."""

import math

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest

from pushforward.report import latent_figures
from pushforward.report.style import colour

matplotlib.use("agg")
plt = matplotlib.pyplot


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_pictures_share_one_scale_and_a_row_has_a_title():
    grey, dim = np.random.default_rng(0).random((3, 4, 5)), np.full((2, 4, 5), 0.1)
    fig = latent_figures.pictures({"images": grey, "samples": dim})
    above, below = fig.axes[:3], fig.axes[3:]
    assert (above[0].get_ylabel(), below[0].get_ylabel()) == ("images", "samples")
    for ax, picture in zip(above, grey, strict=True):
        assert np.array_equal(ax.images[0].get_array(), picture) and ax.images[0].get_clim() == (0, 1)
    assert below[0].images[0].get_clim() == (0, 1)
    assert [len(ax.images) for ax in below] == [1, 1, 0]


def test_colours_stay_colours():
    colours = np.random.default_rng(0).random((1, 4, 5, 3))
    (ax,) = latent_figures.pictures({"images": colours}).axes
    assert np.array_equal(ax.images[0].get_array(), colours[0])


def test_distances_are_bars_with_the_reconstructions_line():
    rows = [("images", 0.2, math.nan), ("reconstruction", 0.6, 0.1), ("jko-iflow", 1.1, 0.2)]
    left, right = latent_figures.distances({"digits": rows, "mnist": rows[:1]}, "distance").axes
    assert (left.get_title(), right.get_title(), left.get_xlabel()) == ("digits", "mnist", "distance")
    assert [bar.get_width() for bar in left.patches] == [0.2, 0.6, 1.1]
    tones = [matplotlib.colors.to_hex(bar.get_facecolor()) for bar in left.patches]
    assert tones == [colour("data"), colour("latent"), colour("jko")]
    assert [label.get_text() for label in left.get_yticklabels()] == ["images", "reconstruction", "jko-iflow"]
    assert left.yaxis_inverted()
    (line,) = [each for each in left.lines if each.get_linestyle() == "--"]
    assert list(line.get_xdata()) == [0.6, 0.6]
    assert not [each for each in right.lines if each.get_linestyle() == "--"]
    spans = [segment[:, 0].tolist() for segment in left.collections[0].get_segments()]
    assert spans == [[0.2, 0.2], pytest.approx([0.5, 0.7]), pytest.approx([0.9, 1.3])]
