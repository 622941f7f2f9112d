"""Regular grids over a box."""

import pytest
import torch

from pushforward.errors import InputError
from pushforward.interpolation import Box


def test_grid():
    box = Box(torch.tensor([0.0, -1.0], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64), 1.0)
    x, volume = box.grid(0.5)
    assert (x.shape, x.dtype, volume) == ((3 * 7, 2), torch.float64, 0.25)
    assert x[:, 0].unique().tolist() == [0.0, 0.5, 1.0]
    assert x[:, 1].unique().tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0]
    _, volume = box.grid(0.4)  # never coarser than asked
    assert volume == pytest.approx(1 / 3 * 3 / 8)
    with pytest.raises(InputError, match="expected at most"):
        box.grid(1e-4)
