from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import torch
from torch import nn

from pushforward import remembered as module
from pushforward.errors import CheckpointError
from pushforward.fit import FitConfig, FitHistory
from pushforward.remembered import key, remembered

pytestmark = pytest.mark.usefixtures("artifacts")


@dataclass(frozen=True)
class Settings:
    width: int = 2
    fit: FitConfig = field(default_factory=FitConfig)
    name: ClassVar[str] = "toy"
    algorithm_version: ClassVar[int] = 1


@dataclass(frozen=True)
class Data:
    label: str = "points"
    sha256: str = "00"


def once(train, settings=Settings(), data=Data(), seed=0):
    return remembered("case", settings, data, new, train, seed=seed, device="cpu")


def new(settings, data, seed):
    return nn.Linear(settings.width, 1)


def trained(settings, data, *, seed, device, checkpoint):
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_bytes(b"a state on the way")
    network = new(settings, data, seed)
    nn.init.constant_(network.weight, 7.0)
    return network, FitHistory([{"total": 1.0}], 5, 2.0)


def refuse(*question, **where):
    raise AssertionError("trained again")


def test_the_same_question_is_answered_once(artifacts, capsys):
    first, again = once(trained), once(refuse)
    assert first.folder == again.folder == artifacts / f"case-{first.key}"
    assert sorted(path.name for path in first.folder.iterdir()) == ["result.json", "toy.safetensors"]
    assert again.network.weight.tolist() == [[7.0, 7.0]] and torch.equal(again.network.bias, first.network.bias)
    assert again.history == first.history == FitHistory([{"total": 1.0}], 5, 2.0)
    assert first.split == again.split == Data()
    assert again.surroundings == first.surroundings and not (first.network.training or again.network.training)
    said = capsys.readouterr().out
    assert "case: trained in 2 CPU-seconds" in said and "case: found in the cache" in said


def test_the_key_is_of_all_that_changes_numbers(monkeypatch):
    quiet = replace(Settings(), fit=FitConfig(log_every=7, checkpoint_seconds=1.0))
    assert key(quiet, Data("another label"), 0) == key(Settings(), Data(), 0)
    keys = {key(Settings(), Data(), 0), key(Settings(3), Data(), 0), key(Settings(), Data(sha256="01"), 0)}
    keys |= {key(Settings(), Data(), 1), key(Settings(fit=FitConfig(lr=1.0)), Data(), 0)}
    keys.add(key(Settings(fit=FitConfig(validate_every=9)), Data(), 0))
    monkeypatch.setattr(Settings, "algorithm_version", 2)
    keys.add(key(Settings(), Data(), 0))
    monkeypatch.setattr(Settings, "name", "other")
    keys.add(key(Settings(), Data(), 0))
    assert len(keys) == 8 and all(len(each) == 12 for each in keys)


def test_a_broken_result_is_refused():
    folder = once(trained).folder
    (folder / "toy.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="toy.safetensors"):
        once(refuse)
    (folder / "result.json").unlink()
    assert once(trained).network.weight.tolist() == [[7.0, 7.0]]
    (folder / "result.json").write_text('{"history": 3}')
    with pytest.raises(CheckpointError, match="delete the folder to train again"):
        once(refuse)


def test_weights_of_another_network_are_refused(monkeypatch):
    once(trained)
    monkeypatch.setattr(module, "key", lambda *question: key(Settings(), Data(), 0))
    with pytest.raises(CheckpointError, match="delete the folder"):
        once(refuse, Settings(3))
