"""The numbers in an old pandas pickle, read without pandas and without calling anything that the pickle names.

The GAS file was written years ago: today's pandas need not read it, and a pickle may name any function to be called.
Whatever is named becomes an inert shell that keeps what it was given. Of the shells of arrays, arrays are made here:
numpy's own unpickling believes a pickle that bytes are addresses of objects.
"""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pushforward.errors import DataError


class Shell:
    """Stands for any class or function of a pickle: called or filled, it keeps its arguments and does nothing."""

    parts: list[Any]

    def __new__(cls, *arguments: Any) -> "Shell":
        shell = super().__new__(cls)
        shell.parts = list(arguments)
        return shell

    def __setstate__(self, state: Any) -> None:
        self.parts.append(state)


class ElementType(Shell):
    """Stands for numpy's dtype."""

    def dtype(self) -> np.dtype:
        """By name and byte order alone: what else the pickle says of its memory may be a lie."""
        name, *_, (_, order, *_) = self.parts
        return np.dtype(str(name)).newbyteorder(order)


class Array(Shell):
    """Stands for an array that is filled after it was made; until then it has no elements."""

    value = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        *_, shape, element, fortran, content = state
        self.value = _filled(content, element, shape, "F" if fortran else "C")


def _filled(content: Any, element: ElementType, shape: tuple[int, ...], order: str) -> np.ndarray:
    """An array of bytes, of what Python 2 called a string, or of a list of objects."""
    dtype = element.dtype()
    if dtype.kind != "O":
        content = _encoded(content) if isinstance(content, str) else content
        return np.frombuffer(content, dtype).reshape(shape, order=order)
    if not isinstance(content, list):
        raise TypeError(f"an array of objects holds a {type(content).__name__}, expected a list")
    flat = np.empty(len(content), dtype)
    for place, each in enumerate(content):
        flat[place] = each
    return flat.reshape(shape, order=order)


def _from_buffer(content: Any, element: ElementType, shape: tuple[int, ...], order: str) -> Array:
    array = Array()
    array.value = _filled(content, element, shape, order)
    return array


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes in the encoding {encoding!r}, expected latin1, as pickles write them")
    return text.encode("latin1")


NUMPY = ("numpy.core", "numpy._core")  # the same module before and after numpy 2
BUILDERS = {
    **{(f"{module}.multiarray", "_reconstruct"): Array for module in NUMPY},
    **{(f"{module}.numeric", "_frombuffer"): _from_buffer for module in NUMPY},
    ("numpy", "dtype"): ElementType,
    ("_codecs", "encode"): _encoded,
}


class Reader(pickle.Unpickler):
    """Builds shells, nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Those of numpy's arrays, which can be made into arrays; for every other name an inert one."""
        return BUILDERS.get((module, name), Shell)


def read_frame(path: Path) -> tuple[list[str], np.ndarray]:
    """Column names and values, float64 [rows, columns], of a pickled table of numbers.

    Raises:
        DataError: the file is no pickle, or holds no table of numbers whose columns have names.
    """
    try:
        with path.open("rb") as file:
            arrays = list(_arrays(Reader(file, encoding="latin1").load(), set()))
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, LookupError) as error:
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
    if isinstance(part, Array):
        seen.add(id(part))
        yield part.value
        return
    if isinstance(part, Shell):
        seen.add(id(part))
        part = part.parts
    children = part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else ()
    for child in children:
        yield from _arrays(child, seen)
