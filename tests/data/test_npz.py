"""Arrays in ``.npz`` files."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib import format as npy

from rcig_cli.data.npz import members, single
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from tests.data.examples import npy_header, pixels


def archive(path, content, key="x.npy", method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(key, content)
    return path


def npy_bytes(array, version=(1, 0)):
    stream = io.BytesIO()
    npy.write_array(stream, array, version)
    return stream.getvalue()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("members")


@given(
    st.integers(0, 9),
    st.integers(1, 5),
    st.sampled_from([">f4", "<i8", "|u1"]),
    st.integers(1, 12),
    st.sampled_from("CF"),
)
def test_blocks_add_up_to_the_array(folder, rows, columns, dtype, size, order):
    array = np.array(pixels(rows, columns), dtype, order=order)
    content = npy_bytes(array, (1, 0) if rows % 2 else (2, 0))
    if size % 2:
        member = members(archive(folder / "a.npz", content))["x"]
    else:
        (folder / "a.npy").write_bytes(content)
        member = single(folder / "a.npy")
    assert (member.shape, member.dtype) == (array.shape, array.dtype)
    blocks = list(member.blocks(size))
    assert all(len(block) == size for block in blocks[:-1])
    assert np.concatenate([array[:0], *blocks]).tolist() == member.read().tolist() == array.tolist()


def test_headers_of_python_2_and_scalars_are_read_silently(path, capfd):
    content = npy_bytes(pixels(4, 6, 6)).replace(b"(4, 6, 6), }", b"(4L, 6, 6),}")
    found = members(archive(path, content))["x"].read()
    assert (found == pixels(4, 6, 6)).all()
    assert members(archive(path, npy_bytes(np.array("whitened"))))["x"].read() == "whitened"
    assert members(archive(path, b"hello", "readme.txt")) == {}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "error", "word"),
    [
        (b"", Corrupt, "header"),
        (b"\x93NUMPY\x01\0" + struct.pack("<H", 60_000) + b"(" * 60_000, Corrupt, "header"),
        (b"\x93NUMPY\x02\0" + struct.pack("<I", 2**32 - 1) + bytes(10**6), Corrupt, "header"),
        (npy_header((2,), "not a type") + b"ab", Corrupt, "header"),
        (npy_header((10**12, 10**6), "|u1"), Corrupt, "as large"),
        (npy_header((4,), "|u1") + b"abc", Corrupt, "as large"),
        (npy_header((4,), "|u1") + b"abcde", Corrupt, "as large"),
        (npy_header((-1,), "|u1") + b"a", Corrupt, "as large"),
        (npy_header((10**12,), "<U0"), ConfigError, "not an array of numbers"),
        (npy_header((1,), "|O") + b"cos\nsystem\n(S'false'\ntR.", ConfigError, "pickled"),
        (npy_bytes(np.zeros(4, "f4,f4")), ConfigError, "not an array of numbers"),
    ],
)
def test_a_header_that_is_wrong_is_found_before_memory_is_taken(path, content, error, word):
    archive(path, content, method=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    with pytest.raises(error, match=word):
        members(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("order", "<>")
def test_characters_that_dont_exist_are_found(path, order):
    texts = np.array(["ab", "c"], f"{order}U2")
    assert members(archive(path, npy_bytes(texts)))["x"].read().tolist() == ["ab", "c"]
    texts.view(f"{order}u4")[1] = 0x110000
    with pytest.raises(Corrupt, match="characters"):
        members(archive(path, npy_bytes(texts)))["x"].read()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(path, method):
    with pytest.raises(ConfigError, match="isn't compressed as NumPy does it"):
        members(archive(path, npy_bytes(pixels(4)), method=method))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(100)])
def test_missing_and_other_files_are_refused(path, content):
    with pytest.raises(NotFound, match="no file or folder"):
        members(path)
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=r"not a \.npz"):
        members(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_cut_short_or_flipped_is_damaged(path, save):
    save(path, x=pixels(4, 40, 40))
    content = path.read_bytes()
    for kept in range(0, len(content), 997):
        path.write_bytes(content[:kept])
        with pytest.raises(Corrupt):
            members(path)
    path.write_bytes(content[:1000] + bytes([content[1000] ^ 16]) + content[1001:])
    with pytest.raises(Corrupt, match="damaged"):
        members(path)["x"].read()
