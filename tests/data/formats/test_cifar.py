"""CIFAR-10 and CIFAR-100 in both versions of their downloads."""

import hashlib
import os
import pickle
from functools import partial

import numpy as np
import pytest

from rcig_cli.data.formats.cifar import LARGEST_FILE
from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.options import ReadOptions
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
from tests.data.examples import assert_same, pixels, save_picture, whole


@pytest.fixture
def ten():
    """Two hundred images: the five batches differ in length."""
    return example_splits(10, 203, 20, 32, 32, 3)


WRITERS = {
    "binary": (write_cifar10_binary, write_cifar100_binary),
    "python": (write_cifar10_python, write_cifar100_python),
}


@pytest.mark.parametrize("version", WRITERS)
def test_images_labels_and_names_are_read(tmp_path, ten, version):
    write_ten, write_hundred = WRITERS[version]
    source = open_source("cifar10", write_ten(tmp_path / "10", ten))
    assert_same(source, ten)
    assert (source.shape, source.class_names) == ((32, 32, 3), CIFAR10_NAMES)
    assert f"{version} version" in source.notes[0].text
    assert "50000 and 10000" in source.notes[1].text
    hundred = example_splits(100, 200, 100, 32, 32, 3)
    source = open_source("cifar100", write_hundred(tmp_path / "100", hundred))
    assert_same(source, hundred)
    assert source.class_names == CIFAR100_NAMES
    assert whole(open_source("mine", tmp_path / "10", options=ReadOptions(16)), "test").images.shape == (
        20,
        16,
        16,
        3,
    )
    for name in ("batches.meta.txt", "batches.meta"):
        (tmp_path / "10" / name).unlink(missing_ok=True)
    assert open_source("mine", tmp_path / "10").class_names == CIFAR10_NAMES


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda content: content[:-1], Corrupt, r"data_batch_2\.bin ends in the middle"),
        (lambda content: b"\x0a" + content[1:], ConfigError, "the label 10 but 10 classes"),
        (None, NotFound, r"data_batch_2\.bin"),
    ],
)
def test_unusable_binary_files_are_refused(tmp_path, ten, change, error, said):
    path = write_cifar10_binary(tmp_path / "10", ten) / "data_batch_2.bin"
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(error, match=said):
        open_source("cifar10", path.parent)


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"cat\ndog\n", ConfigError, "but 2 classes"),
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


@pytest.mark.parametrize("arrange", [np.ascontiguousarray, np.asfortranarray])
@pytest.mark.parametrize("dump", [python2_pickle, *(partial(pickle.dumps, protocol=n) for n in (2, 3, 4, 5))])
def test_pickles_of_every_protocol_are_read(tmp_path, ten, dump, arrange):
    assert_same(open_source("cifar10", write_cifar10_python(tmp_path, ten, dump, arrange)), ten)


GOOD = {"data": planes(pixels(10, 32, 32, 3)), "labels": list(range(10))}


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"labels": [0] * 9}, Corrupt, "has no array 'data'"),
        ({"labels": ["a"] * 10}, Corrupt, "has no array 'data'"),
        ({"data": "abc"}, Corrupt, "has no array 'data'"),
        ({"data": pixels(10, 3071)}, Corrupt, "has no array 'data'"),
        ({"labels": [*range(9), -1]}, ConfigError, "has the label -1"),
        ({"labels": [*range(9), 2**70]}, ConfigError, "has labels of type object"),
        ({"data": np.zeros((2, 2), np.float32)}, Corrupt, "not a pickled dictionary"),
    ],
)
def test_unusable_batches_are_refused(tmp_path, ten, change, error, said):
    path = write_cifar10_python(tmp_path, ten) / "data_batch_2"
    path.write_bytes(python2_pickle({**GOOD, **change}))
    with pytest.raises(error, match=f"data_batch_2.* {said}"):
        open_source("cifar10", tmp_path)


@pytest.mark.parametrize("write", [write_cifar10_binary, write_cifar10_python])
def test_a_file_beyond_the_limit_is_refused_unread(tmp_path, ten, write):
    for path in write(tmp_path, ten).glob("data_batch_3*"):
        os.truncate(path, LARGEST_FILE + 1)
    with pytest.raises(ConfigError, match="the limit is 268435456 bytes"):
        open_source("cifar10", tmp_path)


def test_class_folders_of_the_same_names_are_class_folders(tmp_path):
    for name in ("train", "test", "meta", "data_batch_1"):
        for index in range(8):
            save_picture(tmp_path / name / "ab"[index % 2] / f"{index}.png", pixels(8, 8, 3, seed=index))
    source = open_source("words", tmp_path)
    assert (source.class_names, source.sizes) == (("a", "b"), {"train": 8, "test": 8})
