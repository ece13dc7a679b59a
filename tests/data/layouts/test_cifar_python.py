import hashlib
import pickle
from functools import partial

import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from tests.data.downloads import (
    CIFAR10_NAMES,
    CIFAR100_NAMES,
    example_splits,
    planes,
    python2_pickle,
    write_cifar10_python,
    write_cifar100_python,
)
from tests.data.examples import pixels, whole


@pytest.fixture
def splits():
    return example_splits(10, 203, 20, 32, 32, 3)


@pytest.fixture
def ten(tmp_path, splits):
    return write_cifar10_python(tmp_path / "cifar-10-batches-py", splits)


def same(source, splits):
    for split, (images, labels) in splits.items():
        found = whole(source, split, 64)
        np.testing.assert_array_equal(found.images, images)
        np.testing.assert_array_equal(found.labels, labels)


def test_cifar_10(ten, splits):
    source = open_source("cifar10", ten)
    assert source.shape == (32, 32, 3)
    assert source.class_names == CIFAR10_NAMES
    assert "python version" in source.notes[0]
    same(source, splits)


def test_the_copy_is_the_official_file_byte_for_byte_where_it_has_no_images(ten):
    """The MD5 of ``batches.meta`` in cifar-10-python.tar.gz, as loaders of that archive check it."""
    content = (ten / "batches.meta").read_bytes()
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == "5ff9c542aee3614f3951f8cda6e48888"


def test_cifar_100(tmp_path):
    splits = example_splits(100, 200, 100, 32, 32, 3)
    source = open_source("cifar100", write_cifar100_python(tmp_path, splits))
    assert source.class_names == CIFAR100_NAMES
    same(source, splits)


def test_arrays_that_lie_column_by_column(tmp_path, splits):
    same(open_source("cifar10", write_cifar10_python(tmp_path, splits, arrange=np.asfortranarray)), splits)


@pytest.mark.parametrize("protocol", [3, 4])
def test_saved_again_with_python_3(tmp_path, splits, protocol):
    folder = write_cifar10_python(tmp_path, splits, dump=partial(pickle.dumps, protocol=protocol))
    same(open_source("cifar10", folder), splits)


def test_without_the_list_of_names(ten, tmp_path):
    (ten / "batches.meta").unlink()
    assert open_source("cifar10", ten).class_names == CIFAR10_NAMES


def test_the_binary_version_goes_first(ten):
    (ten / "data_batch_1.bin").write_bytes(bytes(3073))
    with pytest.raises(NotFound, match=r"data_batch_2\.bin"):
        open_source("cifar10", ten)


def test_a_missing_batch(ten):
    (ten / "data_batch_4").unlink()
    with pytest.raises(NotFound, match="data_batch_4 is missing"):
        open_source("cifar10", ten)


def test_a_batch_cut_short(ten):
    path = ten / "data_batch_4"
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(Corrupt, match="data_batch_4 is cut short"):
        open_source("cifar10", ten)


def test_a_batch_that_would_run_a_command(ten):
    (ten / "data_batch_2").write_bytes(b"\x80\x02cposix\nsystem\nU\x02ls\x85R.")
    with pytest.raises(ConfigError, match=r"data_batch_2 is a pickle .*'posix\.system'"):
        open_source("cifar10", ten)


GOOD = {"data": planes(pixels(10, 32, 32, 3)), "labels": list(range(10))}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": [0] * 9}, "9 labels for 10 images"),
        ({"labels": [*range(9), 10]}, "holds the label 10"),
        ({"labels": [*range(9), -1]}, "holds the label -1"),
        ({"labels": ["a"] * 10}, "no list 'labels'"),
        ({"labels": "abc"}, "no list 'labels'"),
        ({"fine_labels": list(range(10)), "labels": 3}, "no list 'labels'"),
        ({"data": "abc"}, "no array 'data'"),
        ({"data": pixels(10, 3071)}, "no array 'data'"),
        ({"data": pixels(30720)}, "no array 'data'"),
        ({"data": pixels(1, 3072)[:0], "labels": []}, "no images"),
    ],
)
def test_a_batch_that_cannot_be(ten, change, sentence):
    (ten / "data_batch_2").write_bytes(python2_pickle({**GOOD, **change}))
    with pytest.raises(Corrupt, match=sentence):
        open_source("cifar10", ten)


@pytest.mark.parametrize("names", [["cat"], [3] * 10, "cat", ["cat"] * 10])
def test_names_that_cannot_be(ten, names):
    (ten / "batches.meta").write_bytes(python2_pickle({"label_names": names}))
    with pytest.raises((Corrupt, ConfigError), match=r"batches\.meta"):
        open_source("cifar10", ten)


def test_a_folder_of_class_folders_called_so_is_none(tmp_path):
    from tests.data.examples import save_picture

    for name in ("train", "test", "meta", "data_batch_1"):
        for index in range(4):
            save_picture(tmp_path / name / f"{index}.png", pixels(8, 8, 3, seed=index))
    assert open_source("words", tmp_path).class_names == ("data_batch_1", "meta", "test", "train")
