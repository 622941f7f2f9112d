"""Tensors and a JSON note in one safetensors file: written whole or not at all, read without unpickling."""

import json
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pushforward.errors import CheckpointError
from pushforward.files import write_atomic


def save_tensors(path: Path, tensors: dict[str, Tensor], note: dict) -> Path:
    """Write tensors and ``note`` (JSON) to one file, atomically."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return write_atomic(path, safetensors.torch.save(plain, metadata={"note": json.dumps(note, sort_keys=True)}))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Read back what ``save_tensors`` wrote.

    Raises:
        CheckpointError: the file is missing, truncated, or was written by something else.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist, expected a checkpoint there: train first, or check the folder")
    try:
        with safe_open(path, framework="pt") as file:
            note = json.loads((file.metadata() or {})["note"])
            return {name: file.get_tensor(name) for name in file.keys()}, note  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, KeyError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}), expected a safetensors file written by pushforward: "
            "it is truncated, altered or foreign; delete it and train again, or restore a copy"
        ) from error
