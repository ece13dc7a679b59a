import os

import numpy as np
import pytest

from rcig_cli.data.sources.folder import open_folder
from rcig_cli.errors import ConfigError, Corrupt, RcigError
from tests.data.examples import pixels, save_picture, whole


def fill(root, name, count, shape=(6, 6, 3), suffix="png"):
    for index in range(count):
        save_picture(root / name / f"{index:03}.{suffix}", pixels(*shape, seed=index))


@pytest.fixture
def split(tmp_path):
    for part, count in (("train", 4), ("test", 2)):
        for name in ("dog", "cat"):
            fill(tmp_path / part, name, count)
    return tmp_path


@pytest.fixture
def plain(tmp_path):
    fill(tmp_path, "dog", 20)
    fill(tmp_path, "cat", 10)
    return tmp_path


def test_a_split_folder_is_read_in_sorted_order(split):
    source = open_folder("pets", split)
    assert source.class_names == ("cat", "dog")
    assert source.sizes == {"train": 8, "test": 4}
    assert source.shape == (6, 6, 3)
    assert source.notes == ()
    train = whole(source, "train", 3)
    assert train.labels.tolist() == [0] * 4 + [1] * 4
    assert (train.images == np.stack([pixels(6, 6, 3, seed=index) for index in (0, 1, 2, 3) * 2])).all()


@pytest.mark.parametrize("name", ["val", "validation"])
def test_other_names_of_the_test_split(split, name):
    (split / "test").rename(split / name)
    assert open_folder("pets", split).sizes == {"train": 8, "test": 4}


def test_a_plain_folder_has_a_fifth_held_out(plain):
    source = open_folder("pets", plain)
    assert source.sizes == {"train": 24, "test": 6}
    assert np.bincount(source.labels("test")).tolist() == [2, 4]
    assert "fixed fifth of each class, 6 images" in source.notes[0]
    every = np.concatenate([whole(source, "train").images, whole(source, "test").images])
    due = [pixels(6, 6, 3, seed=index) for count in (10, 20) for index in range(count)]
    assert sorted(map(bytes, every)) == sorted(map(bytes, due))


def test_what_is_held_out_never_changes(plain):
    first, second = (whole(open_folder("pets", plain), "test").images for _ in range(2))
    assert (first == second).all()


