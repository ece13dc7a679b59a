"""Checks that a set fits its data set: spaces, shapes, labels and values."""

import json

import numpy as np
import pytest

from rcig_cli.errors import ConfigError
from tests.data.exchange_sets import (
    SETTINGS,
    dataset_info,
    exported_set,
    parametrized_set,
    read,
    same_bits,
    write,
)

GIVEN = exported_set()
IMAGES, LABELS = GIVEN.images, GIVEN.labels


def test_images_of_each_space_become_the_same_inputs(tmp_path):
    pixels = GIVEN.pixels()
    unit = pixels.astype(np.float32) / 255
    standard = (unit - GIVEN.whitening.mean) / GIVEN.whitening.std
    for images, space, found_space in (
        (pixels, None, "pixels"),
        (unit, "pixels", "pixels"),
        (standard, "normalized", "normalized"),
    ):
        np.savez(tmp_path / "a.npz", images=images, labels=GIVEN.classes)
        found = read(tmp_path / "a.npz", space=space)
        assert found.space == found_space
        assert same_bits(found.inputs(GIVEN.whitening), GIVEN.whitening.apply(pixels))
        assert found.labels == pytest.approx(np.eye(3)[GIVEN.classes] - 1 / 3)


def test_grey_images_need_no_channel(tmp_path):
    given = exported_set(channels=1)
    for shape in ((6, 4, 4), (6, 1, 4, 4), (6, 4, 4, 1)):
        np.savez(tmp_path / "a.npz", images=given.images.reshape(shape), labels=given.labels)
        assert same_bits(read(tmp_path / "a.npz", dataset_info(1), "whitened").images, given.images)


@pytest.mark.parametrize(
    ("changes", "space", "message"),
    [
        ({"images": None}, None, "no arrays images and labels"),
        ({"images": IMAGES[:, :3]}, "whitened", "those of pets are"),
        ({"images": IMAGES[0]}, "whitened", "those of pets are"),
        ({"images": IMAGES.astype(np.int32)}, "whitened", "type int32"),
        ({"images": IMAGES.astype(complex)}, "whitened", "type complex"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "whitened", "0 images"),
        ({"images": np.zeros((61, 4, 4, 3)), "labels": np.zeros(61)}, "whitened", "61 images, .* 1 to 60"),
        ({"labels": LABELS[:4]}, "whitened", r"shape \(4, 3\) and type float32, but 6 images"),
        ({"labels": np.ones((6, 10))}, "whitened", "pets has 3 classes"),
        ({"labels": np.array([0, 0, 1, 1, 2, 3])}, "whitened", "the label 3, but pets has 3 classes"),
        ({"labels": np.array([0, 0, 1, 1, 2, -1])}, "whitened", "the label -1"),
        ({"labels": np.array([0, 0, 1, 1, 2, 0.5])}, "whitened", "the label 0.5"),
        (
            {"labels": np.array([0, 0, 1, 1, 0, 1])},
            "whitened",
            "no image of class 'T-shirt/top'",
        ),
        ({"labels": np.array(list("abcdef"))}, "whitened", "only the file has 'a', 'b', 'c' and 3 more"),
        ({"labels": LABELS * np.nan}, "whitened", "NaN"),
        ({"classes": np.zeros(5, int)}, "whitened", "one whole number for each"),
        ({}, None, "--space"),
        ({"space": np.array("blue")}, None, "space must be one of"),
        ({"space": np.arange(3)}, None, "space must be one of"),
    ],
)
def test_a_set_that_does_not_fit_the_data_set_is_refused(tmp_path, changes, space, message):
    arrays = {"images": IMAGES, "labels": LABELS, **changes}
    np.savez(tmp_path / "a.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path / "a.npz", space=space)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("images", "space", "message"),
    [
        (IMAGES * 1e3, "pixels", "between 0 and 1"),
        (np.where(IMAGES > 1, np.inf, IMAGES), "whitened", "infinities"),
        (IMAGES.astype(np.float64) * 1e60, "normalized", "infinities"),
        (np.full_like(IMAGES, 3e38), "normalized", "once converted, contain"),
        (np.zeros((6, 4, 4, 3), np.uint8), "whitened", "they are pixels"),
    ],
)
def test_values_that_do_not_fit_the_space_are_refused(tmp_path, images, space, message):
    np.savez(tmp_path / "a.npz", images=images, labels=LABELS)
    found = read(tmp_path / "a.npz", space=space)
    with pytest.raises(ConfigError, match=message):
        found.inputs(GIVEN.whitening)


def test_a_space_that_contradicts_the_file_is_told(tmp_path):
    np.savez(
        tmp_path / "a.npz", images=IMAGES, labels=LABELS, space="whitened", class_names=GIVEN.class_names
    )
    assert read(tmp_path / "a.npz", space="whitened").notes == ()
    (note,) = read(tmp_path / "a.npz", space="normalized").notes
    assert "says that its images are whitened; --space normalized overrides that" in note.text


@pytest.mark.parametrize(
    ("info", "space", "why"),
    [
        (dataset_info(), "normalized", "its images are taken as normalized"),
        (dataset_info(class_names=GIVEN.class_names[::-1]), None, "its classes are in another order"),
    ],
)
def test_a_parametrized_set_whose_images_are_changed_or_reordered_becomes_raw(tmp_path, info, space, why):
    found = read(write(tmp_path, "npz", parametrized_set()), info, space)
    assert (found.stored, found.parametrization) == ({}, None)
    assert f"are imported, as a raw set, because {why}." in found.notes[-1].text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (json.dumps(SETTINGS), "no arrays stored_"),
        (json.dumps([1]), "must be a dictionary of settings"),
        ("{", "must be a dictionary of settings"),
    ],
)
def test_a_parametrization_without_arrays_or_settings_is_refused(tmp_path, settings, message):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS, space="whitened", parametrization=settings)
    with pytest.raises(ConfigError, match=message):
        read(tmp_path / "a.npz")
