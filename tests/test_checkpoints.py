import os

import pytest
import safetensors.torch
import torch

from pushforward.checkpoints import load_tensors, save_tensors
from pushforward.errors import CheckpointError

TENSORS = {
    "weight": torch.randn(3, 4, dtype=torch.float64).T,  # not contiguous
    "step": torch.tensor(7.0),
    "generator": torch.arange(5, dtype=torch.uint8),
}
NOTE = {"rows": [{"total": 0.1, "validation": None}], "name": "α"}


def test_tensors_and_note_come_back_to_the_bit(tmp_path):
    path = save_tensors(tmp_path / "deep" / "state.safetensors", TENSORS, NOTE)
    tensors, note = load_tensors(path)
    assert note == NOTE
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype


def test_a_saved_tensor_does_not_follow_the_original(tmp_path):
    weight = torch.nn.Parameter(torch.ones(3))
    path = save_tensors(tmp_path / "state.safetensors", {"weight": weight}, {})
    with torch.no_grad():
        weight += 1
    assert torch.equal(load_tensors(path)[0]["weight"], torch.ones(3))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="state.safetensors does not exist"):
        load_tensors(tmp_path / "state.safetensors")


def test_a_truncated_file_is_refused_at_every_length(tmp_path):
    path = save_tensors(tmp_path / "state.safetensors", TENSORS, NOTE)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="cannot be read"):
            load_tensors(path)


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "state.safetensors"
    safetensors.torch.save_file({"weight": torch.ones(3)}, path)  # readable, but without our note
    with pytest.raises(CheckpointError, match="foreign"):
        load_tensors(path)
    path.write_bytes(os.urandom(64))
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_tensors(path)
    safetensors.torch.save_file({"weight": torch.ones(3)}, path, metadata={"note": "{not json"})
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_tensors(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = save_tensors(tmp_path / "state.safetensors", TENSORS, NOTE)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_tensors(path, TENSORS, {"note": object()})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
