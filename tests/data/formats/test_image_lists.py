"""Tiny-ImageNet and CUB-200-2011."""

import numpy as np
import pytest
from PIL import Image

from rcig_cli.data.images.pixels import to_square
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.downloads import save_jpeg, write_cub200, write_tiny_imagenet
from tests.data.examples import pixels, whole

CODES = ("n02124075", "n04067472", "n01443537")


@pytest.fixture
def tiny(tmp_path):
    return write_tiny_imagenet(tmp_path / "tiny-imagenet-200", CODES)


@pytest.fixture
def birds(tmp_path):
    return write_cub200(tmp_path / "CUB_200_2011", classes=4)


def decoded(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_tiny_imagenet_is_read_in_the_order_of_codes_and_of_the_list(tiny):
    source = open_source("tiny_imagenet", tiny)
    assert source.shape == (64, 64, 3)
    assert source.sizes == {"train": 9, "test": 6}
    assert source.class_names == ("word 2", "word 0", "word 1")
    assert "100000 and 10000" in source.notes[-1].text
    train, test = whole(source, "train"), whole(source, "test")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    files = [f"train/{code}/images/{code}_{index}.JPEG" for code in sorted(CODES) for index in range(3)]
    np.testing.assert_array_equal(train.images, [decoded(tiny / file) for file in files])
    assert (np.ptp(train.images[7], axis=2) == 0).all()  # a grey file
    assert test.labels.tolist() == [sorted(CODES).index(CODES[(7 * index) % 3]) for index in range(6)]
    due = [decoded(tiny / "val" / "images" / f"val_{index}.JPEG") for index in range(6)]
    np.testing.assert_array_equal(test.images, due)


def test_words_that_dont_tell_classes_apart_are_not_used(tiny):
    lines = [f"{CODES[0]}\tcrane, bird", f"{CODES[1]}\tcrane, machine", f"{CODES[2]}\tgoldfish, Carassius"]
    (tiny / "words.txt").write_text("\n".join(lines))
    assert open_source("tiny_imagenet", tiny).class_names == ("goldfish", "crane, bird", "crane, machine")
    (tiny / "words.txt").write_text("\n".join(f"{code}\tfish\x1b]0;title\x07" for code in CODES))
    assert open_source("tiny_imagenet", tiny).class_names == tuple(sorted(CODES))
    (tiny / "words.txt").unlink()
    assert open_source("tiny_imagenet", tiny).class_names == tuple(sorted(CODES))


@pytest.mark.parametrize("name", ["../../../secret.JPEG", "/etc/hosts", "val_9999.JPEG", "..", "a\x00b"])
def test_listed_images_outside_the_folder_are_refused(tiny, birds, name):
    save_jpeg(tiny.parent / "secret.JPEG", pixels(64, 64, 3))
    path = tiny / "val" / "val_annotations.txt"
    path.write_text(f"{name}\t{CODES[0]}\t0\t0\t9\t9\n" + path.read_text())
    lines = (birds / "images.txt").read_text().splitlines()
    (birds / "images.txt").write_text("\n".join([f"1 {name}", *lines[1:]]))
    for folder in (tiny, birds):
        with pytest.raises(Corrupt, match="which is not in it") as caught:
            open_source("mine", folder)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ("val_0.JPEG\tn99999999\t0", Corrupt, "an image without a class"),
        ("val_0.JPEG", Corrupt, "an image without a class"),
        ("\n", ConfigError, "no images in its test split"),
    ],
)
def test_unusable_lists_of_tiny_imagenet_are_refused(tiny, content, error, said):
    (tiny / "val" / "val_annotations.txt").write_text(content)
    with pytest.raises(error, match=said):
        open_source("tiny_imagenet", tiny)


def test_two_hundred_birds_at_32_pixels(tmp_path):
    source = open_source("my_birds", write_cub200(tmp_path))
    assert source.shape == (32, 32, 3)
    assert source.class_names[0] == "Some Bird 1"
    assert len(source.class_names) == 200
    assert source.labels("train").tolist() == [number // 2 for number in range(400)]
    assert source.labels("test").tolist() == list(range(200))
    assert "5994 and 5794" in source.notes[-1].text


def test_birds_are_in_the_order_of_images_txt(birds):
    paths = [line.split()[1] for line in (birds / "images.txt").read_text().splitlines()]
    save_jpeg(birds / "images" / paths[2], pixels(50, 60))  # grey becomes RGB
    due = [to_square(decoded(birds / "images" / path)[None], 32)[0] for path in paths[2::3]]
    for name in ("image_class_labels.txt", "train_test_split.txt"):
        lines = (birds / name).read_text().splitlines()
        (birds / name).write_text("\n".join(lines[::-1]))
    found = whole(open_source("caltech_birds2011", birds), "test")
    np.testing.assert_array_equal(found.images, due)
    assert found.labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("image_class_labels.txt", "3 1\n", "3 5\n"),
        ("train_test_split.txt", "3 0\n", "3 2\n"),
        ("train_test_split.txt", "\n12 0\n", "\n"),
        ("images.txt", "2 ", "1 "),
    ],
)
def test_unusable_lists_of_birds_are_refused(birds, file, old, new):
    text = (birds / file).read_text()
    assert old in text
    (birds / file).write_text(text.replace(old, new, 1))
    with pytest.raises(Corrupt, match="don't agree"):
        open_source("cub200", birds)
