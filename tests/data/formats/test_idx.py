"""IDX files, plain and gzipped."""

import gzip
import os
import struct

import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import Corrupt, NotFound
from tests.data.downloads import SPELLINGS, example_splits, write_idx
from tests.data.examples import assert_same, whole

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture
def splits():
    return example_splits(10, 40, 20, 28, 28, 1)


@pytest.mark.parametrize("inner", ["", "raw"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_gives_the_same_images(tmp_path, splits, spelling, packed, inner):
    write_idx(tmp_path / inner, splits, spelling, packed)
    source = open_source("mnist", tmp_path)
    assert source.shape == (28, 28, 1)
    assert source.class_names == tuple("0123456789")
    assert tuple(note.text for note in source.notes) == (
        f"{tmp_path} is read as MNIST's IDX files.",
        "It has 40 training and 20 test images; mnist as published has 60000 and 10000.",
    )
    assert_same(source, splits)
    assert open_source("fashion_mnist", tmp_path).class_names[9] == "Ankle boot"


def test_a_plain_file_is_preferred_to_a_packed_one(tmp_path, splits):
    write_idx(tmp_path, splits)
    (tmp_path / f"{TRAIN_IMAGES}.gz").write_bytes(b"left over")
    assert_same(open_source("mnist", tmp_path), splits)


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_file_is_found_while_reading(tmp_path, splits, packed):
    path = write_idx(tmp_path, splits, packed=packed) / (TRAIN_IMAGES + ".gz" * packed)
    content = path.read_bytes()
    whole_file = gzip.decompress(content) if packed else content
    damaged = [content[:200], content[:-1], content[:10]]
    for other in (whole_file[:-1], whole_file + b"x", b"\x00\x00\x0d\x03" + whole_file[4:]):
        damaged.append(gzip.compress(other) if packed else other)
    if packed:
        damaged += [content[:200] + bytes([content[200] ^ 4]) + content[201:], b"<html>404</html>" * 9]
    for changed in damaged:
        path.write_bytes(changed)
        with pytest.raises(Corrupt, match=TRAIN_IMAGES):
            whole(open_source("mnist", tmp_path), "train")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (40, 2**20, 28), (0, 28, 28)])
def test_a_header_that_declares_too_much_takes_no_memory(tmp_path, splits, shape, packed):
    write_idx(tmp_path, splits, packed=packed)
    content = struct.pack(">HBB3I", 0, 8, 3, *shape) + bytes(100)
    path = tmp_path / (TRAIN_IMAGES + ".gz" * packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(Corrupt, match="download"):
        open_source("mnist", tmp_path)


def test_too_many_labels_are_refused_unread(tmp_path, splits):
    write_idx(tmp_path, splits, packed=True)
    for name, axes in ((TRAIN_IMAGES, (2**27, 1, 1)), (TRAIN_LABELS, (2**27,))):
        header = struct.pack(f">HBB{len(axes)}I", 0, 8, len(axes), *axes)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(header) + os.urandom(2**17))
    with pytest.raises(Corrupt, match=r"labels.*impossible"):
        open_source("mnist", tmp_path)


def test_files_that_dont_match_or_are_missing_are_refused(tmp_path, splits):
    images, labels = splits["train"]
    write_idx(tmp_path, {**splits, "train": (images, labels[:-1])})
    with pytest.raises(Corrupt, match=r"40 images and .* 39 labels"):
        open_source("mnist", tmp_path)
    (write_idx(tmp_path, splits) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(NotFound, match="no t10k-labels-idx1-ubyte"):
        open_source("mnist", tmp_path)


def test_links_are_followed_inside_the_folder(tmp_path, splits):
    path = write_idx(tmp_path, splits) / TRAIN_IMAGES
    path.rename(tmp_path / "elsewhere")
    path.symlink_to("elsewhere")
    assert_same(open_source("mnist", tmp_path), splits)
