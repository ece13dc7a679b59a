"""Some of the classes of a prepared data set."""

import numpy as np
import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.runs.prepare.prepared import open_prepared
from rcig_cli.store.arrays import StoredRows
from rcig_cli.store.store import open_store
from tests.silent import Silent


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    store = open_store(tmp_path_factory.mktemp("digits") / "a", create=True)
    prepare(store, "digits", report=Silent())
    return open_prepared(store, "digits")


@pytest.mark.parametrize("split", ["train", "test"])
def test_they_are_renumbered_and_the_images_of_others_left_out(digits, split):
    some = digits.of_classes("7,2,5")
    images, labels = digits.split(split)
    kept = [row for row, label in enumerate(labels) if label in (7, 2, 5)]
    np.testing.assert_array_equal(some.images(split), images[kept])
    np.testing.assert_array_equal(some.split(split)[0], images[kept])
    assert some.labels(split).tolist() == [{7: 0, 2: 1, 5: 2}[int(labels[row])] for row in kept]
    assert some.labels(split).dtype == labels.dtype
    assert some.sizes[split] == len(kept) < digits.sizes[split]
    assert (some.classes, some.class_names, some.chosen) == (3, ("7", "2", "5"), (7, 2, 5))


def test_their_rows_are_read_when_they_are_indexed(digits):
    some, images = digits.of_classes("1,8"), digits.of_classes("1,8").images("train")
    stored = some.stored("train")
    assert isinstance(stored, StoredRows)
    assert (len(stored), stored.shape, stored.nbytes) == (len(images), images.shape, images.nbytes)
    for rows in (slice(3, 20), slice(250, 999), slice(5, 5)):
        np.testing.assert_array_equal(stored[rows], images[rows])
    np.testing.assert_array_equal(stored[np.array([[4, 0], [9, 4]])], images[[[4, 0], [9, 4]]])
    with pytest.raises(IndexError, match=f"{len(images)} rows"):
        stored[np.array([len(images)])]


def test_the_choice_replaces_an_earlier_one(digits):
    some = digits.of_classes("7,2")
    assert some.of_classes("7,5").class_names == ("7", "5")
    assert some.of_classes(None).classes == 10
    assert digits.of_classes("0,1,2,3,4,5,6,7,8,9").only is None
    assert some.manifest.digest == digits.manifest.digest  # the parent of a run
    with pytest.raises(ConfigError, match="there is no class 'seven'"):
        digits.of_classes("seven,2")


def test_settings_are_resolved_for_the_given_classes(digits):
    config = resolved(digits, {"ipc": {"2": 3, "default": 1}, "classes": "7, 2", "batch": 1000})
    assert (config.classes, config.ipc) == ("7,2", (1, 3))
    assert config.batch == digits.of_classes("7,2").sizes["train"]
    assert resolved(digits, {"ipc": 1, "classes": "7,2", "algorithm": "dm"}).batch % 2 == 0
    with pytest.raises(ConfigError, match="there is no class '5'"):
        resolved(digits, {"ipc": {"5": 3, "default": 1}, "classes": "7,2"})
