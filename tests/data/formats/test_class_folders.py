"""Class folders of image files."""

import os
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from rcig_cli.data.sources import image_files
from rcig_cli.data.sources.opening import digest_of_files, open_source
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.errors import ConfigError, Corrupt, RcigError
from rcig_cli.store.store import open_store
from tests.data.examples import pixels, save_picture, whole


def fill(root, name, count, shape=(6, 6, 3)):
    for index in range(count):
        save_picture(root / name / f"{index:03}.png", pixels(*shape, seed=index))


def notes(source, about):
    return " ".join(note.text for note in source.notes if note.about == about)


def refused(path, said, name="mine", **options):
    with pytest.raises(ConfigError, match=said):
        open_source(name, path, ReadOptions(**options))


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
    assert [(note.about, note.text) for note in source.notes] == [
        ("format", f"{split} is read as a folder of image files."),
        ("splits", "The test split is test."),
        ("classes", "Classes are sorted by name."),
    ]
    train = whole(source, "train", 3)
    assert train.labels.tolist() == [0] * 4 + [1] * 4
    assert (train.images == np.stack([pixels(6, 6, 3, seed=index) for index in (0, 1, 2, 3) * 2])).all()


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("TRAIN", "Test"),
        ("train", "valid"),
        ("train", "eval"),
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("train2017", "val2017"),
        ("trn", "tst"),
        ("Training/images", "dev/images"),
        ("asl_train/asl_train", "asl_test/asl_test"),
    ],
)
def test_split_folders_in_any_case_and_variant(tmp_path, train, test):
    for part, count in ((train, 3), (test, 2)):
        fill(tmp_path / part, "glioma", count)
        fill(tmp_path / part, "notumor", count)
    source = open_source("tumors", tmp_path)
    assert source.class_names == ("glioma", "notumor")
    assert source.sizes == {"train": 6, "test": 4}
    assert f"The test split is {test.split('/')[0]}." in notes(source, "splits")


def test_words_for_splits_are_classes_where_they_are_not_splits(tmp_path):
    for name in ("bus", "car", "train"):
        fill(tmp_path, name, 10)
    assert open_source("vehicles", tmp_path).class_names == ("bus", "car", "train")
    fill(tmp_path / "train", "steam", 4)
    fill(tmp_path / "train", "diesel", 4)
    refused(tmp_path, "train may be a training split, or a class beside 2 .bus, car.")


def test_the_test_split_is_the_one_for_testing_if_it_has_classes(split):
    fill(split / "val", "cat", 3)
    fill(split / "val", "dog", 3)
    source = open_source("pets", split)
    assert source.sizes["test"] == 4
    assert "The split val is not used. The test split is test." in notes(source, "splits")
    shutil.rmtree(split / "test")
    fill(split, "test", 9)  # without classes
    source = open_source("pets", split)
    assert source.sizes["test"] == 6
    assert "The split test has no classes and is not used." in notes(source, "splits")
    shutil.rmtree(split / "val")
    source = open_source("pets", split)
    assert source.sizes == {"train": 6, "test": 2}
    assert "a fixed fifth of each class" in notes(source, "splits")


@pytest.mark.parametrize("names", [("unknown/1", "unknown/2"), ("a_1", "a_2", "b_1", "b_2"), ("images/1",)])
def test_a_test_split_without_classes_is_not_used(split, names):
    shutil.rmtree(split / "test")
    for name in names:
        save_picture(split / "test" / f"{name}.png", pixels(6, 6, 3))
    source = open_source("pets", split)
    assert source.sizes == {"train": 6, "test": 2}
    assert "The split test has no classes and is not used." in notes(source, "splits")


def test_splits_that_could_be_several_are_refused(split):
    (split / "test").rename(split / "Train")
    refused(split, "several splits for the same purpose, Train and train")
    (split / "Train").rename(split / "Test")
    shutil.copytree(split / "Test", split / "testing")
    refused(split, "several splits for the same purpose, Test and testing")
    shutil.rmtree(split / "train")
    refused(split, "no training images, only Test and testing")


def test_images_without_classes_are_refused_with_the_way_out(tmp_path):
    fill(tmp_path, "train", 4)
    fill(tmp_path, "test", 4)
    refused(tmp_path, "two or more classes. .* --labels FILE")
    shutil.rmtree(tmp_path / "test")
    (tmp_path / "train" / "000.png").rename(tmp_path / "000.png")
    shutil.rmtree(tmp_path / "train")
    (tmp_path / "labels.csv").write_text("file,label\n")
    refused(tmp_path, f"two or more classes. .* --labels {tmp_path}/labels.csv")


