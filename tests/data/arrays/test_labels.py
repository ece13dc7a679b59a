"""The classes that labels of arrays stand for, in ``.npz`` files."""

import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError
from tests.data.examples import pixels, whole

NUMBERS = np.arange(60) % 3


def read(path, labels, test=None, name="own", **more):
    """Class names, the numbers of the training images' classes, and what the reader says about labels."""
    images = pixels(60, 8, 8)
    labels = np.asarray(labels)
    test = labels[:12] if test is None else np.asarray(test)
    np.savez(path, x_train=images, y_train=labels, x_test=images[: len(test)], y_test=test, **more)
    source = open_source(name, path)
    said = [note.text for note in source.notes if note.about in ("labels", "classes")]
    return source.class_names, whole(source, "train").labels.tolist(), " ".join(said)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "own.npz"


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1, 2, 3], "1 2 3"),
        ([0, 1, 3], "0 1 3"),
        ([9, 10, 100], "9 10 100"),
        ([-1, 1, -1], "-1 1"),
        ([-1, 1, 5], "-1 1 5"),
        ([1.0, 2.0, 3.0], "1 2 3"),
        (["9", "10", "100"], "9 10 100"),
        (["0", "1", "2"], "0 1 2"),
        ([b"ant", b"bee", b"cat"], "ant bee cat"),
        (["Zebra", "ant", "bee"], "Zebra ant bee"),
        (["éclair", "ärger", "zoo"], "zoo ärger éclair"),
        ([10**12, 10**12 + 1, 10**15], "1000000000000 1000000000001 1000000000000000"),
    ],
)
def test_labels_of_any_values_are_the_names_of_their_classes(path, values, names):
    numeric = not isinstance(values[0], str | bytes) or values[0].isdigit()
    found, numbers, said = read(path, np.array(values)[NUMBERS])
    assert found == tuple(names.split())
    texts = [
        value.decode() if isinstance(value, bytes) else str(value).removesuffix(".0") for value in values
    ]
    assert [found[number] for number in numbers] == [texts[number] for number in NUMBERS]
    assert said == f"Classes are sorted {'as numbers' if numeric else 'by name'}."


@pytest.mark.parametrize("dtype", ["u1", "i8", ">i4", "f4"])
def test_numbers_from_0_need_no_note(path, dtype):
    assert read(path, NUMBERS.astype(dtype)) == (("0", "1", "2"), NUMBERS.tolist(), "")


@pytest.mark.parametrize("shape", [(60, 1), (1, 60), (60, 1, 1)])
def test_further_axes_of_length_1_are_ignored(path, shape):
    assert read(path, NUMBERS.reshape(shape), NUMBERS[:12]) == (("0", "1", "2"), NUMBERS.tolist(), "")


@pytest.mark.parametrize("dtype", ["f4", "bool", "u1"])
def test_one_hot_rows(path, dtype):
    names, numbers, said = read(path, np.eye(3, dtype=dtype)[NUMBERS])
    assert (names, numbers) == (("0", "1", "2"), NUMBERS.tolist())
    assert said == "The position of the 1 in each row of 3 values is the class (one-hot labels)."
    assert read(path, np.eye(3)[NUMBERS], class_names=["a", "b", "c"])[0] == ("a", "b", "c")
    assert read(path, np.eye(4)[np.array([0, 1, 3])[NUMBERS]])[0] == ("0", "1", "3")


def test_truth_values_count_as_0_and_1(path):
    assert read(path, NUMBERS > 1) == (("0", "1"), (NUMBERS > 1).astype(int).tolist(), "")
    assert read(path, NUMBERS > 1, class_names=["small", "large"])[0] == ("small", "large")


def test_given_names_are_numbered_from_0_or_from_1_or_are_the_labels(path):
    given = ["c", "a", "b"]
    assert read(path, NUMBERS, class_names=given) == (tuple(given), NUMBERS.tolist(), "")
    names, numbers, said = read(path, NUMBERS + 1, class_names=given)
    assert (names, numbers) == (tuple(given), NUMBERS.tolist())
    assert said == "Labels count the classes from 1: 1 is c, 3 is b."
    names, numbers, _ = read(path, np.array(given)[NUMBERS], class_names=given)
    assert (names, numbers) == (tuple(given), NUMBERS.tolist())
    names, numbers, said = read(path, np.array([0, 2])[NUMBERS % 2], class_names=given)
    assert (names, numbers) == (("c", "b"), (NUMBERS % 2).tolist())
    assert said == "Classes without images, left out: a."


def test_names_of_a_known_data_set_are_in_their_published_order(path):
    texts = np.array(["Ankle_boot", "t-shirt/Top", "bag"])
    names, numbers, _ = read(path, texts[NUMBERS], name="fashion_mnist")
    assert names == ("T-shirt/top", "Bag", "Ankle boot")
    assert numbers == [(2, 0, 1)[number] for number in NUMBERS]


@pytest.mark.parametrize(
    ("labels", "test", "options", "said"),
    [
        (NUMBERS + 0.5, None, {}, "the label 0.5"),
        (np.where(NUMBERS, NUMBERS, np.nan), None, {}, "the label nan"),
        (NUMBERS - 1, None, {}, "the labels 0 to 1 and -1, which often marks"),
        (np.where(NUMBERS, NUMBERS - 1, 255).astype("u1"), None, {}, "0 to 1 and 255, which often marks"),
        (np.eye(3)[NUMBERS] * 0.9, None, {}, "don't have a single 1"),
        (np.tile([1, 0, 1], (60, 1)), None, {}, "don't have a single 1"),
        (np.zeros((60, 3)), None, {}, "don't have a single 1"),
        (NUMBERS + 1j, None, {}, "of type complex128"),
        (np.zeros(60, "M8[s]"), None, {}, "of type datetime64"),
        (np.array(["a", "b", "c"])[NUMBERS], NUMBERS[:12], {}, "labels of different types"),
        (np.full(60, 5), None, {}, "single class"),
        (NUMBERS, NUMBERS[:12] + 1, {}, "no training image of the class '3'"),
        (np.array(["a", "b", "b"])[NUMBERS], ["a", "c"], {}, "no training image of the class 'c'"),
        (NUMBERS + 1, None, {"name": "cifar10"}, "from 1 to 3, but the 10 classes"),
        (np.arange(60) % 10 + 1, None, {"name": "cifar10"}, "from 1 to 10, but the 10 classes of cifar10"),
        (
            np.array(["cat", "dog", "fox"])[NUMBERS],
            None,
            {"name": "cifar10"},
            "the class 'fox', and the classes of cifar10",
        ),
        (np.array(["a", "b", "d"])[NUMBERS], None, {"class_names": ["a", "b", "c"]}, "the label 'd'"),
        (NUMBERS, None, {"class_names": ["a", "b"]}, "the label '2', for which its list of 2 classes"),
        (np.array([3, 5, 9])[NUMBERS], None, {"name": "cifar10"}, "from 3 to 9, but the 10 classes"),
        (np.array([b"\xff", b"a", b"b"])[NUMBERS], None, {}, "UTF-8"),
        (NUMBERS[:59], None, {}, "60 images need 60 labels"),
        (NUMBERS.reshape(30, 2), NUMBERS[:12], {}, r"has the shape \(30, 2\): 60 images need"),
    ],
)
def test_other_labels_are_refused(path, labels, test, options, said):
    with pytest.raises(ConfigError, match=said):
        read(path, labels, test, **options)
