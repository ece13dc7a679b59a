"""Class folders of image files."""

import os
import shutil
import threading

import numpy as np
import pytest

from rcig_cli.data.sources import image_files
from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.source import Note
from rcig_cli.errors import ConfigError, Corrupt, RcigError
from tests.data.examples import pixels, save_picture, whole


def fill(root, name, count, shape=(6, 6, 3)):
    for index in range(count):
        save_picture(root / name / f"{index:03}.png", pixels(*shape, seed=index))


@pytest.fixture
def split(tmp_path):
    for part, count in (("train", 4), ("test", 2)):
        for name in ("dog", "cat"):
            fill(tmp_path / "pets" / part, name, count)
    return tmp_path / "pets"


def test_a_split_folder_is_read_in_sorted_order(split):
    source = open_source("pets", split)
    assert source.class_names == ("cat", "dog")
    assert source.sizes == {"train": 8, "test": 4}
    assert source.shape == (6, 6, 3)
    assert source.notes == (Note("format", f"{split} is read as class folders."),)
    train = whole(source, "train", 3)
    assert train.labels.tolist() == [0] * 4 + [1] * 4
    assert (train.images == np.stack([pixels(6, 6, 3, seed=index) for index in (0, 1, 2, 3) * 2])).all()


def test_a_folder_without_a_split_has_a_fifth_held_out(tmp_path):
    fill(tmp_path, "train", 20)  # the name of a class here, because it holds images
    fill(tmp_path, "plane", 10)
    source = open_source("vehicles", tmp_path)
    assert source.class_names == ("plane", "train")
    assert source.sizes == {"train": 24, "test": 6}
    assert np.bincount(source.labels("test")).tolist() == [2, 4]
    assert "fixed fifth of each class, 6 images" in source.notes[1].text
    test = whole(source, "test").images
    assert (test == whole(open_source("vehicles", tmp_path), "test").images).all()
    every = np.concatenate([whole(source, "train").images, test])
    due = [pixels(6, 6, 3, seed=index) for count in (10, 20) for index in range(count)]
    assert sorted(map(bytes, every)) == sorted(map(bytes, due))


def test_other_files_and_links_that_lead_outside_are_skipped(split, tmp_path_factory):
    cats = split / "train" / "cat"
    (cats / "readme.txt").write_text("cats")
    (cats / ".hidden.png").write_bytes(b"no image")
    (split / "train" / ".cache").mkdir()
    (split / "train" / "labels.csv").write_text("")
    outside = save_picture(tmp_path_factory.mktemp("outside") / "secret.png", pixels(6, 6, 3))
    (cats / "outside.png").symlink_to(outside)
    (cats / "folder").symlink_to(outside.parent)
    (cats / "loop").symlink_to(split)
    (cats / "gone.png").symlink_to(split / "nowhere.png")
    (cats / "inside.png").symlink_to(cats / "000.png")
    (split / "train" / "eel").symlink_to(outside.parent)
    source = open_source("pets", split)
    assert source.sizes["train"] == 9
    assert source.class_names == ("cat", "dog")
    assert source.notes[1].text.startswith("Links skipped")
    assert source.notes[1].text.endswith(": 4.")


