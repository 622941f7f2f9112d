import numpy as np
import torch
from PIL import Image

from pushforward.datasets.grey_patches import RECIPE, draw_patches, mirrored, patch_points, read_grey
from pushforward.seeds import stream


def ramp(height, width):
    """Every pixel has a value of its own, so a patch says where it was cut."""
    return torch.arange(height * width).reshape(height, width)


def test_patches_are_cut_where_their_first_pixel_says():
    image = ramp(11, 13)
    patches = draw_patches(image, 500, stream(0, "test")).floor().long()
    for patch in patches:
        row, column = divmod(int(patch[0]), 13)
        assert torch.equal(patch.reshape(8, 8), image[row : row + 8, column : column + 8])
    corners = torch.bincount(patches[:, 0], minlength=11 * 13).reshape(11, 13)
    assert (corners[:4, :6] > 0).all() and corners[:4, :6].sum() == 500  # every place, none beyond the border


def test_noise_is_uniform_and_independent_of_the_pixel():
    noise = draw_patches(torch.full((8, 8), 200, dtype=torch.uint8), 4000, stream(0, "test")) - 200
    assert 0 <= noise.min() and noise.max() < 1 and noise.dtype == torch.float64
    error = 5 / np.sqrt(noise.numel())  # five standard errors of a variable bounded by 1
    assert abs(noise.mean() - 1 / 2) < error and abs(noise.var() - 1 / 12) < error
    assert (torch.corrcoef(noise.T) - torch.eye(64)).abs().max() < 6 / np.sqrt(4000)


def test_points_equal_an_independent_computation():
    image = torch.randint(256, (20, 9), generator=stream(1, "image"), dtype=torch.uint8)
    x = patch_points([image, image.flip(0)], 7, stream(4, "test"))
    assert x.shape == (14, 63) and x.dtype == torch.float32

    generator, expected = stream(4, "test"), []
    for picture in (image.numpy(), image.numpy()[::-1]):
        rows, columns = (torch.randint(n, (7,), generator=generator).tolist() for n in (13, 2))
        noise = torch.rand(7, 64, generator=generator, dtype=torch.float64).numpy()
        for row, column, u in zip(rows, columns, noise, strict=True):
            patch = (picture[row : row + 8, column : column + 8].reshape(64).astype(float) + u) / 256
            expected.append((patch - patch.mean())[:63])
    order = torch.randperm(14, generator=generator).numpy()
    np.testing.assert_allclose(x.numpy(), np.stack(expected)[order], rtol=0, atol=1e-7)


def test_any_first_points_are_of_all_images():
    dark, bright = torch.zeros(9, 9, dtype=torch.uint8), torch.full((9, 9), 200, dtype=torch.uint8)
    bright[::2] = 0  # stripes: a patch of this image has a spread that the dark one lacks
    x = patch_points([dark, bright], 200, stream(5, "test"))
    striped = (x[:100].std(dim=1) > 0.1).double().mean()
    assert 0.3 < striped < 0.7


def test_grey_is_rounded_luma(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "image.png")
    grey = read_grey(tmp_path / "image.png")
    luma = colours @ np.array([0.299, 0.587, 0.114])
    assert grey.dtype == torch.uint8 and grey.shape == (9, 14)
    assert np.abs(grey.numpy() - luma).max() < 0.501


def test_mirror_images_are_the_points_of_mirrored_patches():
    raw = draw_patches(ramp(30, 20), 50, stream(6, "test"))
    square = raw.reshape(-1, 8, 8)
    expected = [square, square.flip(1), square.flip(2), square.flip(1).flip(2)]
    expected = torch.cat([RECIPE.forward(patches.reshape(-1, 64)) for patches in expected])
    x = mirrored(RECIPE.forward(raw), stream(7, "test"))
    order = torch.randperm(200, generator=stream(7, "test"))
    torch.testing.assert_close(x, expected[order], rtol=0, atol=1e-12)