def test_classes_of_the_test_split_must_be_known_from_the_training_split(split):
    fill(split / "test", "eel", 2)
    refused(split, "test split .* without training images: 1 .eel.")
    (split / "test" / "eel").rename(split / "train" / "eel")
    source = open_source("pets", split)
    assert source.class_names == ("cat", "dog", "eel")
    assert "Classes without test images: 1 (eel)." in notes(source, "splits")


def test_images_outside_of_splits_and_classes_are_counted(split):
    fill(split, "samples", 2)
    save_picture(split / "cover.png", pixels(6, 6, 3))
    save_picture(split / "train" / "overview.png", pixels(6, 6, 3))
    (split / "train" / "eel").mkdir()
    (split / "__MACOSX" / "train").mkdir(parents=True)
    (split / ".DS_Store").touch()
    (split / "Thumbs.db").touch()
    (split / "train" / "labels.csv").touch()
    source = open_source("pets", split)
    assert source.sizes == {"train": 8, "test": 4}
    skipped = notes(source, "skipped")
    assert f"Images in {split} outside of the splits, ignored: 3. Their folders: 1 (samples)." in skipped
    assert f"Images in {split / 'train'} outside of the class folders, ignored: 1." in skipped
    assert f"Folders in {split / 'train'} without images: 1 (eel)." in skipped
    assert f"Files in {split} that are not images, ignored: 1 .csv, 1 .db." in skipped
    assert "Hidden or system entries, or stores" in skipped
    for index in range(30):
        save_picture(split / "train" / f"{index}.png", pixels(6, 6, 3))
    refused(split, "Most images in .*/train are outside of its folders")


def test_a_test_split_without_images_is_not_used(split):
    for path in split.glob("test/*/*.png"):
        path.unlink()
    source = open_source("pets", split)
    assert source.sizes == {"train": 6, "test": 2}
    assert f"Folders in {split} without images: 1 (test)." in notes(source, "skipped")


def test_an_archives_wrapper_is_entered(split):
    wrapped = split.parent / "wrapped"
    (wrapped / "archive").mkdir(parents=True)
    split.rename(wrapped / "archive" / "pets")
    (wrapped / "README.md").touch()
    (wrapped / "__MACOSX").mkdir()
    source = open_source("pets", wrapped)
    assert (source.class_names, source.sizes) == (("cat", "dog"), {"train": 8, "test": 4})
    assert f"The images are in {wrapped}/archive/pets." in notes(source, "format")


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (("fold 1", "fold 2"), ("cat", "dog")),
        (("train/photo", "train/sketch"), ("cat", "dog")),
        (("cat", "dog"), ("test", "train")),
        (("amazon/images", "webcam/images"), ("bike", "mug")),
    ],
)
def test_folders_that_could_be_splits_or_classes_are_refused(tmp_path, outer, inner):
    for folder in outer:
        for name in inner:
            fill(tmp_path / folder, name, 3)
    refused(tmp_path, rf"have the same folders in them, 2 \({', '.join(inner)}\), so either may be")


def test_splits_in_one_of_several_folders_are_refused(tmp_path):
    for name in ("original/train/cat", "original/train/dog", "original/test/cat", "augmented/train/cat"):
        fill(tmp_path, name, 3)
    refused(tmp_path, r"original has the splits 2 \(test, train\) in it, beside 1 \(augmented\): rearrange")


def test_a_copy_inside_of_the_folder_is_not_a_class(tmp_path):
    for name in ("cat", "dog", "pets/cat", "pets/dog"):
        fill(tmp_path / "pets", name, 3)
    refused(
        tmp_path, r"pets/pets and the folder around it both have 2 \(cat, dog\) in them: .* remove the copy"
    )
    shutil.rmtree(tmp_path / "pets" / "pets")
    fill(tmp_path / "pets", "cat/cat", 3)
    assert open_source("pets", tmp_path).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("names", "general"),
    [
        (("train/images", "train/masks"), "images"),
        (("train/annotations/trimaps", "train/images"), "images"),
        (("images_001", "images_002"), "images_001"),
        (("set_images_part_1", "set_images_part_2"), "set_images_part_1"),
        (("batch 1", "batch 2"), "batch 1"),
    ],
)
def test_folders_named_after_images_or_parts_are_no_classes(tmp_path, names, general):
    for name in names:
        fill(tmp_path, name, 3)
    refused(tmp_path, f"{general} doesn't look like a class. .* pass .*/{general} with --from")


def test_masks_beside_their_images_are_not_used(tmp_path):
    for name in ("benign", "normal"):
        for number in range(5):
            for end in ("", "_mask", "_mask_1"):
                save_picture(tmp_path / name / f"{name} ({number}){end}.png", pixels(6, 6, 3, seed=number))
        save_picture(tmp_path / name / "with_mask.png", pixels(6, 6, 3))
    source = open_source("scans", tmp_path)
    assert sum(source.sizes.values()) == 12
    assert f"Masks of other images in {tmp_path}, ignored: 20 (benign/benign (0)_mask.png, " in notes(
        source, "skipped"
    )


