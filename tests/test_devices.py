import pytest
import torch

from pushforward.devices import pick_device
from pushforward.errors import InputError


def test_devices_by_name():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InputError, match="device 'abacus' cannot be used .*expected 'auto', 'cpu' or 'cuda'"):
        pick_device("abacus")
