from dataclasses import replace

import pytest
import torch

from cases import generator, normal
from pushforward import classification, remembered
from pushforward.classification import METHODS, Classifier, training
from pushforward.datasets import Labelled
from pushforward.errors import CheckpointError, NonFinite
from pushforward.families.implicit import audit
from pushforward.fit import FitConfig

pytestmark = pytest.mark.usefixtures("artifacts")
SHAPE = (1, 4, 4)
SETTINGS = Classifier(
    stages=((3, 3), (3, 4)),
    coeff=0.9,
    crop=1,
    fit=FitConfig(iterations=12, batch=16, lr=0.02, ema=0.5, log_every=4, validate_every=6),
)
SAVING = replace(SETTINGS, fit=replace(SETTINGS.fit, checkpoint_seconds=0))  # a state every iteration


def stripes(n, seed):
    """Pictures with a horizontal or a vertical bar somewhere, and noise: no pixel alone tells the class."""
    labels = torch.randint(2, (n,), generator=generator(seed))
    place = torch.randint(4, (n,), generator=generator(seed + 1))
    images = 0.1 * normal(n, 4, 4, seed=seed + 2, dtype=torch.float32)
    for image, label, at in zip(images, labels, place, strict=True):
        image.select(int(label), int(at)).add_(1)
    return images.flatten(1), labels


def pictures(seed=0):
    parts = [part for k, n in enumerate((200, 40, 60)) for part in stripes(n, 10 * k + 100 * seed)]
    return Labelled(*parts, SHAPE, 2, "stripes", "drawn by the test", "none needed")


def once(settings=SETTINGS, data=None, seed=0):
    return classification.train_once("case", settings, data or pictures(), seed=seed, device="cpu")


def assert_same_to_the_bit(a, b):
    first, second = a.network.state_dict(), b.network.state_dict()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    curves = [[{k: v for k, v in row.items() if k != "seconds"} for row in t.history.rows] for t in (a, b)]
    assert curves[0] == curves[1]
    assert a.audit == b.audit


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_bars(method):
    fit = FitConfig(iterations=60, batch=20, lr=0.05)
    result = once(replace(SETTINGS, method=method, crop=0, fit=fit))
    assert result.error("test") <= 5 and result.error("val") <= 5
    assert not result.network.training
    solves = 2 * 20 * 60 * 2  # two blocks, forward and backward
    assert result.audit.solves == (solves if method == "impflow" else 0)
    assert result.audit.unconverged == 0 and result.audit.worst <= 1e-6


def test_the_error_is_the_share_of_wrong_classes():
    class Says(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, x):
            return torch.stack([x[:, 0], -x[:, 0]], 1)

    x = torch.cat([torch.ones(600, 1), -torch.ones(200, 1)])
    labels = torch.zeros(800, dtype=torch.long)
    labels[:60] = 1
    assert classification.error(Says(), x, labels) == 100 * 260 / 800


def test_norms_are_renewed_after_every_step():
    fit = FitConfig(iterations=10, batch=16, lr=0.3)  # weights grow beyond the bound
    network, _ = classification.train(
        replace(SETTINGS, method="resflow", fit=fit, norm_iterations=200, norm_tolerance=1e-6),
        pictures(),
        device="cpu",
    )
    g = next(part.bijection.g_x for part in network.body if hasattr(part, "bijection"))
    stale = network.train() and g.kappa
    assert g.eval().kappa == pytest.approx(0.81, rel=1e-6)
    assert stale == pytest.approx(0.81, rel=1e-6)


def test_norms_that_are_not_renewed_would_be_seen(monkeypatch):
    seen = []
    monkeypatch.setattr(training, "update_norms", lambda *arguments: seen.append(arguments[1:]))
    once(replace(SETTINGS, method="resflow", fit=replace(SETTINGS.fit, validate_every=0)))
    assert seen == [(SETTINGS.norm_iterations, SETTINGS.norm_tolerance)] * 12


def test_a_result_is_found_again_without_training(artifacts, monkeypatch, capsys):
    first = once()
    assert first.folder == artifacts / f"case-{first.key}"
    assert sorted(path.name for path in first.folder.iterdir()) == ["classifier.safetensors", "result.json"]

    def refuse(*arguments, **settings):
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "fit", refuse)
    again = once()
    assert_same_to_the_bit(first, again)
    assert first.audit.solves > 0 and again.history == first.history
    assert again.surroundings == first.surroundings
    assert again.error("test") == first.error("test")
    assert "case: found in the cache" in capsys.readouterr().out


def test_measuring_leaves_the_audit_of_the_training_alone():
    result = once()
    before = result.audit
    result.error("test")
    assert result.audit == before
    assert audit(result.network).solves == before.solves + 2 * 60


def test_a_killed_training_goes_on_to_the_same_bits(monkeypatch):
    whole = once(data=pictures(1))
    renew, count = training.update_norms, iter(range(100))

    def killed(*arguments):
        if next(count) == 7:
            raise KeyboardInterrupt
        renew(*arguments)

    monkeypatch.setattr(training, "update_norms", killed)
    whole.folder.joinpath("result.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        once(SAVING, pictures(1))
    assert (whole.folder / "classifier.partial.safetensors").is_file()
    monkeypatch.setattr(training, "update_norms", renew)
    again = once(SAVING, pictures(1))
    assert again.key == whole.key
    assert_same_to_the_bit(whole, again)
    assert not (whole.folder / "classifier.partial.safetensors").exists()


def test_the_key_knows_settings_data_and_seed():
    def key(settings=SETTINGS, data=0, seed=0):
        return remembered.key(settings, pictures(data), seed)

    keys = {key(), key(seed=1), key(replace(SETTINGS, coeff=0.8)), key(data=1)}
    assert len(keys) == 4
    assert key(replace(SETTINGS, fit=replace(SETTINGS.fit, log_every=1))) == key(SAVING) == key()
    assert key(replace(SETTINGS, fit=replace(SETTINGS.fit, validate_every=0))) != key()
    assert once(replace(SETTINGS, method="vanilla")).key == key(replace(SETTINGS, method="vanilla"))


def test_test_points_have_no_part_in_training():
    data = pictures()
    other = replace(data, test=data.test + 1, test_labels=1 - data.test_labels)
    brief = replace(SETTINGS, method="resflow", fit=FitConfig(iterations=3, batch=16))
    first, second = (classification.train(brief, part, device="cpu")[0] for part in (data, other))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_scores_are_a_linear_function_of_the_features():
    network, x = once().network, pictures().test
    found = classification.features(network, x)
    assert found.shape == (60, 4) and not found.requires_grad
    torch.testing.assert_close(network.head(found), network(x))


def test_validation_is_the_error_on_validation_points():
    fit = replace(SETTINGS.fit, ema=0.0, iterations=6)
    result = once(replace(SETTINGS, method="resflow", fit=fit))
    assert result.history.rows[-1]["validation"] == result.error("val")


def test_an_altered_result_is_refused():
    vanilla = replace(SETTINGS, method="vanilla")
    result = once(vanilla)
    (result.folder / "result.json").write_text("{}")
    with pytest.raises(CheckpointError, match="delete the folder"):
        once(vanilla)


def test_a_loss_that_blows_up_is_told():
    data = pictures()
    data.train[0] = 3e38  # finite, and too much for a convolution
    with pytest.raises(NonFinite, match="cross-entropy"):
        classification.train(replace(SETTINGS, method="vanilla"), data, device="cpu")
