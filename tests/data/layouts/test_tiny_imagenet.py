import os

import numpy as np
import pytest
from PIL import Image

from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from tests.data.downloads import save_jpeg, write_tiny_imagenet
from tests.data.examples import pixels, whole

CODES = ("n02124075", "n04067472", "n01443537")


@pytest.fixture
def tiny(tmp_path):
    return write_tiny_imagenet(tmp_path / "tiny-imagenet-200", CODES)


def decoded(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_images_labels_and_names(tiny):
    source = open_source("tiny_imagenet", tiny)
    assert source.shape == (64, 64, 3)
    assert source.sizes == {"train": 9, "test": 6}
    assert source.class_names == ("word 2", "word 0", "word 1")
    assert "100000 and 10000" in source.notes[1]
    train = whole(source, "train")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    files = [f"train/{code}/images/{code}_{index}.JPEG" for code in sorted(CODES) for index in range(3)]
    np.testing.assert_array_equal(train.images, [decoded(tiny / file) for file in files])


def test_validation_images_are_in_the_order_of_their_list(tiny):
    test = whole(open_source("tiny_imagenet", tiny), "test")
    listed = [CODES[(7 * index) % 3] for index in range(6)]
    assert test.labels.tolist() == [sorted(CODES).index(code) for code in listed]
    due = [decoded(tiny / "val" / "images" / f"val_{index}.JPEG") for index in range(6)]
    np.testing.assert_array_equal(test.images, due)


def test_grey_pictures_become_rgb(tiny):
    path = tiny / "train" / CODES[1] / "images" / f"{CODES[1]}_1.JPEG"
    with Image.open(path) as picture:
        assert picture.mode == "L"
    image = whole(open_source("tiny_imagenet", tiny), "train").images[7]
    assert (np.ptp(image, axis=2) == 0).all()
    np.testing.assert_array_equal(image, decoded(path))


def test_two_hundred_classes(tmp_path):
    codes = tuple(f"n{10_000_000 + 37 * number}" for number in range(200))[::-1]
    source = open_source("tiny_imagenet", write_tiny_imagenet(tmp_path, codes, 1, 1, side=8))
    assert len(source.class_names) == 200
    assert source.class_names[0] == "word 199"
    assert np.bincount(source.labels("train")).tolist() == [1] * 200
    assert np.bincount(source.labels("test"), minlength=200).sum() == 200


def test_names_that_two_classes_share(tiny):
    lines = [f"{CODES[0]}\tcrane, bird", f"{CODES[1]}\tcrane, machine", f"{CODES[2]}\tgoldfish, Carassius"]
    (tiny / "words.txt").write_text("\n".join(lines))
    assert open_source("tiny_imagenet", tiny).class_names == ("goldfish", "crane, bird", "crane, machine")
    (tiny / "words.txt").write_text("\n".join(f"{code}\tcrane" for code in CODES))
    assert open_source("tiny_imagenet", tiny).class_names == tuple(sorted(CODES))


def test_without_words_codes_stay(tiny):
    (tiny / "words.txt").unlink()
    assert open_source("tiny_imagenet", tiny).class_names == tuple(sorted(CODES))


def test_words_that_would_write_on_the_terminal(tiny):
    lines = [f"{code}\tfish\x1b]0;title\x07 {code}" for code in CODES]
    (tiny / "words.txt").write_text("\n".join(lines))
    assert open_source("tiny_imagenet", tiny).class_names == tuple(sorted(CODES))


def test_under_another_name(tiny):
    assert open_source("my_tiny", tiny, 16).shape == (16, 16, 3)
    with pytest.raises(ConfigError, match="holds Tiny-ImageNet, not imagewoof"):
        open_source("imagewoof", tiny)


def test_without_a_folder_a_sentence_says_what_to_do():
    with pytest.raises(ConfigError) as caught:
        open_source("tiny_imagenet")
    assert str(caught.value) == (
        "tiny_imagenet isn't in TensorFlow Datasets: download it from "
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip, unpack it, and type "
        "rcig prepare tiny_imagenet --from tiny-imagenet-200."
    )


@pytest.mark.parametrize(
    "name",
    ["../../../secret.JPEG", "/etc/hosts", "val_9999.JPEG", "..", "", "a\x00b", "a" * 5000, "a\x1b[2J"],
)
def test_an_image_that_is_not_in_the_folder(tiny, name):
    save_jpeg(tiny.parent / "secret.JPEG", pixels(64, 64, 3))
    path = tiny / "val" / "val_annotations.txt"
    path.write_text(f"{name}\t{CODES[0]}\t0\t0\t9\t9\n" + path.read_text())
    with pytest.raises(Corrupt, match="val_annotations") as caught:
        open_source("tiny_imagenet", tiny)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_a_linked_image_that_leads_out(tiny):
    save_jpeg(tiny.parent / "secret.JPEG", pixels(64, 64, 3))
    path = tiny / "val" / "images" / "val_0.JPEG"
    path.unlink()
    path.symlink_to(tiny.parent / "secret.JPEG")
    with pytest.raises(Corrupt, match="is no file in val/images"):
        open_source("tiny_imagenet", tiny)


def test_linked_folders_that_lead_out(tiny):
    (tiny / "val" / "images").rename(tiny.parent / "images")
    (tiny / "val" / "images").symlink_to(tiny.parent / "images")
    with pytest.raises(Corrupt, match="is no file in val/images"):
        open_source("tiny_imagenet", tiny)
    (tiny / "val").rename(tiny.parent / "val")
    (tiny / "val").symlink_to(tiny.parent / "val")
    with pytest.raises((ConfigError, Corrupt)):
        open_source("tiny_imagenet", tiny)


def test_a_linked_class_folder_that_leads_out(tiny):
    (tiny / "train" / CODES[0]).rename(tiny.parent / CODES[0])
    (tiny / "train" / CODES[0]).symlink_to(tiny.parent / CODES[0])
    with pytest.raises(ConfigError, match="holds no images"):
        open_source("tiny_imagenet", tiny)


@pytest.mark.parametrize("line", ["val_0.JPEG\tn99999999\t0", "val_0.JPEG", "val_0.JPEG\t../..", "\t\t\t"])
def test_a_class_that_is_none(tiny, line):
    path = tiny / "val" / "val_annotations.txt"
    path.write_text(path.read_text() + line)
    if line.strip():
        with pytest.raises(Corrupt, match=r"isn't in wnids\.txt"):
            open_source("tiny_imagenet", tiny)


@pytest.mark.parametrize(
    "content", ["", CODES[0], "../x\n../y", f"{CODES[0]}\n{CODES[0]}", "n1\nn2", "<html>\n"]
)
def test_a_list_of_classes_that_is_none(tiny, content):
    (tiny / "wnids.txt").write_text(content)
    with pytest.raises(Corrupt, match="no list of WordNet codes"):
        open_source("tiny_imagenet", tiny)


def test_a_class_that_is_not_listed(tiny):
    (tiny / "wnids.txt").write_text("\n".join(CODES[:2]))
    with pytest.raises(Corrupt, match=r"n01443537 isn't in wnids\.txt"):
        open_source("tiny_imagenet", tiny)


def test_a_class_without_images(tiny):
    for path in (tiny / "train" / CODES[2] / "images").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match="n01443537 holds no images"):
        open_source("tiny_imagenet", tiny)


def test_no_validation_images(tiny):
    (tiny / "val" / "val_annotations.txt").write_text("\n")
    with pytest.raises(Corrupt, match="names no images"):
        open_source("tiny_imagenet", tiny)


def test_a_damaged_picture_is_named(tiny):
    path = tiny / "train" / CODES[0] / "images" / f"{CODES[0]}_0.JPEG"
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(Corrupt, match=path.name):
        whole(open_source("tiny_imagenet", tiny), "train")


def test_a_list_that_is_a_pipe(tiny):
    (tiny / "words.txt").unlink()
    os.mkfifo(tiny / "words.txt")
    with pytest.raises(ConfigError, match="no regular file"):
        open_source("tiny_imagenet", tiny)


def test_no_training_folder(tiny):
    (tiny / "train").rename(tiny / "other")
    with pytest.raises(NotFound, match="train is missing"):
        open_source("tiny_imagenet", tiny)
