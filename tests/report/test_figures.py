"""Figures draw what they are given: panels, points and levels are read back from the axes."""

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest

from pushforward.report import figures

matplotlib.use("agg")
plt = matplotlib.pyplot


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_true_and_learned_density_share_one_scale_a_column():
    true, learned = np.arange(16.0).reshape(4, 4), np.zeros((4, 4))
    fig = figures.densities({"rose": (true, learned), "tree": (2 * true, learned)}, 4.5)
    images = [ax.images[0] for ax in fig.axes]
    assert [ax.get_title() for ax in fig.axes] == ["rose: true", "tree: true", "rose: learned", "tree: learned"]
    assert images[0].get_clim() == images[2].get_clim() != images[1].get_clim()
    assert images[0].origin == "lower" and np.array_equal(images[0].get_array(), true)


def test_clouds_put_data_above_samples():
    data, samples = np.zeros((5, 2)), np.ones((7, 2))
    above, below = figures.clouds({"rose": (data, samples)}, 3.0).axes
    assert np.array_equal(above.collections[0].get_offsets(), data)
    assert np.array_equal(below.collections[0].get_offsets(), samples)
    assert above.get_xlim() == below.get_ylim() == (-3.0, 3.0)


def test_there_and_back_goes_from_the_first_stop_to_the_last():
    forward = np.random.default_rng(0).normal(size=(9, 6, 2))
    fig = figures.there_and_back(forward, forward[::-1], 3.0, columns=3)
    shown = [ax.collections[0].get_offsets() for ax in fig.axes]
    for picture, stop in zip(shown, [0, 4, 8, 8, 4, 0], strict=True):
        assert np.array_equal(picture, forward[stop])
    angle = np.arctan2(forward[-1, :, 1], forward[-1, :, 0])
    for ax in fig.axes:  # a point keeps its colour in both rows
        assert np.array_equal(ax.collections[0].get_array(), angle)


def test_trajectories_join_a_points_stops():
    paths = np.random.default_rng(0).normal(size=(4, 3, 2))
    (ax,) = figures.trajectories({"rings": paths}, 3.0).axes
    assert len(ax.lines) == 3
    assert np.array_equal(ax.lines[1].get_xydata(), paths[:, 1])


def test_blocks_show_level_time_and_movement():
    rows = [{"KL": 1.0, "seconds": 0.0, "movement": np.nan}, {"KL": 0.1, "seconds": 5.0, "movement": 0.3}]
    left, middle, right = figures.blocks({"rose": rows}, "KL", {"published": 0.15}).axes
    assert left.lines[0].get_xydata().tolist() == [[0, 1.0], [1, 0.1]]
    assert middle.lines[0].get_xydata().tolist() == [[0.0, 1.0], [5.0, 0.1]]
    assert right.lines[0].get_xydata().tolist() == [[1, 0.3]]
    assert left.lines[1].get_ydata() == [0.15, 0.15] and left.get_yscale() == "log"


@pytest.mark.parametrize("count", [1, 16])
def test_block_numbers_are_whole_and_not_crowded(count):
    rows = [{"KL": 1.0, "seconds": float(k), "movement": 0.3} for k in range(count + 1)]
    left, _, right = figures.blocks({"rose": rows}, "KL").axes
    for ax in (left, right):
        low, high = ax.get_xlim()
        ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
        assert 1 <= len(ticks) <= 11 and all(tick == int(tick) for tick in ticks)


def test_levels_below_zero_get_a_linear_axis():
    rows = [{"NLL": -1.0, "seconds": 0.0, "movement": np.nan}, {"NLL": -2.0, "seconds": 5.0, "movement": 0.3}]
    assert figures.blocks({"patches": rows}, "NLL").axes[0].get_yscale() == "linear"


def test_solver_errors_and_mmd_show_their_numbers():
    (ax,) = figures.solver_errors({"rose": [(1e-3, 1e-2), (1e-6, 1e-5)]}).axes
    assert ax.lines[0].get_xydata().tolist() == [[1e-3, 1e-2], [1e-6, 1e-5]]
    (ax,) = figures.mmd({"rose": (1e-4, 2e-4), "tree": (3e-4, 1e-4)}).axes
    assert [bar.get_height() for bar in ax.patches] == [2e-4, 1e-4]
    assert ax.lines[0].get_ydata().tolist() == [1e-4, 3e-4]


def test_patches_show_the_first_pictures_of_every_row():
    pictures = np.random.default_rng(0).normal(size=(5, 8, 8))
    fig = figures.patches({"data": pictures, "samples": -pictures}, count=3)
    assert len(fig.axes) == 6
    assert np.array_equal(fig.axes[4].images[0].get_array(), -pictures[1])
