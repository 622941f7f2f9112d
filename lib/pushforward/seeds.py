"""One random stream per purpose, so that adding a metric never changes the training noise."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator that depends on ``seed`` and ``purpose`` only, the same on every machine."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Inside, torch's global CPU stream is that of ``stream(seed, purpose)``; afterwards it goes on as if unused.

    For what draws from the global stream alone, as first weights do.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, purpose).initial_seed())
        yield
