import contextlib
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.data.layouts.plain_pickle import PlainArray, read_plain_pickle
from rcig_cli.errors import ConfigError, Corrupt, RcigError
from tests.data.downloads import python2_pickle
from tests.data.examples import pixels

BATCH = {"labels": [3, 7, 300, 70_000], "data": pixels(4, 3072), "name": "batch 1 of 5", "names": ["a", "b"]}


def read(tmp_path, content):
    (tmp_path / "batch").write_bytes(content)
    return read_plain_pickle(tmp_path, "batch")


def array_in(tmp_path, plain):
    data = (tmp_path / "batch").read_bytes()[plain.offset :][: int(np.prod(plain.shape))]
    return np.frombuffer(data, np.uint8).reshape(plain.shape, order="F" if plain.fortran else "C")


def test_the_writer_of_these_tests_writes_what_python_can_read():
    found = pickle.loads(python2_pickle(BATCH), encoding="bytes")
    assert found[b"labels"] == BATCH["labels"]
    assert found[b"names"] == [b"a", b"b"]
    np.testing.assert_array_equal(found[b"data"], BATCH["data"])
    turned = pickle.loads(python2_pickle({"data": np.asfortranarray(BATCH["data"])}), encoding="bytes")
    np.testing.assert_array_equal(turned[b"data"], BATCH["data"])


@pytest.mark.parametrize("arrange", [np.ascontiguousarray, np.asfortranarray])
def test_what_python_2_wrote(tmp_path, arrange):
    found = read(tmp_path, python2_pickle({**BATCH, "data": arrange(BATCH["data"])}))
    assert found.pop("data").shape == (4, 3072)
    assert found == {key: value for key, value in BATCH.items() if key != "data"}
    found = read(tmp_path, python2_pickle({"data": arrange(BATCH["data"])}))
    np.testing.assert_array_equal(array_in(tmp_path, found["data"]), BATCH["data"])


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize(
    "data", [pixels(2, 5), pixels(3000), pixels(300, 3072), np.asfortranarray(pixels(9, 8))]
)
def test_what_python_3_wrote(tmp_path, protocol, data):
    found = read(tmp_path, pickle.dumps({"labels": [1, -2, 2**33], b"data": data}, protocol=protocol))
    assert found["labels"] == [1, -2, 2**33]
    assert isinstance(found["data"], PlainArray)
    np.testing.assert_array_equal(array_in(tmp_path, found["data"]), data)


@pytest.mark.parametrize("protocol", [2, 5])
def test_how_python_3_writes_arrays_otherwise_is_refused(tmp_path, protocol):
    with pytest.raises(ConfigError, match="reference to"):
        read(tmp_path, pickle.dumps(BATCH, protocol=protocol))


class _Runs:
    def __init__(self, called, *arguments):
        self._parts = called, arguments

    def __reduce__(self):
        return self._parts


HOSTILE = {
    "os.system": pickle.dumps({"data": _Runs(os.system, "touch executed")}, protocol=2),
    "stacked": pickle.dumps({"data": _Runs(os.system, "touch executed")}, protocol=4),
    "eval": b"\x80\x02}(U\x04datac__builtin__\neval\nU\x10open('x','w').a)\x85Ru.",
    "reconstruct": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncbuiltins\nlist\nK\x00\x85U\x01b\x87R.",
    "call of a text": b"\x80\x02}(U\x04dataU\x02os)Ru.",
    "call of ndarray": b"\x80\x02cnumpy\nndarray\nK\x09\x85\x85R.",
    "build of a dictionary": b"\x80\x02}}(U\x08__dict__K\x01ub.",
    "object": b"\x80\x02(cos\nsystem\no.",
    "inst": b"\x80\x02(U\x02lsios\nsystem\n.",
    "newobj": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "persistent": b"\x80\x02U\x01xQ.",
    "persistent text": b"Pfile\n.",
    "extension": b"\x80\x02\x82\x01.",
    "buffer": b"\x80\x05\x97.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b".",
    "float": pickle.dumps({"x": 1.5}, protocol=2),
    "set": pickle.dumps({"x": {1}}, protocol=4),
    "floats": python2_pickle({"x": np.zeros((2, 2), np.float32)}),
    "objects": python2_pickle({"x": np.zeros((2, 2), np.uint8)}).replace(b"u1", b"O8"),
    "list of lists": pickle.dumps({"x": [[1]]}, protocol=2),
    "list of None": pickle.dumps({"x": [None]}, protocol=2),
    "dictionary in another": pickle.dumps({"x": {}}, protocol=2),
    "tuple": pickle.dumps({"x": (1,)}, protocol=2),
    "itself": b"\x80\x02}q\x00U\x01ah\x00s.",
    "list in itself": b"\x80\x02}U\x01a]q\x00h\x00as.",
    "protocol 0": pickle.dumps({"x": 1}, protocol=0),
    "protocol 9": b"\x80\x09}.",
    "long text": pickle.dumps({"x": "a" * 5000}, protocol=2),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=list(HOSTILE))
def test_anything_else_is_refused_and_never_run(tmp_path, content, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="not plain numbers alone"):
        read(tmp_path, content)
    assert os.listdir() == ["batch"]


