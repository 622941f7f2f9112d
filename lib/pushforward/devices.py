"""Where a training runs, by name."""

import torch

from pushforward.errors import InputError


def pick_device(device: str) -> torch.device:
    """``auto`` is the accelerator where there is one, else the CPU.

    Raises:
        InputError: a device that torch does not know or that is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} cannot be used ({error}), expected 'auto', 'cpu' or 'cuda'") from error
