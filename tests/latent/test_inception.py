"""What is given to torchmetrics; that its distance is ours was seen by hand, where the extra was installed."""

import sys
from types import ModuleType
from urllib.error import URLError

import pytest
import torch

from cases import generator
from pushforward.errors import DataError, InputError
from pushforward.latent import fid, inception


class Metric:
    """Takes the place of torchmetrics' class: remembers what it is given."""

    made = None

    def __init__(self, network, feature_extractor_weights_path):
        self.network, self.weights, self.seen = network, feature_extractor_weights_path, {True: [], False: []}
        type(self).made = self

    def to(self, device):
        self.device = device
        return self

    def update(self, images, real):
        self.seen[real].append(images)

    def compute(self):
        return torch.tensor(12.5)


@pytest.fixture
def stand_in(monkeypatch):
    modules = {name: ModuleType(name) for name in ("torchmetrics", "torchmetrics.image", "torchmetrics.image.fid")}
    modules["torchmetrics.image.fid"].FrechetInceptionDistance = Metric
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(inception, "CHUNK", 3)
    return modules["torchmetrics.image.fid"]


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 4, 4)])
def test_all_images_are_given_as_bytes_in_colour(stand_in, shape):
    dim = shape[0] * 16
    real, generated = torch.rand(7, dim, generator=generator(0)), torch.rand(4, dim, generator=generator(1))
    generated[0, 0], generated[1, 0] = -0.2, 1.3
    assert fid(real, generated, shape) == 12.5
    metric = Metric.made
    assert (metric.network, metric.weights, metric.device) == (2048, None, "cpu")
    assert [len(part) for part in metric.seen[True]] == [3, 3, 1]
    for is_real, x in ((True, real), (False, generated)):
        images = torch.cat(metric.seen[is_real])
        assert images.dtype == torch.uint8 and images.shape == (len(x), 3, 4, 4)
        expected = (x.clamp(0, 1) * 255).round().reshape(len(x), *shape)
        assert torch.equal(images.float(), expected.expand(-1, 3, -1, -1))


def test_weights_and_network_are_passed_on(stand_in, tmp_path):
    fid(torch.rand(4, 16), torch.rand(4, 16), (1, 4, 4), tmp_path / "weights.pth", network=64)
    assert (Metric.made.network, Metric.made.weights) == (64, str(tmp_path / "weights.pth"))


def test_the_extra_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(InputError, match=r"torchmetrics .*pip install 'pushforward\[fid\]'"):
        fid(torch.rand(4, 16), torch.rand(4, 16), (1, 4, 4))


@pytest.mark.parametrize(
    ("problem", "error", "message"),
    [
        (ModuleNotFoundError("no torch-fidelity"), InputError, r"needs torch-fidelity .*pushforward\[fid\]"),
        (URLError("no route"), DataError, "weights of the Inception network .*no route.*fetch the file yourself"),
        (FileNotFoundError("w.pth"), DataError, r"w.pth"),
    ],
)
def test_what_is_missing_is_named(stand_in, monkeypatch, problem, error, message):
    def refuse(*arguments, **settings):
        raise problem

    monkeypatch.setattr(stand_in, "FrechetInceptionDistance", refuse)
    with pytest.raises(error, match=message):
        fid(torch.rand(4, 16), torch.rand(4, 16), (1, 4, 4))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 4, 4), "1 or 3 channels"), ((16,), "1 or 3 channels"), ((1, 5, 5), r"expected \(n, 25\)")],
)
def test_images_of_another_shape_are_named(stand_in, shape, message):
    with pytest.raises(InputError, match=message):
        fid(torch.rand(4, 16), torch.rand(4, 16), shape)
