"""The two pictures: size, thin strokes, deterministic, and entropies that make the rose as hard as the authors'."""

import numpy as np
import pytest
import torch

from pushforward.distributions import fractal_tree, rose
from pushforward.distributions.drawings import fractal_tree_picture, rose_picture


def thickest_square(picture):
    """Side of the largest square of pixels that are all more than half ink."""
    side, full = 0, picture < 128
    while full.any():
        side += 1
        full = full[1:, 1:] & full[:-1, 1:] & full[1:, :-1] & full[:-1, :-1]
    return side


@pytest.mark.parametrize(("draw", "shape"), [(rose_picture, (227, 222)), (fractal_tree_picture, (256, 256))])
def test_pictures_are_grey_and_the_same_every_time(draw, shape):
    picture = draw()
    assert picture.shape == shape and picture.dtype == np.uint8
    assert picture.min() == 0 and picture.max() == 255
    assert np.array_equal(picture, draw())
    assert 0.05 < (picture < 128).mean() < 0.2  # line art: mostly paper


def test_rose_strokes_are_thin():
    assert thickest_square(rose_picture()) <= 5  # where two outlines of 2 pixels touch; no filled shapes


def test_rose_entropy_is_close_to_the_authors():
    value, error = rose().entropy()
    assert 2.45 < value < 2.55  # theirs: 2.490
    assert error < 1e-6


def test_tree_stands_on_one_trunk_and_branches():
    picture = fractal_tree_picture()
    runs = [np.count_nonzero(np.diff((row < 128).astype(int)) == 1) for row in picture]
    assert runs[230] == 1  # the trunk
    assert max(runs) > 25  # the crown
    assert fractal_tree().entropy().error < 1e-6


def test_pictures_stand_upright_as_laws():
    """The heads of both are above the middle of [−4, 4]², stem and trunk reach down."""
    for law in (rose(), fractal_tree()):
        x = law.sample(5000, torch.Generator().manual_seed(0), torch.float64)
        assert x[:, 1].median() > 0.3
        lowest = x[x[:, 1] < -3.5]
        assert len(lowest) > 20 and lowest[:, 0].abs().max() < 0.6
