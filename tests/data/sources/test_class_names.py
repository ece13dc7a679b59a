"""The table of known data sets, and the names and labels of classes."""

import re

import numpy as np
import pytest

from rcig_cli.data.sources.class_names import (
    check_classes,
    class_numbers,
    ordered_classes,
    published_names,
    readable,
)
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


def test_codes_become_words_and_the_numbers_of_birds_are_cut():
    assert readable(["n01440764", "n02115641"]) == ("tench", "dingo")
    assert readable(["001.Black_footed_Albatross", "002.Auk"]) == ("Black footed Albatross", "Auk")


@pytest.mark.parametrize(
    "names",
    [
        ("n01440764", "n00000000"),
        ("n01440764", "cat"),
        ("001.Auk", "1.x"),
        ("001.Auk", "002.Auk", "003.Owl"),
        ("100.5", "200.5"),
        ("100.5", "200.7"),
        ("Pepper,_bell___healthy", "Pepper,_bell___Bacterial_spot"),
    ],
)
def test_names_stay_unless_all_have_the_same_form_and_remain_distinct(names):
    assert readable(names) == names


@pytest.mark.parametrize(
    ("dataset", "found", "order", "names"),
    [
        ("mine", ["10", "2", "0"], ("0", "2", "10"), ("0", "2", "10")),
        ("mine", ["010", "9", "-1"], ("-1", "9", "010"), ("-1", "9", "010")),
        ("mine", ["0.5", "10.5", "2.5"], ("0.5", "2.5", "10.5"), ("0.5", "2.5", "10.5")),
        ("mine", ["a10", "a2"], ("a10", "a2"), ("a10", "a2")),
        ("mine", ["1", "10", "b"], ("1", "10", "b"), ("1", "10", "b")),
        (
            "cifar10",
            ["Ship", "TRUCK", "air-plane"],
            ("air-plane", "Ship", "TRUCK"),
            ("airplane", "ship", "truck"),
        ),
        (
            "fashion_mnist",
            ["T-shirt_top", "ankle boot", "Coat"],
            ("T-shirt_top", "Coat", "ankle boot"),
            ("T-shirt/top", "Coat", "Ankle boot"),
        ),
        ("imagenette", ["n03028079", "n01440764"], ("n01440764", "n03028079"), ("tench", "church")),
        ("imagenette", ["tench", "French_horn"], ("tench", "French_horn"), ("tench", "French horn")),
        ("mnist", ["01", "00"], ("00", "01"), ("0", "1")),
    ],
)
def test_the_order_of_classes(dataset, found, order, names):
    classes = ordered_classes("here", dataset, found)
    assert (classes.found, classes.names) == (order, names)
    assert [note.about for note in classes.notes] == ["classes"]
    if dataset != "mine":
        assert f"only {len(found)} of its 10" in classes.notes[0].text


def test_numbers_of_a_known_set_number_its_published_names():
    classes = ordered_classes("here", "fashion_mnist", [f"{number:02}" for number in range(9, -1, -1)])
    assert classes.found == tuple(f"{number:02}" for number in range(10))
    assert classes.names[0] == "T-shirt/top"


@pytest.mark.parametrize("dataset", ["mnist", "imagenette"])
@pytest.mark.parametrize("odd", ["+", "--", " "])
def test_a_name_without_letters_and_digits_is_no_class_of_a_known_set(dataset, odd):
    with pytest.raises(ConfigError, match=r"^here has the class .*: prepare other data under another name"):
        ordered_classes("here", dataset, ["1", odd])


@pytest.mark.parametrize("odd", ["lorry", "10", "cat ", "1"])
def test_classes_that_a_known_set_does_not_have_are_refused(odd):
    with pytest.raises(ConfigError, match=r"^here has the class .*: prepare other data under another name"):
        ordered_classes("here", "cifar10", ["cat", odd])


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


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        ("cifar10", ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")),
        ("mnist", ("0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five")),
        ("imagewoof", ("Shih-Tzu", "Rhodesian ridgeback", "Beagle", "English foxhound", "Border terrier")),
    ],
)
def test_names_of_well_known_copies(dataset, names):
    """As in torchvision, its tutorials, and on the Hugging Face Hub."""
    found = ordered_classes("here", dataset, names[::-1])
    assert found.found == names
    published = KNOWN[dataset].class_names or tuple(KNOWN[dataset].synsets.values())
    assert found.names[: len(names)] == published[: len(names)]