def test_train_alone_is_split(split):
    for path in sorted((split / "test").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (split / "test").rmdir()
    source = open_folder("pets", split)
    assert source.sizes == {"train": 6, "test": 2}
    assert "held out" in source.notes[0]


def test_a_class_called_train_is_a_class(tmp_path):
    fill(tmp_path, "train", 5)
    fill(tmp_path, "plane", 5)
    assert open_folder("vehicles", tmp_path).class_names == ("plane", "train")


def test_images_may_lie_deeper(tmp_path):
    for part in ("train", "val"):
        for name in ("n01", "n02"):
            fill(tmp_path / part / name, "images", 2)
    assert open_folder("deep", tmp_path).sizes == {"train": 4, "test": 4}


def test_other_files_are_passed_over(split):
    (split / "train" / "cat" / "readme.txt").write_text("cats")
    (split / "train" / "cat" / ".hidden.png").write_bytes(b"no image")
    (split / "train" / ".cache").mkdir()
    (split / "train" / "labels.csv").write_text("")
    source = open_folder("pets", split)
    assert source.sizes["train"] == 8
    assert source.class_names == ("cat", "dog")


def test_links_that_lead_outside_are_passed_over_with_a_note(split, tmp_path_factory):
    outside = save_picture(tmp_path_factory.mktemp("outside") / "secret.png", pixels(6, 6, 3))
    cats = split / "train" / "cat"
    (cats / "outside.png").symlink_to(outside)
    (cats / "folder").symlink_to(outside.parent)
    (cats / "loop").symlink_to(split)
    (cats / "gone.png").symlink_to(split / "nowhere.png")
    (cats / "inside.png").symlink_to(cats / "000.png")
    source = open_folder("pets", split)
    assert source.sizes["train"] == 9
    assert source.notes[0].endswith(": 4.")


def test_a_linked_class_folder_is_no_class(split, tmp_path_factory):
    fill(tmp_path_factory.getbasetemp(), "elsewhere", 2)
    (split / "train" / "eel").symlink_to(tmp_path_factory.getbasetemp() / "elsewhere")
    assert open_folder("pets", split).class_names == ("cat", "dog")


def test_images_are_grey_only_if_all_are(tmp_path):
    fill(tmp_path, "a", 5, (6, 6))
    fill(tmp_path, "b", 5, (6, 6))
    assert open_folder("grey", tmp_path).shape == (6, 6, 1)
    save_picture(tmp_path / "b" / "colour.png", pixels(6, 6, 3))
    source = open_folder("mixed", tmp_path)
    assert source.shape == (6, 6, 3)
    assert (np.ptp(whole(source, "train").images, axis=3) == 0).sum() > 200


def test_mixed_sizes_become_the_smallest_side_with_a_note(tmp_path):
    fill(tmp_path, "a", 5, (12, 30, 3))
    fill(tmp_path, "b", 5, (20, 10, 3))
    source = open_folder("mixed", tmp_path)
    assert source.shape == (10, 10, 3)
    assert "10 x 10" in source.notes[-1]
    assert whole(source, "train").images.shape == (8, 10, 10, 3)


def test_large_images_become_64_pixels(tmp_path):
    for name in "ab":
        fill(tmp_path, name, 2, (90, 120, 3), "jpg")
    assert open_folder("large", tmp_path).shape == (64, 64, 3)


def test_a_known_name_has_a_resolution_of_its_own(tmp_path):
    fill(tmp_path, "a", 5, (12, 30, 3))
    fill(tmp_path, "b", 5, (20, 10, 3))
    assert open_folder("caltech_birds2011", tmp_path).shape == (32, 32, 3)


def test_a_resolution_goes_before_everything(split):
    source = open_folder("pets", split, 4)
    assert source.shape == (4, 4, 3)
    assert whole(source, "test").images.shape == (4, 4, 4, 3)


def test_a_folder_without_classes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="0 class folders"):
        open_folder("none", tmp_path)


def test_a_single_class_is_refused(tmp_path):
    fill(tmp_path, "cat", 5)
    with pytest.raises(ConfigError, match="1 class folders"):
        open_folder("one", tmp_path)


def test_an_empty_class_is_refused(split):
    (split / "train" / "eel").mkdir()
    with pytest.raises(ConfigError, match="eel holds no images"):
        open_folder("pets", split)


def test_a_test_class_without_training_images_is_refused(split):
    fill(split / "test", "eel", 1)
    with pytest.raises(ConfigError, match="eel is a class without training"):
        open_folder("pets", split)


def test_an_empty_test_split_is_refused(split):
    for path in (split / "test").rglob("*.png"):
        path.unlink()
    with pytest.raises(ConfigError, match="holds no images"):
        open_folder("pets", split)


def test_too_few_images_to_hold_any_out(tmp_path):
    for name in "ab":
        fill(tmp_path, name, 1)
    with pytest.raises(ConfigError, match="too few images"):
        open_folder("few", tmp_path)


def test_a_damaged_image_is_named(split):
    path = split / "train" / "dog" / "001.png"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(Corrupt, match=r"dog/001\.png"):
        whole(open_folder("pets", split), "train")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(split):
    (split / "train" / "dog").chmod(0)
    with pytest.raises(RcigError, match="can't be read"):
        open_folder("pets", split)


def test_folders_of_classes_or_splits_that_lead_out(split, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (split / "test" / "cat").rename(outside / "cat")
    (split / "test" / "cat").symlink_to(outside / "cat")
    source = open_folder("pets", split)
    assert source.sizes == {"train": 8, "test": 2}
    assert source.notes[0].endswith(": 1.")
    (split / "train").rename(outside / "train")
    (split / "train").symlink_to(outside / "train")
    with pytest.raises(ConfigError, match="holds no images"):
        open_folder("pets", split)