def test_folders_of_classes_or_splits_that_lead_out(split, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (split / "test" / "cat").rename(outside / "cat")
    (split / "test" / "cat").symlink_to(outside / "cat")
    source = open_source("pets", split)
    assert source.sizes == {"train": 8, "test": 2}
    assert source.notes[1].text.endswith(": 1.")
    (split / "train").rename(outside / "train")
    (split / "train").symlink_to(outside / "train")
    with pytest.raises(ConfigError, match="no images in its train split"):
        open_source("pets", split)


def test_images_are_grey_only_if_all_are(tmp_path):
    fill(tmp_path, "a", 5, (6, 6))
    fill(tmp_path, "b", 5, (6, 6))
    assert open_source("grey", tmp_path).shape == (6, 6, 1)
    save_picture(tmp_path / "b" / "colour.png", pixels(6, 6, 3))
    source = open_source("mixed", tmp_path)
    assert source.shape == (6, 6, 3)
    assert (np.ptp(whole(source, "train").images, axis=3) == 0).sum() > 200


def test_the_side_of_images_of_mixed_sizes(tmp_path):
    fill(tmp_path, "a", 5, (12, 30, 3))
    fill(tmp_path, "b", 5, (20, 10, 3))
    source = open_source("mixed", tmp_path)
    assert source.shape == (10, 10, 3)
    assert "10 x 10" in source.notes[-1].text
    assert whole(source, "train").images.shape == (8, 10, 10, 3)
    assert open_source("caltech_birds2011", tmp_path).shape == (32, 32, 3)


def test_folders_that_are_no_data_set_are_refused(split):
    def refused(said):
        with pytest.raises(ConfigError, match=said):
            open_source("pets", split)

    (split / "train" / "eel").mkdir()
    refused("no training image of the class 'eel'")
    (split / "train" / "eel").rename(split / "test" / "eel")
    refused("no training image of the class 'eel'")
    shutil.rmtree(split / "test")
    (split / "test").mkdir()
    refused("no images in its test split")
    (split / "test").rmdir()
    for name in ("cat", "dog"):
        for path in list((split / "train" / name).iterdir())[1:]:
            path.unlink()
    refused("too few images")
    shutil.rmtree(split / "train" / "dog")
    refused("1 class folders")
    fill(split / "train", os.fsdecode(b"no\xff"), 6)
    refused("unprintable")


def test_a_damaged_image_is_named(split):
    path = split / "train" / "dog" / "001.png"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(Corrupt, match=r"dog/001\.png"):
        whole(open_source("pets", split), "train")


def test_files_of_a_class_are_sorted_by_path_and_read_from_any_batch(tmp_path):
    names = ("a/9.png", "a-b/0.png", "a.png", "b/1.png", "b.png")
    for grey, name in enumerate(names):
        save_picture(tmp_path / "x" / name, np.full((4, 4), grey, np.uint8))
    fill(tmp_path, "y", 20, (4, 4))
    source = open_source("sorted", tmp_path)
    every = whole(source, "train")
    found = every.images[every.labels == 0, 0, 0, 0].tolist()
    assert found == sorted(found)
    rest = list(source.batches_from("train", 3, 6))
    assert np.concatenate([batch.images for batch in rest]).tolist() == every.images[6:].tolist()


def test_large_images_are_decoded_by_fewer_threads(tmp_path, monkeypatch):
    """All threads together hold at most `MOST_PIXELS` pixels."""
    fill(tmp_path, "a", 8, (40, 40, 3))
    fill(tmp_path, "b", 8, (20, 20, 3))
    monkeypatch.setattr(image_files, "MOST_PIXELS", 2 * 40 * 40)
    monkeypatch.setattr(image_files, "_DECODERS", 8)
    names, read = set(), image_files.read_picture
    monkeypatch.setattr(
        image_files, "read_picture", lambda *a, **k: (names.add(threading.get_ident()), read(*a, **k))[1]
    )
    whole(open_source("large", tmp_path), "train", 12)
    assert len(names) <= 2


ODD = {
    "pipe": os.mkfifo,
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to itself": lambda path: path.symlink_to(path),
    "folder": os.mkdir,
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_regular_file_is_skipped_and_later_refused(split, odd):
    ODD[odd](split / "train" / "cat" / "odd.png")
    source = open_source("pets", split)
    assert source.sizes["train"] == 8
    (split / "train" / "cat" / "000.png").unlink()
    ODD[odd](split / "train" / "cat" / "000.png")
    with pytest.raises(RcigError, match=r"000\.png can't be read"):
        whole(source, "train")
