import gzip
import os
import struct

import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from tests.data.downloads import SPELLINGS, example_splits, idx_bytes, write_idx
from tests.data.examples import whole

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def splits():
    return example_splits(10, 40, 20, 28, 28, 1)


def same(source, splits):
    for split, (images, labels) in splits.items():
        found = whole(source, split)
        np.testing.assert_array_equal(found.images, images)
        np.testing.assert_array_equal(found.labels, labels)


@pytest.mark.parametrize("inner", ["", "raw"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_gives_the_same_images(tmp_path, splits, spelling, packed, inner):
    write_idx(tmp_path / inner, splits, spelling, packed)
    source = open_source("mnist", tmp_path)
    assert source.shape == (28, 28, 1)
    assert source.class_names == tuple("0123456789")
    assert source.notes == (
        f"{tmp_path} is read as MNIST's IDX files.",
        "It has 40 training and 20 test images; mnist as published has 60000 and 10000.",
    )
    same(source, splits)


def test_fashion_mnist_has_names(tmp_path, splits):
    source = open_source("fashion_mnist", write_idx(tmp_path, splits))
    assert source.class_names[0] == "T-shirt/top"
    assert source.class_names[9] == "Ankle boot"


def test_other_data_may_come_so_too(tmp_path):
    splits = example_splits(3, 12, 6, 10, 14, 1)
    source = open_source("shapes", write_idx(tmp_path, splits))
    assert source.class_names == ("0", "1", "2")
    assert source.shape == (10, 10, 1)
    np.testing.assert_array_equal(whole(source, "train").images, splits["train"][0][:, :, 2:12])


def test_a_plain_file_goes_before_a_packed_one(tmp_path, splits):
    write_idx(tmp_path, splits)
    for name in (TRAIN_IMAGES, TRAIN_LABELS):
        (tmp_path / f"{name}.gz").write_bytes(b"left over")
    same(open_source("mnist", tmp_path), splits)


def test_pieces_are_small_however_large_the_batch(tmp_path):
    """What is read at once doesn't grow with the batch: 40 images of a megabyte each, 16 at a time."""
    images = np.zeros((40, 1024, 1024, 1), np.uint8)
    splits = {"train": (images, np.arange(40) % 2), "test": (images[:2], np.arange(2))}
    source = open_source("large", write_idx(tmp_path, splits), resolution=8)
    sizes = [len(block) for block in source._records["train"].blocks(source._rows)]
    assert sizes == [16, 16, 8]
    assert whole(source, "train", 30).images.shape == (40, 8, 8, 1)


@pytest.mark.parametrize("cut", [1, 100, 784 * 40, 784 * 40 + 10])
def test_a_file_cut_short(tmp_path, splits, cut):
    path = write_idx(tmp_path, splits) / TRAIN_IMAGES
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(Corrupt, match=TRAIN_IMAGES):
        open_source("mnist", tmp_path)


def test_a_file_with_more_than_its_header_says(tmp_path, splits):
    path = write_idx(tmp_path, splits) / TRAIN_IMAGES
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(Corrupt, match="isn't as large"):
        open_source("mnist", tmp_path)


@pytest.mark.parametrize("where", [20, 200, -9, -1])
def test_a_packed_file_cut_or_flipped_is_found_while_reading(tmp_path, splits, where):
    path = write_idx(tmp_path, splits, packed=True) / f"{TRAIN_IMAGES}.gz"
    content = bytearray(path.read_bytes())
    content[where] ^= 4
    for damaged in (content, path.read_bytes()[:where]):
        path.write_bytes(damaged)
        with pytest.raises(Corrupt, match=TRAIN_IMAGES):
            whole(open_source("mnist", tmp_path), "train")


@pytest.mark.parametrize("change", [-1, 1])
def test_a_packed_file_that_holds_another_number_of_images(tmp_path, splits, change):
    images, _ = splits["train"]
    path = write_idx(tmp_path, splits, packed=True) / f"{TRAIN_IMAGES}.gz"
    header = idx_bytes(images[..., 0])[:16]
    content = images.tobytes() + b"x" if change > 0 else images.tobytes()[:-1]
    path.write_bytes(gzip.compress(header + content))
    with pytest.raises(Corrupt, match=TRAIN_IMAGES):
        whole(open_source("mnist", tmp_path), "train")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "shape", [(2**32 - 1, 2**32 - 1, 2**32 - 1), (2**31, 28, 28), (40, 2**20, 28), (0, 28, 28)]
)
def test_a_header_that_lies_takes_no_memory(tmp_path, splits, shape, packed):
    write_idx(tmp_path, splits, packed=packed)
    content = struct.pack(">HBB3I", 0, 8, 3, *shape) + bytes(100)
    path = tmp_path / (TRAIN_IMAGES + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(Corrupt, match=TRAIN_IMAGES):
        open_source("mnist", tmp_path)


def test_labels_that_unpack_without_end(tmp_path, splits):
    write_idx(tmp_path, splits, packed=True)
    count = 2**27
    header = struct.pack(">HBB3I", 0, 8, 3, count, 1, 1)
    (tmp_path / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(header) + os.urandom(count // 1000))
    header = struct.pack(">HBB1I", 0, 8, 1, count)
    (tmp_path / f"{TRAIN_LABELS}.gz").write_bytes(gzip.compress(header) + os.urandom(count // 1000))
    with pytest.raises(Corrupt, match=r"labels.*can't be"):
        open_source("mnist", tmp_path)


@pytest.mark.parametrize("head", [b"\x00\x00\x0d\x03", b"\x00\x00\x08\x01", b"\x1f\x8b\x08\x00", b"<htm"])
def test_another_kind_of_file(tmp_path, splits, head):
    path = write_idx(tmp_path, splits) / TRAIN_IMAGES
    path.write_bytes(head + path.read_bytes()[4:])
    with pytest.raises(Corrupt, match="no IDX file of 3 axes"):
        open_source("mnist", tmp_path)


def test_a_page_instead_of_a_packed_file(tmp_path, splits):
    path = write_idx(tmp_path, splits, packed=True) / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(b"<html>404</html>" * 9)
    with pytest.raises(Corrupt, match=r"no \.gz file"):
        open_source("mnist", tmp_path)


def test_images_and_labels_of_different_number(tmp_path, splits):
    write_idx(tmp_path, splits)
    (tmp_path / TRAIN_LABELS).write_bytes(idx_bytes(splits["train"][1][:-1]))
    with pytest.raises(Corrupt, match=r"40 images and .* 39 labels"):
        open_source("mnist", tmp_path)


def test_splits_of_different_sizes(tmp_path, splits):
    images, labels = example_splits(10, 40, 20, 20, 20, 1)["test"]
    write_idx(tmp_path, {**splits, "test": (images, labels)})
    with pytest.raises(ConfigError, match="different sizes"):
        open_source("mnist", tmp_path)


def test_a_class_without_training_images(tmp_path, splits):
    images, labels = splits["train"]
    write_idx(tmp_path, {**splits, "train": (images, np.where(labels == 4, 3, labels))})
    with pytest.raises(ConfigError, match="class 4"):
        open_source("mnist", tmp_path)


def test_a_single_class(tmp_path, splits):
    write_idx(tmp_path, {split: (images, labels * 0) for split, (images, labels) in splits.items()})
    with pytest.raises(ConfigError, match="a single class"):
        open_source("mnist", tmp_path)


def test_a_missing_file_is_named(tmp_path, splits):
    write_idx(tmp_path, splits)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(NotFound, match="no t10k-labels-idx1-ubyte"):
        open_source("mnist", tmp_path)


def test_a_link_that_leads_out(tmp_path, splits):
    inside = write_idx(tmp_path / "mnist", splits)
    (inside / TRAIN_IMAGES).rename(tmp_path / "elsewhere")
    (inside / TRAIN_IMAGES).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="leads out of"):
        open_source("mnist", inside)


def test_a_link_inside_the_folder_is_followed(tmp_path, splits):
    write_idx(tmp_path, splits)
    (tmp_path / TRAIN_IMAGES).rename(tmp_path / "elsewhere")
    (tmp_path / TRAIN_IMAGES).symlink_to(tmp_path / "elsewhere")
    same(open_source("mnist", tmp_path), splits)


def test_a_link_in_a_circle(tmp_path, splits):
    path = write_idx(tmp_path, splits) / TRAIN_IMAGES
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(Exception, match="can't be read") as caught:
        open_source("mnist", tmp_path)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_in_place_of_a_file(tmp_path, splits, make):
    path = write_idx(tmp_path, splits) / TRAIN_IMAGES
    path.unlink()
    make(path)
    with pytest.raises(Exception, match=TRAIN_IMAGES) as caught:
        open_source("mnist", tmp_path)
    assert caught.value.exit_code in (1, 2)