def test_folders_in_class_folders_belong_to_the_class(tmp_path):
    for name in ("cat/all/siamese", "cat/all/persian", "dog/pug", "dog/poodle"):
        fill(tmp_path, name, 5)
    source = open_source("pets", tmp_path)
    assert source.class_names == ("cat", "dog")
    told = notes(source, "classes")
    assert "not the folders in those: 4 (cat/all/persian, cat/all/siamese, dog/poodle, ...)." in told


def test_numbered_folders_are_sorted_as_numbers(tmp_path):
    for number in range(12):
        fill(tmp_path / "train", str(number), 2)
        fill(tmp_path / "test", f"{number:02}", 1)
    source = open_source("sketches", tmp_path)
    assert source.class_names == tuple(map(str, range(12)))
    assert source.labels("test").tolist() == list(range(12))


def test_a_known_set_keeps_its_published_order(tmp_path):
    for number, name in enumerate(["Ankle boot", "T-shirt_top", "trouser"]):
        fill(tmp_path, name, 5 + number, (28, 28))
    source = open_source("fashion_mnist", tmp_path)
    assert source.class_names == ("T-shirt/top", "Trouser", "Ankle boot")
    assert (np.bincount(source.labels("train")) + np.bincount(source.labels("test"))).tolist() == [6, 7, 5]
    fill(tmp_path, "socks", 5, (28, 28))
    refused(tmp_path, "the class 'socks'", "fashion_mnist")


def test_images_are_recognized_by_their_first_bytes(tmp_path):
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"):
        path = tmp_path / "a" / f"{kind}.jpg?w=300"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            Image.fromarray(pixels(6, 6, 3)).save(file, kind)
        (tmp_path / "b").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "b" / kind)  # without an ending
        (tmp_path / "a" / f"{kind}.txt").write_bytes(b"BMW P5 GIF " + bytes(40))
    source = open_source("mine", tmp_path)
    assert sum(source.sizes.values()) == 16
    assert whole(source, "train").images.shape == (13, 6, 6, 3)
    assert "ignored: 8 .txt." in notes(source, "skipped")


def test_a_folder_without_a_split_has_a_fifth_held_out(tmp_path):
    fill(tmp_path, "train", 20)  # the name of a class here, because it holds images
    fill(tmp_path, "plane", 10)
    source = open_source("vehicles", tmp_path)
    assert source.class_names == ("plane", "train")
    assert source.sizes == {"train": 24, "test": 6}
    assert np.bincount(source.labels("test")).tolist() == [2, 4]
    assert "fixed fifth of each class, 6 images" in notes(source, "splits")
    test = whole(source, "test").images
    assert (test == whole(open_source("vehicles", tmp_path), "test").images).all()
    every = np.concatenate([whole(source, "train").images, test])
    due = [pixels(6, 6, 3, seed=index) for count in (10, 20) for index in range(count)]
    assert sorted(map(bytes, every)) == sorted(map(bytes, due))


def test_a_store_inside_of_the_folder_is_no_part_of_the_data(tmp_path):
    for name in "ab":
        fill(tmp_path, name, 5)
    open_store(tmp_path / "artifacts", create=True)
    fill(tmp_path / "artifacts" / "datasets", "mine", 5)
    for name in "ab":  # files of that name in folders of images are no stores
        (tmp_path / name / "store.json").touch()
    before = digest_of_files(tmp_path)
    fill(tmp_path / "artifacts" / "datasets", "mine", 6)
    (tmp_path / ".DS_Store").write_text("x")
    assert open_source("mine", tmp_path).class_names == ("a", "b")
    assert digest_of_files(tmp_path) == before


def test_a_class_of_images_that_are_not_read_is_refused(tmp_path):
    for name in "ab":
        fill(tmp_path, name, 5)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").touch()
    assert open_source("mine", tmp_path).class_names == ("a", "b")
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "IMG_1.HEIC").touch()
    refused(tmp_path, r"phone has only images in formats .* such as phone/IMG_1.HEIC: convert them")


def test_accented_names_are_the_same_however_they_are_stored(tmp_path):
    forms = {"train": "cafe\u0301", "test": "caf\u00e9"}
    for part, name in forms.items():
        fill(tmp_path / part, name, 3)
        fill(tmp_path / part, "bar", 3)
    source = open_source("mine", tmp_path)
    assert source.class_names == ("bar", "caf\u00e9")
    assert source.sizes == {"train": 6, "test": 6}
    assert whole(source, "test").labels.tolist() == [0] * 3 + [1] * 3
    fill(tmp_path / "train", forms["test"], 1)
    refused(tmp_path, "whose names look the same")


