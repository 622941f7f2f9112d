"""Picture laws against the mixture written out, and the recipe of xu2023's official code."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import distributions as D

from pushforward.distributions import ImageDensity, rose
from pushforward.errors import DataError, InputError


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def brute_force(p):
    """The same law as a mixture over the inked pixels, from the recipe."""
    h, w = p.weights.shape
    y, x = (torch.linspace(-4, 4, m, dtype=torch.float64) for m in (h, w))
    weights = p.weights.flatten()
    centres = torch.cartesian_prod(y, x).flip(1)[weights > 0]
    scales = torch.tensor([8 / (w - 1) / 2, 8 / (h - 1) / 2], dtype=torch.float64).expand(len(centres), 2)
    return D.MixtureSameFamily(D.Categorical(weights[weights > 0]), D.Independent(D.Normal(centres, scales), 1))


def sparse_picture():
    """White but for two strokes in a corner, so that most of the frame is far from all ink."""
    picture = np.full((61, 47), 255.0)
    picture[3, 2:9] = 40.0
    picture[2:12, 5] = np.linspace(0, 200, 10)
    return picture


def test_log_prob_near_and_far():
    p = ImageDensity.from_image(sparse_picture())
    near = p.sample(100, rng(), torch.float64)
    frame = 8 * torch.rand(300, 2, generator=rng(1), dtype=torch.float64) - 4
    outside = 100 * torch.randn(50, 2, generator=rng(2), dtype=torch.float64)
    for x in (near, frame, outside):
        expected = brute_force(p).log_prob(x)
        assert torch.allclose(p.log_prob(x), expected, rtol=1e-11, atol=1e-9)
    assert p.log_prob(frame).min() < -1000  # the fall-back was at work: exp underflows at −745


def test_log_prob_of_the_rose():
    x = torch.cat([rose().sample(10, rng(3), torch.float64), torch.tensor([[3.9, -3.9], [50.0, -9.0]])])
    assert torch.allclose(rose().log_prob(x), brute_force(rose()).log_prob(x), rtol=1e-11, atol=1e-9)


def test_ways_of_summing_agree_where_they_meet():
    p = ImageDensity.from_image(sparse_picture())
    ink = p.sample(1, rng(4), torch.float64)
    x = ink + torch.linspace(0, 5, 400, dtype=torch.float64)[:, None] * torch.tensor([0.6, -0.8])
    assert torch.allclose(p.log_prob(x), brute_force(p).log_prob(x), rtol=1e-11, atol=1e-9)


def test_first_pixel_lands_at_the_top_right():
    """Rotated by 180°, rows upwards: the top left pixel of the picture goes to (+4, +4)."""
    picture = np.full((5, 9), 200)
    picture[0, 0] = 0
    p = ImageDensity.from_image(picture)
    pitch = torch.tensor([8 / 8, 8 / 4], dtype=torch.float64)
    x = p.sample(20_000, rng(5), torch.float64)
    assert ((x.mean(0) - 4).abs() < 4 * (pitch / 2) / math.sqrt(20_000)).all()
    assert torch.allclose(x.std(0), pitch / 2, rtol=0.03)


def test_rows_go_down_and_columns_go_left():
    picture = np.full((5, 9), 200)
    picture[1, 6] = 0  # second row from the top, third column from the right
    peak = ImageDensity.from_image(picture).sample(20_000, rng(6), torch.float64).mean(0)
    assert torch.allclose(peak, torch.tensor([-2.0, 2.0], dtype=torch.float64), atol=0.05)


def test_weights_are_maximum_minus_value():
    picture = np.array([[0.0, 50.0], [80.0, 100.0]])
    expected = torch.tensor([[0.0, 20.0], [50.0, 100.0]], dtype=torch.float64) / 170
    assert torch.allclose(ImageDensity.from_image(picture).weights, expected, atol=1e-15)


def test_samples_have_the_moments():
    p, n = ImageDensity.from_image(sparse_picture()), 50_000
    x = p.sample(n, rng(7), torch.float64)
    law = brute_force(p)
    assert ((x.mean(0) - law.mean).abs() < 4 * x.std(0) / math.sqrt(n)).all()
    deviation = (x - law.mean).square()
    assert ((deviation.mean(0) - law.variance).abs() < 4 * deviation.std(0) / math.sqrt(n)).all()


def test_entropy_of_one_and_of_two_pixels():
    picture = np.ones((21, 41))
    picture[4, 30] = 0
    one = math.log(2 * math.pi * math.e * (8 / 40 / 2) * (8 / 20 / 2))
    value, error = ImageDensity.from_image(picture).entropy()
    assert value == pytest.approx(one, abs=1e-9) and 0 < error < 1e-8
    picture[15, 3] = 0
    assert ImageDensity.from_image(picture).entropy().value == pytest.approx(one + math.log(2), abs=1e-9)


def test_entropy_agrees_with_quadrature_of_log_prob():
    p = ImageDensity.from_image(np.random.default_rng(0).uniform(size=(8, 6)))
    x, y = (torch.arange(-12, 12, s / 5, dtype=torch.float64) for s in (8 / 5, 8 / 7))
    log_p = p.log_prob(torch.cartesian_prod(x, y))
    expected = -(log_p.exp() * log_p).sum() * (8 / 5 / 5) * (8 / 7 / 5)
    value, error = p.entropy()
    assert value == pytest.approx(expected.item(), abs=1e-7) and error < 1e-6


def test_files_read_like_arrays(tmp_path):
    grey = np.random.default_rng(1).integers(0, 256, (6, 7), dtype=np.uint8)
    expected = ImageDensity.from_image(grey)
    assert expected.name == "image"
    Image.fromarray(grey).save(tmp_path / "grey.png")
    colour = np.stack([grey, grey // 2, grey // 3], 2)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    from_file = ImageDensity.from_image(tmp_path / "grey.png")
    assert from_file.name == "grey"
    assert torch.equal(from_file.weights, expected.weights)
    by_colour = ImageDensity.from_image(str(tmp_path / "colour.png"))
    assert torch.equal(by_colour.weights, ImageDensity.from_image(colour.astype(float).mean(2)).weights)
    assert torch.equal(by_colour.weights, ImageDensity.from_image(colour).weights)
    assert torch.equal(ImageDensity.from_image(torch.as_tensor(grey)).weights, expected.weights)


def test_transparent_parts_are_paper(tmp_path):
    pixels = np.zeros((4, 4, 4), dtype=np.uint8)  # black, but transparent...
    pixels[1, 2, 3] = 255  # ...except for one pixel
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    weights = ImageDensity.from_image(tmp_path / "clear.png").weights
    assert weights[2, 1] == 1.0 and weights.sum() == 1.0


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((0, 0)), r"shape \(0, 0\)"),
        (np.zeros((1, 9)), r"shape \(1, 9\)"),
        (np.zeros((4, 4, 2)), r"shape \(4, 4, 2\)"),
        (np.full((4, 4), 7.0), r"constant \(7\)"),
        (np.array([[0.0, 1.0], [math.nan, math.inf]]), "2 NaN or infinite"),
        (None, r"shape \(\)"),
        ({"a": 1}, "picture is a dict"),
    ],
)
def test_bad_arrays_are_named(picture, message):
    with pytest.raises(InputError, match=message):
        ImageDensity.from_image(picture)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(DataError, match="no picture at .*rose.png"):
        ImageDensity.from_image(tmp_path / "rose.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(DataError, match="text.png is not a picture"):
        ImageDensity.from_image(tmp_path / "text.png")
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 64), dtype=np.uint8)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:2000])
    with pytest.raises(DataError, match="cut.png is not a picture"):
        ImageDensity.from_image(tmp_path / "cut.png")
    with pytest.raises(DataError, match="is not a picture"):
        ImageDensity.from_image(tmp_path)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(3), r"shape \(3,\)"),
        (-torch.ones(3, 3), "negative"),
        (torch.full((3, 3), math.nan), "NaN"),
        (torch.zeros(3, 3), "all zero"),
    ],
)
def test_bad_weights_are_named(weights, message):
    with pytest.raises(InputError, match=message):
        ImageDensity(weights)
