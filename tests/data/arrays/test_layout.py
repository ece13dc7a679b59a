"""The order of the axes of arrays of images, in ``.npz`` files."""

import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.errors import ConfigError
from tests.data.examples import pixels, whole

GREY, RGB, RGBA = pixels(60, 28, 28), pixels(60, 28, 28, 3), pixels(60, 28, 28, 4)
RGBA[..., 3] = 255
OPACITY = "The fourth channel is read as opacity, over white."
LABELS = np.arange(60) % 3


def read(path, images, test=None, **options):
    """The training images as they are read, and what the reader says about their layout."""
    test = images[:9] if test is None else test
    np.savez(path, x_train=images, y_train=LABELS[: len(images)], x_test=test, y_test=LABELS[: len(test)])
    source = open_source("own", path, ReadOptions(**options))
    said = [note.text for note in source.notes if note.about == "layout"]
    return whole(source, "train").images, " ".join(said)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "own.npz"


def first(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("stored", "images", "said"),
    [
        (GREY, GREY, ""),
        (GREY[..., None], GREY, ""),
        (RGB, RGB, ""),
        (RGBA, RGBA[..., :3], OPACITY),
        (GREY[:, None], GREY, "Images of the shape (1, 28, 28) are read with the channels first."),
        (first(RGB), RGB, "Images of the shape (3, 28, 28) are read with the channels first."),
        (
            first(RGBA),
            RGBA[..., :3],
            f"Images of the shape (4, 28, 28) are read with the channels first. {OPACITY}",
        ),
        (GREY.reshape(60, 784), GREY, "Rows of 784 values are read as grey images, 28 x 28 pixels."),
        (GREY.reshape(60, 784, 1), GREY, "Rows of 784 values are read as grey images, 28 x 28 pixels."),
        (GREY.reshape(60, 1, 784), GREY, "Rows of 784 values are read as grey images, 28 x 28 pixels."),
        (np.asfortranarray(RGB), RGB, ""),
        (
            np.asfortranarray(GREY.reshape(60, 784)),
            GREY,
            "Rows of 784 values are read as grey images, 28 x 28 pixels.",
        ),
        (RGB[:, :5, :4], RGB[:, :4, :4], ""),
    ],
)
def test_layouts_that_are_clear_from_the_shape(path, stored, images, said):
    found, notes = read(path, stored)
    assert (found.ravel() == images.ravel()).all()
    assert notes == said


@pytest.mark.parametrize(
    ("layout", "stored", "images"),
    [
        ("nhwc", RGB.reshape(60, 28 * 28 * 3), RGB),
        ("nchw", first(RGB).reshape(60, 28 * 28 * 3), RGB),
        ("nhwc", RGB[:, :3, :3], RGB[:, :3, :3]),
        ("nchw", first(RGB[:, :3, :3]), RGB[:, :3, :3]),
        ("nhwc", RGB[:, :3], RGB[:, :3, 12:15]),
        ("nchw", first(RGB[:, :, :3]), RGB[:, 12:15, :3]),
        ("nhwc", RGBA[:, :4], RGBA[:, :4, 12:16, :3]),
        ("nhwc", RGB[:, :4, :4], RGB[:, :4, :4]),
    ],
)
def test_the_user_settles_the_others(path, layout, stored, images):
    with pytest.raises(ConfigError, match="pass --layout nhwc or --layout nchw"):
        read(path, stored)
    found, _ = read(path, stored, layout=layout)
    assert (found.ravel() == images.ravel()).all()


@pytest.mark.parametrize(
    ("train", "test", "options", "said"),
    [
        (pixels(60, 28, 28, 28), None, {}, r"has the shape \(60, 28, 28, 28\): images are"),
        (pixels(60, 28, 28, 2), None, {}, r"has the shape \(60, 28, 28, 2\): images are"),
        (pixels(60, 1, 28, 28, 3), None, {}, "images are"),
        (pixels(60, 700), None, {}, "images are"),
        (RGB.reshape(60, 3, 784), None, {}, r"has the shape \(60, 3, 784\): images are"),
        (LABELS, None, {}, "images are"),
        (
            RGB,
            first(RGB),
            {},
            r"\(60, 28, 28, 3\) and .*'x_test' has the shape \(60, 3, 28, 28\): images are",
        ),
        (RGB, GREY, {}, "differ in their channels"),
        (RGB, None, {"layout": "nchw"}, "with --layout nchw: images are"),
    ],
)
def test_other_shapes_are_refused(path, train, test, options, said):
    with pytest.raises(ConfigError, match=said):
        read(path, train, test, **options)


def test_images_along_the_last_axis_are_refused(path):
    np.savez(path, images=np.moveaxis(RGB, 0, -1), labels=LABELS)
    with pytest.raises(ConfigError, match=r"shape \(28, 28, 3, 60\) for 60 labels: .* numpy\.moveaxis"):
        open_source("own", path)
