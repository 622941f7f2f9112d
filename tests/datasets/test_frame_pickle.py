"""Tables pickled by today's pandas and as pandas wrote them a decade ago under Python 2; nothing in them is called."""

import io
import os
import pickle

import numpy as np
import pandas as pd
import pytest

from pushforward.datasets.frame_pickle import read_frame
from pushforward.errors import DataError

NAMES = ["Time", "Meth", "Eth", "R1", "R2"]
VALUES = np.random.default_rng(0).normal(size=(7, 5))


class Named:
    """An object that the pickle will say was made by a class or function of pandas that is long gone."""

    def __init__(self, module, name, arguments=(), state=None):
        self.module, self.name, self.arguments, self.state = module, name, arguments, state

    def __reduce__(self):
        made = (Callee(self.module, self.name), self.arguments)
        return made if self.state is None else (*made, self.state)


class Callee:
    """A global name in the pickle."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("never called: only its name is written")


class OldPickler(pickle._Pickler):
    """Writes a ``Callee`` as the bare name that it stands for, whether or not there is such a thing."""

    def save(self, thing, save_persistent_id=True):
        if isinstance(thing, Callee):
            self.write(f"c{thing.module}\n{thing.name}\n".encode())
        else:
            super().save(thing, save_persistent_id)


def dumped(thing):
    buffer = io.BytesIO()
    OldPickler(buffer, protocol=2).dump(thing)
    return buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def index(names):
    data = {"data": np.array(names, dtype=object), "name": None}
    return Named("pandas.core.index", "_new_Index", (Callee("pandas.core.index", "Index"), data))


def old_frame(blocks):
    """DataFrame -> BlockManager -> (axes, values of blocks, columns of blocks, the same again), as of pandas 0.1x."""
    rows = Named("pandas.core.index", "_new_Index", (Callee("pandas.core.index", "Int64Index"), {"data": np.arange(7)}))
    axes, values = [index(NAMES), rows], [VALUES.T[columns] for columns in blocks]
    again = [{"values": v, "mgr_locs": np.array(columns)} for v, columns in zip(values, blocks, strict=True)]
    names = [index([NAMES[i] for i in columns]) for columns in blocks]
    state = (axes, values, names, {"0.14.1": {"axes": axes, "blocks": again}})
    manager = Named("pandas.core.internals", "BlockManager", (), state)
    frame = Callee("pandas.core.frame", "DataFrame"), Callee("__builtin__", "object"), None
    return Named("copy_reg", "_reconstructor", frame, {"_data": manager, "_typ": "dataframe", "_metadata": []})


@pytest.mark.parametrize("blocks", [[[0, 1, 2, 3, 4]], [[3, 4, 0], [2, 1]]])
def test_old_tables_are_read_without_pandas(tmp_path, blocks):
    (tmp_path / "old").write_bytes(dumped(old_frame(blocks)))
    names, values = read_frame(tmp_path / "old")
    assert names == NAMES and values.dtype == np.float64 and np.array_equal(values, VALUES)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_todays_tables_are_read(tmp_path, protocol):
    pd.DataFrame(VALUES, columns=NAMES).to_pickle(tmp_path / "new", protocol=protocol)
    names, values = read_frame(tmp_path / "new")
    assert names == NAMES and np.array_equal(values, VALUES)


@pytest.mark.parametrize("call", [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("numpy", "load")])
def test_nothing_that_a_pickle_names_is_called(tmp_path, call):
    marker = tmp_path / "called"
    argument = f"open({str(marker)!r}, 'w')" if call[1] == "eval" else f"touch {marker}"
    (tmp_path / "evil").write_bytes(dumped([Named(*call, (argument,)), old_frame([[0, 1, 2, 3, 4]])]))
    assert read_frame(tmp_path / "evil")[0] == NAMES
    assert not marker.exists() and os.listdir(tmp_path) == ["evil"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "cannot read .*bad as a pickled table"),
        (b"", "cannot read .*bad as a pickled table"),
        (pickle.dumps(VALUES)[:-60], "cannot read .*bad as a pickled table"),
        (pickle.dumps({"a": 1}), r"blocks of the shapes \[\] and 0 lists of names, expected one table"),
        (pickle.dumps(VALUES), r"blocks of the shapes \[\(7, 5\)\] and 0 lists of names"),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_frame(tmp_path / "bad")


def test_registered_reducers_are_inert_too(tmp_path):
    copyreg_call = Named("copyreg", "__newobj__", (Callee("subprocess", "Popen"), "true"))
    (tmp_path / "evil").write_bytes(dumped([copyreg_call, old_frame([[0, 1, 2, 3, 4]])]))
    assert np.array_equal(read_frame(tmp_path / "evil")[1], VALUES)


FORGED = {
    "array over bytes": b"cnumpy\nndarray\n((I1\ntcnumpy\ndtype\n(VO8\nI0\nI1\ntR"
    b"(I3\nV|\nNNNI-1\nI-1\nI63\ntbC\x08AAAAAAAAtR.",
    "type without its flags": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR(I1\n(I1\nt"
    b"cnumpy\ndtype\n(VO8\nI0\nI1\ntR(I3\nV|\nNNNI8\nI8\nI0\ntbI0\nC\x08AAAAAAAAtb.",
    "unknown encoding": b"c_codecs\nencode\n(Vx\nVpunycode\ntR.",
}


@pytest.mark.parametrize("content", FORGED.values(), ids=FORGED)
def test_bytes_are_never_taken_for_objects(tmp_path, content):
    (tmp_path / "forged").write_bytes(content)
    with pytest.raises(DataError, match="forged"):
        read_frame(tmp_path / "forged")
