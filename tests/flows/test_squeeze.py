import pytest
import torch
from torch.nn.functional import pixel_unshuffle

from cases import normal
from pushforward.errors import InputError
from pushforward.flows import Chain, Flow, Squeeze, load_flow

SHAPES = [(1, 2, 2), (3, 4, 6), (2, 8, 2)]
each = pytest.mark.parametrize("shape", SHAPES)


@each
def test_it_is_that_of_torch(shape):
    squeeze, images = Squeeze(shape), normal(5, *shape)
    expected = pixel_unshuffle(images, 2)
    assert torch.equal(squeeze(images.flatten(1)), expected.flatten(1))
    assert squeeze.squeezed == tuple(expected.shape[1:])


@each
def test_there_and_back_to_the_bit(shape):
    squeeze = Squeeze(shape)
    x = normal(5, squeeze.dim)
    assert torch.equal(squeeze.inverse(squeeze(x)), x)
    assert torch.equal(squeeze(squeeze.inverse(x)), x)


@each
def test_it_moves_numbers_and_changes_none(shape):
    squeeze = Squeeze(shape)
    z, log_det = squeeze.forward_and_log_det(torch.arange(float(squeeze.dim))[None])
    assert sorted(z[0].tolist()) == list(range(squeeze.dim))
    assert torch.equal(log_det, torch.zeros(1))


def test_the_coarsest_scale_holds_one_pixel_a_channel():
    """Channel 2j + k of a 2 × 2 image is the pixel in row j and column k."""
    assert Squeeze((1, 2, 2))(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).tolist() == [[1, 2, 3, 4]]
    twice = Chain(16, [Squeeze((1, 4, 4)), Squeeze((4, 2, 2))])
    assert twice(torch.arange(16.0)[None])[0].tolist() == [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15]


def test_it_comes_back_from_disk(tmp_path):
    again = load_flow(Flow(Chain(24, [Squeeze((1, 4, 6))])).save(tmp_path))
    assert again.bijection.blocks[0].shape == (1, 4, 6)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 4), r"shape is \(1, 3, 4\), expected an even height and width"),
        ((1, 4, 5), "expected an even height and width"),
        ((4, 4), r"shape is \(4, 4\), expected channels, height and width"),
        ((0, 4, 4), "three positive whole numbers"),
        ((1, 4.0, 4), "three positive whole numbers"),
    ],
)
def test_bad_shapes_are_named(shape, message):
    with pytest.raises(InputError, match=message):
        Squeeze(shape)