DAMAGED = {
    "empty": b"",
    "only a stop": b".",
    "a number": b"\x80\x02K\x01.",
    "two things": b"\x80\x02}}.",
    "more after it": b"\x80\x02}.}",
    "no mark": b"\x80\x02}u.",
    "a mark too many": b"\x80\x02(}u.",
    "a key without value": b"\x80\x02}(U\x01au.",
    "a number as key": b"\x80\x02}K\x01K\x01s.",
    "nothing remembered": b"\x80\x02h\x07.",
    "nothing to remember": b"\x80\x02q\x07.",
    "a name without end": b"\x80\x02c" + b"a" * 10_000,
    "text longer than the file": b"\x80\x02}(U\x04dataB\xff\xff\xff\xff",
    "text of negative length": b"\x80\x02}(U\x04dataT\xff\xff\xff\xff",
    "text longer than memory": b"\x80\x04\x8e" + struct.pack("<Q", 2**63),
    "number longer than any": b"\x80\x02\x8a\xff" + bytes(300),
    "text that is none": b"\x80\x02}(U\x01\xffK\x01u.",
    "append to a number": b"\x80\x02K\x01K\x01a.",
    "an array never built": b"\x80\x02}(U\x01acnumpy.core.multiarray\n_reconstruct\n"
    b"cnumpy\nndarray\nK\x00\x85U\x01b\x87Ru.",
    "numbers without end": b"\x80\x02}U\x01a](" + b"K\x01" * 2_000_000 + b"es.",
    "memories without end": b"\x80\x04}" + b"\x94" * 2_000_000 + b".",
    "marks without end": b"\x80\x02" + b"(" * 2_000_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
def test_damage_ends_in_a_sentence(tmp_path, content):
    with pytest.raises(Corrupt, match="download it again"):
        read(tmp_path, content)


@pytest.mark.parametrize("shape", [(5, 3072), (4, 3071), (2**31 - 1, 2**31 - 1), (0, 0)])
def test_an_array_that_declares_another_size(tmp_path, shape):
    content = python2_pickle({"data": pixels(4, 3072)})
    rows, columns = (
        b"K\x04M" + struct.pack("<H", 3072),
        b"".join(b"J" + struct.pack("<i", n) for n in shape),
    )
    assert rows in content
    with pytest.raises(Corrupt, match="isn't as large as it declares"):
        read(tmp_path, content.replace(rows, columns))


def test_arrays_with_a_negative_length(tmp_path):
    content = python2_pickle({"data": pixels(4, 3072)})
    rows = b"K\x04M" + struct.pack("<H", 3072)
    with pytest.raises(Corrupt):
        read(tmp_path, content.replace(rows, b"J" + struct.pack("<i", -4) + b"J" + struct.pack("<i", -3072)))


def test_every_cut_of_a_batch_ends_in_a_sentence(tmp_path):
    content = python2_pickle({**BATCH, "data": pixels(1, 40)})
    for length in range(len(content)):
        with pytest.raises(Corrupt):
            read(tmp_path, content[:length])


@given(st.data())
def test_any_change_of_bytes_gives_a_plain_value_or_a_sentence(tmp_path_factory, data):
    content = bytearray(python2_pickle({**BATCH, "data": pixels(1, 40)}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    _plain_or_a_sentence(tmp_path_factory.getbasetemp(), bytes(content))


@given(st.lists(st.sampled_from([bytes([code]) for code in range(256)]), max_size=60).map(b"".join))
def test_any_program_gives_a_plain_value_or_a_sentence(tmp_path_factory, content):
    _plain_or_a_sentence(tmp_path_factory.getbasetemp(), b"\x80\x02" + content)


def _plain_or_a_sentence(folder: Path, content: bytes) -> None:
    """Anything but an error of ours passes through and fails the test."""
    with contextlib.suppress(RcigError):
        for key, value in read(folder, content).items():
            assert isinstance(key, str)
            items = value if isinstance(value, list) else [value]
            assert all(isinstance(item, int | str | PlainArray) for item in items)


def test_a_large_array_takes_no_memory(tmp_path):
    """Of a batch of 300 MB nothing but its labels comes into memory."""
    content = python2_pickle({"labels": [1, 2], "data": np.zeros((2, 3072), np.uint8)})
    length, rows = 3072 * 100_000, b"K\x02M" + struct.pack("<H", 3072)
    head, tail = content.split(b"T" + struct.pack("<i", 6144) + bytes(6144))
    head = head.replace(rows, b"J" + struct.pack("<i", 100_000) + b"M" + struct.pack("<H", 3072))
    with (tmp_path / "batch").open("wb") as file:
        file.write(head + b"T" + struct.pack("<i", length))
        file.seek(length, os.SEEK_CUR)  # a hole: nothing lies on the disk
        file.write(tail)
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from rcig_cli.data.layouts.plain_pickle import read_plain_pickle\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "found = read_plain_pickle(Path(sys.argv[1]), 'batch')\n"
        "print(found['data'].shape[0], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, cwd=root
    )
    count, more = map(int, done.stdout.split())
    assert count == 100_000
    assert more < 4096  # kilobytes
