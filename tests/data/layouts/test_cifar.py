"""CIFAR-10 and CIFAR-100 in both versions of their downloads."""

import hashlib
import os
import pickle
from functools import partial

import numpy as np
import pytest

from rcig_cli.data.layouts.cifar import LARGEST_FILE, read_pickle
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from tests.data.downloads import (
    CIFAR10_NAMES,
    CIFAR100_NAMES,
    example_splits,
    planes,
    python2_pickle,
    write_cifar10_binary,
    write_cifar10_python,
    write_cifar100_binary,
    write_cifar100_python,
)
from tests.data.examples import pixels, save_picture, whole

SYSTEM = b"\x80\x02cposix\nsystem\nU\x0ftouch executed\x85R."


@pytest.fixture
def ten():
    """Two hundred images: the five batches differ in length."""
    return example_splits(10, 203, 20, 32, 32, 3)


@pytest.fixture
def hundred():
    return example_splits(100, 200, 100, 32, 32, 3)


def same(source, splits):
    for split, (images, labels) in splits.items():
        found = whole(source, split, 64)
        np.testing.assert_array_equal(found.images, images)
        np.testing.assert_array_equal(found.labels, labels)


@pytest.mark.parametrize("version", ["binary", "python"])
def test_images_labels_and_names_are_read(tmp_path, ten, hundred, version):
    write_ten, write_hundred = {
        "binary": (write_cifar10_binary, write_cifar100_binary),
        "python": (write_cifar10_python, write_cifar100_python),
    }[version]
    source = open_source("cifar10", write_ten(tmp_path / "10", ten))
    same(source, ten)
    assert (source.shape, source.class_names) == ((32, 32, 3), CIFAR10_NAMES)
    assert f"{version} version" in source.notes[0]
    assert "50000 and 10000" in source.notes[1]
    source = open_source("cifar100", write_hundred(tmp_path / "100", hundred))
    same(source, hundred)
    assert source.class_names == CIFAR100_NAMES
    assert whole(open_source("mine", tmp_path / "10", 16), "test").images.shape == (20, 16, 16, 3)


def test_without_the_file_of_names_the_known_names_are_used(tmp_path, ten, hundred):
    for number, (write, file) in enumerate(
        ((write_cifar10_binary, "batches.meta.txt"), (write_cifar10_python, "batches.meta"))
    ):
        folder = write(tmp_path / str(number), ten)
        (folder / file).unlink()
        assert open_source("cifar10", folder).class_names == CIFAR10_NAMES
    folder = write_cifar100_binary(tmp_path / "100", hundred)
    (folder / "fine_label_names.txt").unlink()
    assert open_source("cifar100", folder).class_names == tuple(map(str, range(100)))


def test_missing_short_and_impossible_binary_files_are_refused(tmp_path, ten, hundred):
    path = write_cifar10_binary(tmp_path / "10", ten) / "data_batch_2.bin"
    content = path.read_bytes()
    for changed, said in (
        (content[:-1], "ends in the middle"),
        (b"", "holds no images"),
        (b"\x0a" + content[1:], "holds the label 10, but there are 10"),
    ):
        path.write_bytes(changed)
        with pytest.raises(Corrupt, match=rf"data_batch_2\.bin {said}"):
            open_source("cifar10", path.parent)
    path.unlink()
    with pytest.raises(NotFound, match=r"data_batch_2\.bin is missing"):
        open_source("cifar10", path.parent)
    path = write_cifar100_binary(tmp_path / "100", hundred) / "test.bin"
    path.write_bytes(b"\x00\xff" + path.read_bytes()[2:])
    with pytest.raises(Corrupt, match=r"test\.bin holds the label 255"):
        open_source("cifar100", path.parent)


def test_a_class_without_training_images_is_refused(tmp_path, ten):
    images, labels = ten["train"]
    splits = {**ten, "train": (images, np.where(labels == 7, 6, labels))}
    with pytest.raises(ConfigError, match="no training image of class 7"):
        open_source("cifar10", write_cifar10_binary(tmp_path, splits))


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"cat\ndog\n", ConfigError, "2 names for 10"),
        (b"cat\n" * 10, ConfigError, "repeated"),
        ("\n".join(["a\x1b[2J", *"bcdefghij"]).encode(), ConfigError, "unprintable"),
        (b"\xff\xfe" * 20, Corrupt, "UTF-8"),
        (b"a" * 2**24, ConfigError, "too large"),
    ],
)
def test_unusable_lists_of_names_are_refused(tmp_path, ten, content, error, said):
    folder = write_cifar10_binary(tmp_path, ten)
    (folder / "batches.meta.txt").write_bytes(content)
    with pytest.raises(error, match=said):
        open_source("cifar10", folder)


def test_our_copy_of_the_python_version_is_the_official_one_byte_for_byte(tmp_path, ten):
    """The MD5 of ``batches.meta`` in cifar-10-python.tar.gz, as other loaders of that archive check it."""
    content = (write_cifar10_python(tmp_path, ten) / "batches.meta").read_bytes()
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == "5ff9c542aee3614f3951f8cda6e48888"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_that_python_3_wrote_are_read(tmp_path, ten, protocol):
    folder = write_cifar10_python(tmp_path, ten, dump=partial(pickle.dumps, protocol=protocol))
    same(open_source("cifar10", folder), ten)