def test_links_to_files_inside_the_folder_are_followed_and_others_named(split, tmp_path_factory):
    cats = split / "train" / "cat"
    outside = save_picture(tmp_path_factory.mktemp("outside") / "secret.png", pixels(6, 6, 3))
    (cats / "outside.png").symlink_to(outside)
    (cats / "folder").symlink_to(outside.parent)
    (cats / "loop").symlink_to(split)
    (cats / "gone.png").symlink_to(split / "nowhere.png")
    (cats / "inside.png").symlink_to(cats / "000.png")
    (split / "train" / "eel").symlink_to(split / "train" / "dog")
    source = open_source("pets", split)
    assert source.sizes == {"train": 9, "test": 4}
    assert source.class_names == ("cat", "dog")
    named = "5 (train/cat/folder, train/cat/gone.png, train/cat/loop, ...)"
    assert f"ignored: {named}. To use what they lead to, copy it there." in notes(source, "skipped")


def test_classes_that_are_links_are_refused(tmp_path):
    for name in ("cat", "dog"):
        fill(tmp_path / "raw" / name, "", 5)
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / name).symlink_to(tmp_path / "raw" / name)
    refused(tmp_path / "train", r"no image files.*Links .* 2 \(cat, dog\)")


def test_a_split_that_leads_out_is_not_read(split, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (split / "train").rename(outside / "train")
    (split / "train").symlink_to(outside / "train")
    refused(split, "no training images, only test")


def test_images_are_grey_only_if_all_are(tmp_path):
    fill(tmp_path, "a", 5, (6, 6))
    fill(tmp_path, "b", 5, (6, 6))
    assert open_source("grey", tmp_path).shape == (6, 6, 1)
    save_picture(tmp_path / "b" / "colour.png", pixels(6, 6, 3))
    source = open_source("mixed", tmp_path)
    assert source.shape == (6, 6, 3)
    assert (np.ptp(whole(source, "train").images, axis=3) == 0).sum() > 200
    assert "Grey images among coloured ones, converted to RGB: 10." in notes(source, "layout")
    save_picture(tmp_path / "b" / "alpha.png", pixels(6, 6, 4))
    assert "transparency, composited over white: 1." in notes(open_source("mixed", tmp_path), "layout")


def test_the_side_of_images_of_mixed_sizes(tmp_path):
    fill(tmp_path, "a", 5, (12, 30, 3))
    fill(tmp_path, "b", 5, (20, 10, 3))
    source = open_source("mixed", tmp_path)
    assert source.shape == (10, 10, 3)
    assert "10 x 10" in notes(source, "size")
    assert whole(source, "train").images.shape == (8, 10, 10, 3)
    assert open_source("caltech_birds2011", tmp_path).shape == (32, 32, 3)


def test_a_single_tiny_image_does_not_set_the_size(tmp_path):
    fill(tmp_path, "a", 10, (32, 32, 3))
    fill(tmp_path, "b", 10, (32, 32, 3))
    save_picture(tmp_path / "b" / "tiny.png", pixels(1, 1, 3))
    assert open_source("sizes", tmp_path).shape == (32, 32, 3)


def test_folders_that_are_no_data_set_are_refused(split):
    for name in ("cat", "dog"):
        for path in list((split / "train" / name).iterdir())[1:]:
            path.unlink()
    shutil.rmtree(split / "test")
    refused(split, "too few images")
    shutil.rmtree(split / "train" / "dog")
    refused(split, "two or more classes")
    fill(split / "train", os.fsdecode(b"no\xff"), 6)
    refused(split, "unprintable")
    shutil.rmtree(split / "train")
    (split / "a.heic").touch()
    refused(split, "no image files. .* 1 .heic")


def test_damaged_images_are_counted_and_named_or_left_out(split):
    dogs = split / "train" / "dog"
    for name in ("001.png", "002.png"):
        (dogs / name).write_bytes((dogs / name).read_bytes()[:-60])
    said = r"damaged or unsupported images: 2 \(train/dog/001.png, train/dog/002.png\)\. .* --skip-damaged"
    with pytest.raises(Corrupt, match=said):
        whole(open_source("pets", split), "train")
    for name in ("cat", "dog"):
        (split / "test" / name / "000.png").write_text("<html>not found</html>")
    with pytest.raises(
        Corrupt, match=r": 4 \(test/cat/000.png, test/dog/000.png, train/dog/001.png, \.\.\.\)"
    ):
        open_source("pets", split)
    source = open_source("pets", split, ReadOptions(skip_damaged=True))
    assert source.sizes == {"train": 6, "test": 2}
    assert "left out: 4 (test/cat/000.png" in notes(source, "skipped")
    assert len(whole(source, "train")) == 6
    for path in dogs.iterdir():
        path.write_bytes(b"")
    refused(split, "no training image of the class 'dog'", skip_damaged=True)


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
