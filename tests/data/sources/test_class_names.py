"""The table of known data sets, and the names and labels of classes."""

import re

import numpy as np
import pytest

from rcig_cli.data.sources.class_names import check_classes, class_numbers, published_names, readable
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.errors import ConfigError


def test_each_known_data_set_is_consistent():
    for known in KNOWN.values():
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", known.name)
        height, width, channels = known.shape
        assert height == width
        assert len(known.mean) == len(known.std) == channels
        assert all(0 < value < 1 for value in known.mean + known.std)
        assert known.archives or (known.page and known.folder)
        assert len(set(known.class_names)) in (0, known.classes)
        assert len(set(known.synsets.values())) in (0, known.classes)


def test_numbers_become_names_if_there_are_as_many():
    assert published_names("fashion_mnist", 10)[9] == "Ankle boot"
    assert published_names("fashion_mnist", 3) == ("0", "1", "2")
    assert published_names("mine", 2) == ("0", "1")


def test_codes_become_words_and_other_names_stay():
    assert readable(["n01440764", "cat", "n02115641"]) == ("tench", "cat", "dingo")
    assert readable(["n01440764", "n00000000"]) == ("n01440764", "n00000000")
    assert readable(["001.Black_footed_Albatross", "1.x"]) == ("Black footed Albatross", "1.x")


def test_names_are_as_long_as_needed_to_be_distinct():
    words = {"n00000001": "crane, bird", "n00000002": "crane, machine", "n00000003": "eel, fish"}
    assert readable(list(words), words) == ("crane, bird", "crane, machine", "eel")
    words["n00000002"] = "crane, bird"
    assert readable(list(words), words) == ("n00000001", "n00000002", "eel")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, -1], "label -1"),
        ([0, 0.5], "label 0.5"),
        ([0.0, np.nan], "label nan"),
        ([0, 10**9], r"label 1e\+09"),
        (["a"], "type <U1"),
    ],
)
def test_labels_that_number_no_class_are_refused(values, said):
    with pytest.raises(ConfigError, match=f"^here has .*{said}"):
        class_numbers("here", np.array(values))


@pytest.mark.parametrize(
    ("names", "train", "test", "said"),
    [
        (["a"], [0], [0], "a single class"),
        (["a", "a"], [0, 1], [0], "repeated"),
        (["\u00e9", "e\u0301"], [0, 1], [0], "repeated"),
        (["a", ""], [0, 1], [0], "unprintable"),
        (["a", "b\x1b[2J"], [0, 1], [0], "unprintable"),
        (["a", "b" * 1001], [0, 1], [0], "overlong"),
        (["a", "b"], [0, 1], [], "no images in its test split"),
        (["a", "b"], [0, 1], [2], "the label 2 but 2 classes"),
        (["a", "b"], [0, 0], [1], "no training image of the class 'b'"),
    ],
)
def test_unusable_classes_are_refused(names, train, test, said):
    labels = {"train": np.array(train, np.int32), "test": np.array(test, np.int32)}
    with pytest.raises(ConfigError, match=f"^here has .*{said}"):
        check_classes("here", names, labels)
