"""The numbers in an old pandas pickle, read without pandas and without calling anything that the pickle names.

The GAS file was written years ago: today's pandas need not read it, and a pickle may name any function to be called.
Here numpy's arrays are built as they were; whatever else is named becomes an inert shell that keeps what it was given.
"""

import codecs
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pushforward.errors import DataError

NUMPY = ("numpy.core", "numpy._core")  # the same module before and after numpy 2
BUILDERS = {
    **{(f"{module}.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0] for module in NUMPY},
    **{(f"{module}.multiarray", "scalar"): np.float64(0).__reduce__()[0] for module in NUMPY},
    **{(f"{module}.numeric", "_frombuffer"): np.zeros(1).__reduce_ex__(5)[0] for module in NUMPY},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}


class Shell:
    """Stands for any class or function of a pickle: called or filled, it keeps its arguments and does nothing."""

    parts: list[Any]

    def __new__(cls, *arguments: Any) -> "Shell":
        shell = super().__new__(cls)
        shell.parts = list(arguments)
        return shell

    def __setstate__(self, state: Any) -> None:
        self.parts.append(state)


class Reader(pickle.Unpickler):
    """Builds arrays and shells, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """numpy's own builders of arrays; for every other name a shell."""
        return BUILDERS.get((module, name), Shell)


def read_frame(path: Path) -> tuple[list[str], np.ndarray]:
    """Column names and values, float64 [rows, columns], of a pickled table of numbers.

    Raises:
        DataError: the file is no pickle, or holds no table of numbers whose columns have names.
    """
    try:
        with path.open("rb") as file:
            arrays = list(_arrays(Reader(file, encoding="latin1").load(), set()))
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise DataError(f"cannot read {path} as a pickled table ({type(error).__name__}: {error})") from error
    blocks = [array for array in arrays if array.ndim == 2 and array.dtype.kind in "fiu"]
    names = [[str(name) for name in array] for array in arrays if array.ndim == 1 and array.dtype.kind == "O"]
    # all columns come first; then, where the table is in several blocks by dtype, the columns of each block
    of_blocks = names[:1] if len(blocks) == 1 else names[1 : 1 + len(blocks)]
    found = [name for block in of_blocks for name in block]
    if (
        not blocks
        or [len(block) for block in blocks] != [len(block) for block in of_blocks]
        or set(found) != set(names[0])
    ):
        shapes = [block.shape for block in blocks]
        raise DataError(
            f"{path} holds blocks of the shapes {shapes} and {len(names)} lists of names, expected one table"
        )
    values = np.concatenate([block.astype(np.float64) for block in blocks])
    return names[0], values[[found.index(name) for name in names[0]]].T


def _arrays(part: Any, seen: set[int]) -> Iterator[np.ndarray]:
    """Every array in a tree of shells, tuples, lists and dicts, each once, in the order of writing."""
    if isinstance(part, type) or id(part) in seen:
        return
    if isinstance(part, np.ndarray):
        seen.add(id(part))
        yield part
        return
    if isinstance(part, Shell):
        seen.add(id(part))
        part = part.parts
    children = part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else ()
    for child in children:
        yield from _arrays(child, seen)
