"""The drawing sheet: areas of strokes, what covers what, which way is up."""

import math

import numpy as np
import pytest

from pushforward.distributions.canvas import Canvas


def ink(canvas):
    return 1 - canvas.picture() / 255


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2])
def test_stroke_has_the_area_of_a_rounded_bar(angle):
    canvas = Canvas(101, 101)
    end = 30 * np.array([math.cos(angle), math.sin(angle)])
    canvas.stroke(np.stack([-end, end]), 5.0)
    assert ink(canvas).sum() == pytest.approx(60 * 5 + math.pi * 2.5**2, rel=0.01)


def test_tapered_stroke_has_the_area_of_a_trapezium():
    canvas = Canvas(41, 121)
    canvas.stroke(np.array([[-50.0, 0.0], [50.0, 0.0]]), np.array([8.0, 2.0]))
    assert ink(canvas).sum() == pytest.approx(100 * 5 + math.pi * (4**2 + 1**2) / 2, rel=0.01)


def test_a_point_is_a_dot():
    canvas = Canvas(31, 31)
    canvas.stroke(np.zeros((2, 2)), 10.0)
    assert ink(canvas).sum() == pytest.approx(math.pi * 5**2, rel=0.02)


def test_x_goes_right_and_y_goes_up():
    canvas = Canvas(21, 31)
    canvas.stroke(np.array([[12.0, 7.0], [12.0, 7.0]]), 2.0)
    row, column = np.unravel_index(ink(canvas).argmax(), (21, 31))
    assert (row, column) == (10 - 7, 15 + 12)


def test_erase_hides_what_lay_there_and_nothing_else():
    canvas = Canvas(41, 41)
    canvas.stroke(np.array([[-18.0, 0.0], [18.0, 0.0]]), 3.0)
    canvas.erase(np.array([[0.2, -10.0], [10.3, -10.0], [10.3, 10.0], [0.2, 10.0]]))
    row = ink(canvas)[20]
    assert (row[21:31] == 0).all()  # x = 1 … 10
    assert (row[5:21] == 1).all() and (row[31:36] == 1).all()
    canvas.stroke(np.array([[-18.0, 0.0], [18.0, 0.0]]), 3.0)
    assert (ink(canvas)[20, 5:36] == 1).all()  # later strokes lie on top


def test_erased_polygon_has_its_area():
    canvas = Canvas(101, 101)
    canvas.stroke(np.zeros((2, 2)), 300.0)  # all black
    t = np.linspace(0, 2 * math.pi, 200, endpoint=False)
    canvas.erase(np.stack([30.1 * np.cos(t), 20.1 * np.sin(t)], 1))
    assert (1 - ink(canvas)).sum() == pytest.approx(math.pi * 30.1 * 20.1, rel=0.01)


def test_ink_outside_the_sheet_is_cut_off():
    canvas = Canvas(11, 11)
    canvas.stroke(np.array([[0.0, 0.0], [500.0, 0.0]]), 1.0)
    canvas.stroke(np.array([[0.0, 400.0], [90.0, 400.0]]), 1.0)
    assert (ink(canvas)[5, 6:] == 1).all()
    assert ink(canvas)[[0, 10]].sum() == 0
