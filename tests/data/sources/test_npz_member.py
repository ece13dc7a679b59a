import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib import format as npy

from rcig_cli.data.sources.npz_member import members
from rcig_cli.errors import ConfigError, Corrupt, RcigError
from tests.data.examples import pixels


def archive(path, content, key="x.npy", method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(key, content)
    return path


def npy_bytes(array, version=(1, 0)):
    stream = io.BytesIO()
    npy.write_array(stream, array, version)
    return stream.getvalue()


def header(shape, descr="|u1"):
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": descr})
    return stream.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("members")


@given(st.integers(0, 9), st.integers(1, 5), st.sampled_from([">f4", "<i8", "|u1"]), st.integers(1, 12))
def test_blocks_add_up_to_the_array(folder, rows, columns, dtype, size):
    array = pixels(rows, columns).astype(dtype)
    member = members(archive(folder / "a.npz", npy_bytes(array)))["x"]
    assert (member.shape, member.dtype) == (array.shape, array.dtype)
    blocks = list(member.blocks(size))
    assert all(len(block) == size for block in blocks[:-1])
    assert np.concatenate([array[:0], *blocks]).tolist() == array.tolist()


def test_the_second_version_of_the_format_is_read(tmp_path):
    array = pixels(3, 2)
    member = members(archive(tmp_path / "a.npz", npy_bytes(array, (2, 0))))["x"]
    assert (member.read() == array).all()


def test_other_files_in_the_archive_are_passed_over(tmp_path):
    assert members(archive(tmp_path / "a.npz", b"hello", "readme.txt")) == {}


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "header of x"),
        (b"hello", "header of x"),
        (npy_bytes(pixels(3))[:20], "header of x"),
        (b"\x93NUMPY\x09\x00" + bytes(90), "header of x"),
        (header((10**12, 10**6)), "as large"),
        (header((4,)) + b"abc", "as large"),
        (header((4,)) + b"abcde", "as large"),
        (header((-1,)) + b"a", "as large"),
        (header((2,), "not a type") + b"ab", "header of x"),
    ],
)
def test_a_header_that_lies_is_found_before_memory_is_taken(tmp_path, content, word):
    with pytest.raises(Corrupt, match=word):
        members(archive(tmp_path / "a.npz", content))


def test_pickles_are_never_read(tmp_path):
    content = header((1,), "|O") + b"cos\nsystem\n(S'false'\ntR."
    with pytest.raises(ConfigError, match="pickled"):
        members(archive(tmp_path / "a.npz", content))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_is_found(tmp_path, method):
    path = archive(tmp_path / "a.npz", npy_bytes(pixels(50, 40)), method=method)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="damaged"):
        list(members(path)["x"].blocks(7))


def test_a_folder_is_no_archive(tmp_path):
    with pytest.raises(RcigError, match="can't be read"):
        members(tmp_path)
