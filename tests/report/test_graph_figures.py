"""The figures of notebook 04 show what they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from pushforward.report import graph_figures
from pushforward.report.style import colour

ADJACENCY = [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_the_graph_has_its_edges_and_fills_the_labelled_nodes():
    fig = graph_figures.graphs(ADJACENCY, {"first": [1, 0, 1], "second": [0, 0, 0]})
    first, second = fig.axes
    assert [ax.get_title() for ax in fig.axes] == ["first", "second"]
    assert len(first.lines) == 2
    faces = [tuple(face) for face in first.collections[0].get_facecolors()]
    assert faces == [to_rgba(colour("jko")), to_rgba("white"), to_rgba(colour("jko"))]
    assert {tuple(face) for face in second.collections[0].get_facecolors()} == {to_rgba("white")}
    places = first.collections[0].get_offsets()
    np.testing.assert_allclose(np.stack(first.lines[1].get_data(), 1), places[1:], atol=1e-12)  # nodes 1 and 2
    assert [text.get_text() for text in first.texts] == ["0", "1", "2"]


def test_pairs_stand_node_by_node_on_the_window_of_the_truth():
    rng = np.random.default_rng(0)
    truth, drawn = rng.normal(size=(700, 3, 2)), 5 + rng.normal(size=(50, 3, 2))
    fig = graph_figures.nodes({"truth": truth, "ignn": drawn}, [1, 0, 1])
    axes = np.array(fig.axes).reshape(2, 3)
    assert [ax.get_title() for ax in axes[0]] == ["0: 1", "1: 0", "2: 1"]
    np.testing.assert_array_equal(axes[0, 1].collections[0].get_offsets(), truth[: graph_figures.SHOWN, 1])
    np.testing.assert_array_equal(axes[1, 2].collections[0].get_offsets(), drawn[:, 2])
    assert axes[0, 1].get_xlim() == axes[1, 1].get_xlim() and axes[1, 1].get_xlim()[1] < 5
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["truth", "ignn"]


def test_correlations_share_one_scale():
    matrices = {"truth": np.eye(4), "ignn": 0.5 * np.eye(4)}
    fig = graph_figures.correlations(matrices)
    shown = [ax.images[0] for ax in fig.axes[:2]]
    assert [image.get_clim() for image in shown] == [(-1, 1), (-1, 1)]
    np.testing.assert_array_equal(shown[1].get_array(), matrices["ignn"])


@pytest.mark.parametrize(("low", "scale"), [(0.5, "log"), (-0.5, "linear")])
def test_training_is_on_a_log_scale_where_it_can_be(low, scale):
    curves = {"jko-iflow": [(1.0, 3.0), (2.0, low)], "ignn": [(2.0, 4.0)]}
    fig = graph_figures.training(curves, "KL", {"Gaussian": 2.0})
    (ax,) = fig.axes
    assert ax.get_yscale() == scale
    np.testing.assert_array_equal(ax.lines[0].get_data(), [[1, 2], [3, low]])
    assert [text.get_text() for text in ax.texts] == ["Gaussian"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["jko-iflow", "ignn"]