@pytest.mark.parametrize("dump", [python2_pickle, partial(pickle.dumps, protocol=4)])
def test_arrays_in_fortran_order_are_read(tmp_path, ten, dump):
    folder = write_cifar10_python(tmp_path, ten, dump=dump, arrange=np.asfortranarray)
    same(open_source("cifar10", folder), ten)


def test_a_missing_or_short_pickle_is_refused(tmp_path, ten):
    path = write_cifar10_python(tmp_path, ten) / "data_batch_4"
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(Corrupt, match="data_batch_4 is damaged, cut short"):
        open_source("cifar10", tmp_path)
    path.unlink()
    with pytest.raises(NotFound, match="data_batch_4 is missing"):
        open_source("cifar10", tmp_path)


GOOD = {"data": planes(pixels(10, 32, 32, 3)), "labels": list(range(10))}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": [0] * 9}, "9 labels for 10 images"),
        ({"labels": [*range(9), 10]}, "holds the label 10"),
        ({"labels": [*range(9), -1]}, "holds the label -1"),
        ({"labels": ["a"] * 10}, "no list 'labels'"),
        ({"data": "abc"}, "no array 'data'"),
        ({"data": pixels(10, 3071)}, "no array 'data'"),
        ({"data": pixels(30720)}, "no array 'data'"),
        ({"data": pixels(1, 3072)[:0], "labels": []}, "no images"),
        ({"data": np.zeros((2, 2), np.float32)}, "not a CIFAR pickle"),
    ],
)
def test_unusable_batches_are_refused(tmp_path, ten, change, said):
    path = write_cifar10_python(tmp_path, ten) / "data_batch_2"
    path.write_bytes(python2_pickle({**GOOD, **change}))
    with pytest.raises(Corrupt, match=f"data_batch_2.* {said}"):
        open_source("cifar10", tmp_path)


@pytest.mark.parametrize("names", [["cat"], [3] * 10, "cat", ["cat"] * 10])
def test_unusable_names_in_a_pickle_are_refused(tmp_path, ten, names):
    (write_cifar10_python(tmp_path, ten) / "batches.meta").write_bytes(python2_pickle({"label_names": names}))
    with pytest.raises((Corrupt, ConfigError), match=r"batches\.meta"):
        open_source("cifar10", tmp_path)


class Call:
    def __init__(self, called, *arguments):
        self._parts = called, arguments

    def __reduce__(self):
        return self._parts


@pytest.mark.parametrize(
    "content",
    [
        SYSTEM,
        pickle.dumps({"data": Call(os.system, "touch executed")}, protocol=4),
        b"\x80\x02}(U\x04datac__builtin__\neval\nU\x10open('x','w').a)\x85Ru.",
        b"\x80\x02cnumpy\nfromfile\nU\x05batch\x85R.",
        b"\x80\x02(U\x02lsios\nsystem\n.",
    ],
)
def test_a_pickle_that_names_anything_but_arrays_is_refused_and_never_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(ConfigError, match="which is never loaded"):
        read_pickle(tmp_path, "batch")
    assert os.listdir() == ["batch"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"\x80\x02K\x01.",  # a number
        b"\x80\x02}K\x01K\x01s.",  # a number as key
        b"\x80\x02}(U\x01\xffK\x01u.",  # a key that isn't UTF-8
        b"\x80\x02}(U\x04dataB\xff\xff\xff\xff",  # a text longer than the file
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01O\x87R.",
        python2_pickle({"data": pixels(2, 9)}).replace(b"K\x02K\x09\x86", b"K\x03K\x09\x86"),
        python2_pickle({"data": pixels(2, 9)}).replace(b"u1", b"O8"),
        b"\x80\x02U\x01xQ.",  # a persistent object
        b"\x80\x02\x82\x01.",  # an extension
    ],
)
def test_a_damaged_pickle_is_refused(tmp_path, content):
    (tmp_path / "batch").write_bytes(content)
    with pytest.raises(Corrupt, match="download it again"):
        read_pickle(tmp_path, "batch")


@pytest.mark.parametrize("write", [write_cifar10_binary, write_cifar10_python])
def test_a_file_beyond_the_limit_is_refused_unread(tmp_path, ten, write):
    for path in write(tmp_path, ten).glob("data_batch_3*"):
        os.truncate(path, LARGEST_FILE + 1)
    with pytest.raises(ConfigError, match="the limit is 268435456 bytes"):
        open_source("cifar10", tmp_path)


def test_class_folders_of_the_same_names_are_class_folders(tmp_path):
    for name in ("train", "test", "meta", "data_batch_1"):
        for index in range(4):
            save_picture(tmp_path / name / f"{index}.png", pixels(8, 8, 3, seed=index))
    assert open_source("words", tmp_path).class_names == ("data_batch_1", "meta", "test", "train")
