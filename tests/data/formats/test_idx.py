"""IDX files, plain and gzipped."""

import gzip
import os
import struct

import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from tests.data.downloads import SPELLINGS, example_splits, idx_bytes, write_emnist, write_idx
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
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (0, 28, 28)])
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


@pytest.mark.parametrize("packed", [False, True])
def test_emnist_is_transposed_and_its_letters_have_names(tmp_path, packed):
    splits = example_splits(26, 60, 52, 28, 28, 1)
    source = open_source("emnist", write_emnist(tmp_path, splits, packed=packed))
    assert_same(source, splits)
    assert source.class_names[:2] == ("A/a", "B/b")
    assert "EMNIST stores images transposed" in source.notes[1].text
    (tmp_path / "emnist-letters-mapping.txt").unlink()
    assert open_source("emnist", tmp_path).class_names == tuple(map(str, range(1, 27)))


def test_of_several_data_sets_one_is_named_by_its_file(tmp_path):
    letters, digits = example_splits(26, 60, 52, 28, 28, 1), example_splits(10, 40, 20, 28, 28, 1)
    write_emnist(tmp_path / "gzip", letters)
    folder = write_emnist(tmp_path / "gzip", digits, "digits", first=0)
    (folder / "emnist-digits-mapping.txt").write_text("".join(f"{n} {48 + n}\n" for n in range(10)))
    with pytest.raises(
        ConfigError, match=r"several data sets, emnist-digits-, emnist-letters-: pass .* --from"
    ):
        open_source("emnist", folder)
    source = open_source("mnist", folder / "emnist-digits-train-images-idx3-ubyte.gz")
    assert_same(source, digits)
    assert source.class_names == tuple("0123456789")
    assert_same(open_source("emnist", folder / "emnist-letters-test-labels-idx1-ubyte.gz"), letters)


def test_qmnist_has_its_classes_in_the_first_column(tmp_path, splits):
    for split, (images, labels) in splits.items():
        (tmp_path / f"qmnist-{split}-images-idx3-ubyte").write_bytes(idx_bytes(images[..., 0]))
        table = np.column_stack([labels, *[np.arange(len(labels))] * 7]).astype(">i4")
        header = struct.pack(">HBB2I", 0, 12, 2, *table.shape)
        (tmp_path / f"qmnist-{split}-labels-idx2-int").write_bytes(header + table.tobytes())
    assert_same(open_source("qmnist", tmp_path), splits)


@pytest.mark.parametrize(("code", "dtype"), [(9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
def test_other_types_and_coloured_images(tmp_path, code, dtype):
    splits = example_splits(10, 40, 20, 8, 8, 3)
    for split, part in (("train", "train"), ("test", "t10k")):
        images, labels = splits[split]
        stored = (images // 2 if code == 9 else images).astype(dtype)
        header = struct.pack(">HBB4I", 0, code, 4, *stored.shape)
        (tmp_path / f"{part}-images-idx4-ubyte").write_bytes(header + stored.tobytes())
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    source = open_source("own", tmp_path)
    found = whole(source, "train").images
    assert source.shape == (8, 8, 3)
    assert np.abs(found.astype(int) - splits["train"][0]).max() <= (2 if code == 9 else 0)
    assert "range" in [note.about for note in source.notes]


def test_a_set_of_few_grey_levels_is_not_black(tmp_path):
    splits = example_splits(10, 40, 20, 28, 28, 1)
    few = {split: (images // 16, labels) for split, (images, labels) in splits.items()}
    found = whole(open_source("own", write_idx(tmp_path, few)), "train").images
    assert (found == few["train"][0] * 17).all()
