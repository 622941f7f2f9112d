"""What is drawn of the steps of a JKO flow are the numbers that were given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pushforward.report import jko_step_figures

CASE = {
    "distance": [[3.0, 1.0], [2.5, 1.5], [2.0, 2.0]],
    "distance_cv": [0.5, 0.25, 0.0],
    "val_nll": [4.0, 3.0, 3.5],
    "chosen": 1,
    "unchanged": [4.0, 3.8],
    "refined": 2.9,
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def drawn(ax):
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in ax.get_lines()]


def test_a_row_of_rounds_shows_movements_variation_and_nll():
    fig = jko_step_figures.rounds({"law": CASE, "other": CASE | {"unchanged": [], "refined": None}})
    axes = np.array(fig.axes).reshape(2, 3)
    assert drawn(axes[0, 0]) == [([1, 2], moved) for moved in CASE["distance"]]
    assert [text.get_text() for text in axes[0, 0].get_legend().get_texts()] == ["round 0", "round 2"]
    assert drawn(axes[0, 1])[0] == ([0, 1, 2], CASE["distance_cv"])
    assert drawn(axes[0, 1])[1][1] == [0.25]
    assert set(drawn(axes[0, 1])[2][1]) == {0.25}  # half of the start
    everything = drawn(axes[0, 2])
    assert everything[0] == ([0, 1, 2], CASE["val_nll"]) and everything[1] == ([1], [3.0])
    assert everything[2] == ([0, 1], CASE["unchanged"]) and everything[3] == ([2], [2.9])
    assert len(drawn(axes[1, 2])) == 2


def test_the_gaussian_figure_has_the_first_round_and_the_last():
    rows = [{"round": k, "exact": [2.0 - k, 1.0], "measured": [2.1 - k, 0.9]} for k in range(3)]
    lines = drawn(jko_step_figures.gaussian(rows).axes[0])
    assert [values for _, values in lines] == [
        rows[0]["exact"],
        rows[0]["measured"],
        rows[2]["exact"],
        rows[2]["measured"],
    ]


def test_costs_are_a_line_a_way_over_the_blocks():
    rows = [
        {"training": way, "blocks": n, "MiB": 40.0 * scale, "CPU s": n * scale, "evaluations": 8 * n * scale}
        for way, power in (("block-wise", 0), ("end-to-end", 1))
        for n in (2, 16)
        for scale in (n**power,)
    ]
    memory, seconds, evaluations = jko_step_figures.costs(rows).axes
    assert drawn(memory) == [([2, 16], [40.0, 40.0]), ([2, 16], [80.0, 640.0])]
    assert drawn(seconds)[1] == ([2, 16], [4, 256])
    assert drawn(evaluations)[0] == ([2, 16], [16, 128])
    assert memory.get_xscale() == memory.get_yscale() == "log"
