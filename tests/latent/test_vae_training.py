import math
from dataclasses import replace

import pytest
import torch

from cases import generator
from pushforward import latent
from pushforward.datasets import Labelled
from pushforward.errors import CheckpointError, InputError, NonFinite
from pushforward.fit import FitConfig
from pushforward.latent import VAE, training

pytestmark = pytest.mark.usefixtures("artifacts")
SHAPE = (1, 4, 4)
FIT = FitConfig(iterations=150, batch=32, lr=0.01, log_every=50, validate_every=50)
SETTINGS = VAE(latent=2, channels=(6,), fit=FIT)
BRIEF = replace(SETTINGS, fit=FitConfig(iterations=6, batch=16, lr=0.01, log_every=1))


def bars(n, seed):
    """Pictures with one bright row: four different pictures, with a little noise."""
    place = torch.randint(4, (n,), generator=generator(seed))
    images = 0.1 * torch.rand(n, 4, 4, generator=generator(seed + 1))
    images[torch.arange(n), place] += 0.8
    return images.flatten(1), place


def pictures(seed=0):
    parts = [part for k, n in enumerate((300, 60, 80)) for part in bars(n, 10 * k + 100 * seed)]
    return Labelled(*parts, SHAPE, 4, "bars", "drawn by the test", "none needed")


def once(settings=BRIEF, data=None, seed=0):
    return latent.train_once("case", settings, data or pictures(), seed=seed, device="cpu")


@pytest.fixture(scope="module")
def learned():
    network, history = latent.train(SETTINGS, pictures(), device="cpu")
    return latent.AutoEncoder(network, history, pictures(), "key", None, {})


def test_held_out_pictures_come_back(learned):
    x, _ = learned.split.part("test")
    missed = (learned.decode(learned.encode(x)) - x).square().mean()
    assert missed < 0.2 * (x - learned.split.train.mean(0)).square().mean()
    assert not learned.network.training


def test_the_bound_falls_and_is_that_of_the_validation_pictures(learned):
    values = [row["validation"] for row in learned.history.rows]
    assert values[0] > values[1] > values[2]
    found = training.bound(learned.network, learned.split.val, training.stream(0, "vae/validation"))
    assert values[-1] == found


def test_the_bound_is_a_mean_over_pictures_however_they_are_cut(learned, monkeypatch):
    x = learned.split.val[:7]
    whole = training.bound(learned.network, x, generator(3))
    parts = generator(3)
    monkeypatch.setattr(training, "CHUNK", 3)
    assert training.bound(learned.network, x, parts) == pytest.approx(whole, rel=1e-5)


def test_a_given_noise_is_that_of_the_bound():
    data = pictures()
    network, _ = latent.train(replace(BRIEF, noise=0.3), data, device="cpu")
    missed, divergence = latent.EvidenceBound(network).parts(data.val, generator(1))
    expected = missed / (2 * 0.09) + 16 * math.log(0.3 * math.sqrt(2 * math.pi)) + divergence
    assert training.bound(network, data.val, generator(1)) == pytest.approx(expected.item(), rel=1e-5)


def test_codes_are_one_draw_an_image_part_by_part(learned):
    split = learned.codes(seed=5)
    assert [len(part) for part in (split.train, split.val, split.test)] == [300, 60, 80]
    assert (split.dim, split.name, split.train.dtype) == (2, "bars-codes", torch.float32)
    assert "bars" in split.source and split.licence == "none needed"
    mean, log_sd = learned.network.encode(learned.split.val)
    z = ((split.val - mean) / log_sd.exp()).detach()
    expected = torch.randn(60, 2, generator=training.stream(5, "codes/val"))
    torch.testing.assert_close(z, expected, rtol=1e-3, atol=1e-3)
    assert not torch.equal(split.val, learned.codes(seed=6).val)
    torch.testing.assert_close(split.preprocessing.inverse(split.test), split.test)


def test_more_draws_are_codes_of_the_same_images_again(learned):
    once, thrice = learned.codes(seed=5), learned.codes(seed=5, draws=3)
    assert torch.equal(thrice.val, once.val) and torch.equal(thrice.test, once.test)
    assert torch.equal(thrice.train[:300], once.train) and len(thrice.train) == 900
    mean, log_sd = learned.network.encode(learned.split.train)
    z = ((thrice.train.reshape(3, 300, 2) - mean) / log_sd.exp()).detach()
    assert (z[0] - z[1]).abs().min() > 0 and (z[1] - z[2]).abs().min() > 0
    assert float(z.mean().abs()) < 0.1 and float(z.std()) == pytest.approx(1, abs=0.1)
    with pytest.raises(InputError, match="draws is 0"):
        learned.codes(draws=0)


def test_images_and_codes_are_taken_in_pieces(learned, monkeypatch):
    x, _ = learned.split.part("val")
    codes, back = learned.encode(x), learned.decode(learned.encode(x))
    monkeypatch.setattr(training, "CHUNK", 7)
    torch.testing.assert_close(learned.encode(x), codes)
    torch.testing.assert_close(learned.decode(codes), back)
    assert not codes.requires_grad and not back.requires_grad


def test_points_of_another_shape_are_named(learned):
    with pytest.raises(InputError, match=r"x has shape \(2, 15\), expected \(n, 16\)"):
        learned.encode(torch.zeros(2, 15))
    with pytest.raises(InputError, match=r"z has shape \(2, 3\), expected \(n, 2\)"):
        learned.decode(torch.zeros(2, 3))


def assert_same_to_the_bit(a, b):
    for name, tensor in a.network.state_dict().items():
        assert torch.equal(tensor, b.network.state_dict()[name]), name


def test_a_killed_training_goes_on_to_the_same_bits(monkeypatch):
    whole = once()
    (whole.folder / "result.json").unlink()
    saving = replace(BRIEF, fit=replace(BRIEF.fit, checkpoint_seconds=0))
    calls, objective = iter(range(100)), training.EvidenceBound.__call__

    def killed(self, x, generator):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return objective(self, x, generator)

    with monkeypatch.context() as patch:
        patch.setattr(training.EvidenceBound, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            once(saving)
    partial = whole.folder / "vae.partial.safetensors"
    assert partial.is_file()
    again = once(saving)
    assert again.key == whole.key and not partial.exists()
    assert_same_to_the_bit(whole, again)


def test_a_result_is_found_again_without_training(monkeypatch):
    first = once()
    monkeypatch.setattr(training, "train", None)
    again = once()
    assert_same_to_the_bit(first, again)
    assert again.history == first.history and not again.network.training
    assert again.codes().sha256 == first.codes().sha256


def test_test_pictures_have_no_part_in_training():
    data = pictures()
    other = replace(data, test=1 - data.test)
    first, second = (latent.train(BRIEF, part, device="cpu")[0] for part in (data, other))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_beta_and_seed_make_other_networks():
    weights = [once(*args).network.to_code.weight for args in ((BRIEF,), (replace(BRIEF, beta=0.1),), (BRIEF, None, 1))]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_loss_that_blows_up_is_told():
    data = pictures()
    data.train[:] = 3e38
    with pytest.raises(NonFinite, match="reconstruction"):
        latent.train(BRIEF, data, device="cpu")


def test_an_altered_result_is_refused():
    (once().folder / "result.json").write_text("{}")
    with pytest.raises(CheckpointError, match="delete the folder"):
        once()
