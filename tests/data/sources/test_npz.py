"""Image data in ``.npz`` files, and the arrays in them."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib import format as npy

from rcig_cli.data.sources.npz import members, open_npz
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from tests.data.examples import npy_header, pixels, whole

LABELS = np.array([0, 1, 2, 0])


def write(path, save=np.savez, **changes):
    arrays = {"x_train": pixels(4, 6, 6), "y_train": LABELS, "x_test": pixels(2, 6, 6), "y_test": LABELS[:2]}
    arrays.update(changes)
    save(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "own.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("tail", [(), (1,), (3,)])
def test_pixels_come_back_as_they_were(path, save, tail):
    train, test = pixels(20, 6, 6, *tail), pixels(5, 6, 6, *tail, seed=1)
    labels = np.arange(20) % 3
    source = open_npz("own", write(path, save, x_train=train, y_train=labels, x_test=test, y_test=labels[:5]))
    assert source.shape == (6, 6, 3 if tail == (3,) else 1)
    assert source.sizes == {"train": 20, "test": 5}
    assert source.class_names == ("0", "1", "2")
    assert source.notes == ()
    assert (whole(source, "train").images.ravel() == train.ravel()).all()
    assert (whole(source, "test").images.ravel() == test.ravel()).all()
    assert whole(source, "train").labels.tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("dtype", "factor"), [(np.uint16, 257), (np.float32, 1 / 255), (np.float64, 1), (np.float16, 1)]
)
def test_every_scale_of_pixels_is_understood(path, dtype, factor):
    train, test = pixels(4, 6, 6), pixels(2, 6, 6)
    scaled = {
        key: (array * np.float64(factor)).astype(dtype)
        for key, array in (("x_train", train), ("x_test", test))
    }
    source = open_npz("own", write(path, **scaled))
    assert (whole(source, "train").images[..., 0] == train).all()
    assert (whole(source, "test").images[..., 0] == test).all()


def test_the_scale_of_floats_is_judged_by_both_splits(path):
    dark, bright = np.ones((4, 6, 6), np.float32), np.full((2, 6, 6), 200, np.float32)
    source = open_npz("own", write(path, x_train=dark, x_test=bright))
    assert whole(source, "train").images.max() == 1


def test_alpha_is_laid_over_white(path):
    images = pixels(4, 6, 6, 4)
    images[..., 3] = 0
    source = open_npz("own", write(path, x_train=images, x_test=images[:2]))
    assert source.shape == (6, 6, 3)
    assert (whole(source, "train").images == 255).all()


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_class_names_are_read(path, dtype):
    source = open_npz("own", write(path, class_names=np.array(["cat", "dog", "cow"], dtype=dtype)))
    assert source.class_names == ("cat", "dog", "cow")


def flawed(value):
    images = np.full((4, 6, 6), 0.5, np.float32)
    images[1, 2, 3] = value
    return images


OBJECTS = np.array([None] * 4, dtype=object)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"x_test": None}, "has no x_test"),
        ({"x_train": pixels(4, 36)}, "shape"),
        ({"x_train": pixels(4, 6, 6, 2)}, "shape"),
        ({"x_train": pixels(0, 6, 6), "y_train": LABELS[:0]}, "no images"),
        ({"x_train": pixels(4, 0, 6)}, "0 x 6"),
        ({"x_train": np.zeros((4, 6, 9000), np.uint8)}, "9000"),
        ({"x_train": pixels(4, 6, 6) > 9}, "type bool"),
        ({"x_train": pixels(4, 6, 6).astype(complex)}, "type complex"),
        ({"x_test": pixels(2, 6, 6, 3)}, "differ"),
        ({"x_train": np.asfortranarray(pixels(4, 6, 6))}, "Fortran"),
        ({"x_train": OBJECTS}, "pickled"),
        ({"x_train": flawed(np.nan), "x_test": flawed(0)[:2]}, "NaN"),
        ({"x_train": flawed(-1), "x_test": flawed(0)[:2]}, "-1 and 0.5"),
        ({"x_train": flawed(300), "x_test": flawed(0)[:2]}, "and 300"),
        ({"y_train": LABELS[:3]}, "4 labels"),
        ({"y_train": np.eye(4)}, "4 labels"),
        ({"y_train": LABELS - 1}, "negative label -1"),
        ({"y_train": LABELS + 0.5}, "whole numbers"),
        ({"y_train": LABELS * 10**9}, "2e.09"),
        ({"y_train": np.array(["a", "b", "c", "d"])}, "type <U1"),
        ({"y_test": np.array([0, 3])}, "no training image of class 3"),
        ({"y_train": LABELS * 0, "y_test": LABELS[:2] * 0}, "single class"),
        ({"class_names": np.array(["a", "b"])}, "2 class_names"),
        ({"class_names": np.array(["a", "b", "a"])}, "repeated"),
        ({"class_names": np.array(["a", "b\x1b[2J", "c"])}, "unprintable"),
        ({"class_names": np.array([b"a", b"\xff", b"c"])}, "UTF-8"),
        ({"class_names": np.arange(3)}, "not a list of strings"),
        ({"class_names": np.zeros(3, "U9000000")}, "too large"),
        ({"class_names": np.array(["a", "b", "c" * 10_000])}, "more than 1000 characters"),
        ({"class_names": np.full(10**6, "a")}, "the limit is 100000"),
        ({"x_train": np.zeros((4, 6), "f4,f4")}, "not an array of numbers"),
    ],
)
def test_wrong_content_is_refused_in_one_sentence(path, changes, word):
    with pytest.raises(ConfigError, match=word) as caught:
        whole(open_npz("own", write(path, **changes)), "train")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(100)])
def test_missing_and_other_files_are_refused(path, content):
    with pytest.raises(NotFound, match="no file"):
        open_npz("own", path)
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=r"not a \.npz"):
        open_npz("own", path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_cut_short_or_flipped_is_damaged(path, save):
    whole_file = write(path, save, x_train=pixels(4, 40, 40)).read_bytes()
    for kept in range(0, len(whole_file), 997):
        path.write_bytes(whole_file[:kept])
        with pytest.raises(Corrupt):
            open_npz("own", path)
    middle = whole_file.index(b"x_train.npy") + 1000
    path.write_bytes(whole_file[:middle] + bytes([whole_file[middle] ^ 16]) + whole_file[middle + 1 :])
    with pytest.raises(Corrupt, match="damaged"):
        whole(open_npz("own", path), "train")


def test_a_file_that_is_replaced_between_two_passes_is_refused(path):
    source = open_npz("own", write(path))
    whole(source, "train")
    write(path, x_train=pixels(4, 6, 6, seed=9))
    with pytest.raises(Corrupt, match="is damaged"):
        whole(source, "train")
    path.unlink()
    with pytest.raises(NotFound):
        whole(source, "train")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_memory_is_bounded_by_the_batch(path, save):
    images = np.zeros((4000, 32, 32, 3), np.uint8)
    labels = np.arange(4000) % 10
    write(path, save, x_train=images, y_train=labels, x_test=images[:10], y_test=labels[:10])
    tracemalloc.start()
    assert sum(len(batch) for batch in open_npz("own", path).batches("train", 50)) == 4000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes / 8


def test_a_known_set_has_names_even_where_its_file_has_none(tmp_path):
    labels = np.arange(10)
    arrays = {
        "x_train": pixels(10, 8, 8, 3),
        "y_train": labels,
        "x_test": pixels(10, 8, 8, 3),
        "y_test": labels,
    }
    np.savez(tmp_path / "plain.npz", **arrays)
    np.savez(tmp_path / "named.npz", **arrays, class_names=list("abcdefghij"))
    assert open_source("cifar10", tmp_path / "plain.npz").class_names[9] == "truck"
    assert open_source("mine", tmp_path / "plain.npz").class_names[9] == "9"
    assert open_source("cifar10", tmp_path / "named.npz").class_names[9] == "j"


# Arrays in an archive


def archive(path, content, key="x.npy", method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(key, content)
    return path


def npy_bytes(array, version=(1, 0)):
    stream = io.BytesIO()
    npy.write_array(stream, array, version)
    return stream.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("members")


@given(st.integers(0, 9), st.integers(1, 5), st.sampled_from([">f4", "<i8", "|u1"]), st.integers(1, 12))
def test_blocks_add_up_to_the_array(folder, rows, columns, dtype, size):
    array = pixels(rows, columns).astype(dtype)
    version = (1, 0) if rows % 2 else (2, 0)
    member = members(archive(folder / "a.npz", npy_bytes(array, version)))["x"]
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
        (b"hello", Corrupt, "header"),
        (b"\x93NUMPY\x01\0" + struct.pack("<H", 60_000) + b"(" * 60_000, Corrupt, "header"),
        (b"\x93NUMPY\x02\0" + struct.pack("<I", 2**32 - 1) + bytes(10**6), Corrupt, "header"),
        (npy_header((2,), "not a type") + b"ab", Corrupt, "header"),
        (npy_header((10**12, 10**6), "|u1"), Corrupt, "as large"),
        (npy_header((4,), "|u1") + b"abc", Corrupt, "as large"),
        (npy_header((4,), "|u1") + b"abcde", Corrupt, "as large"),
        (npy_header((-1,), "|u1") + b"a", Corrupt, "as large"),
        (npy_header((10**12,), "<U0"), ConfigError, "not an array of numbers"),
        (npy_header((1,), "|O") + b"cos\nsystem\n(S'false'\ntR.", ConfigError, "pickled"),
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


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(path, method):
    with pytest.raises(ConfigError, match="isn't compressed as NumPy does it"):
        members(archive(path, npy_bytes(LABELS), method=method))
