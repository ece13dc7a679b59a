"""Which arrays are images and labels of which split."""

import pytest

from rcig_cli.data.arrays.pairs import find_pairs
from rcig_cli.errors import ConfigError

IMAGES, LABELS = (60, 8, 8), (60,)


def find(names):
    """Find the pairs among names, of which those that begin with ``*`` are of arrays of labels."""
    shapes = {name.lstrip("*"): LABELS if name.startswith("*") else IMAGES for name in names.split()}
    pairs, notes = find_pairs("a.npz", shapes)
    return pairs, [(note.about, note.text) for note in notes]


@pytest.mark.parametrize(
    "names",
    [
        "x_train *y_train x_test *y_test",
        "X_train *y_train X_test *y_test",
        "x_train *y_train x_valid *y_valid",
        "trainX *trainY testX *testY",
        "XTrain *YTrain XTest *YTest",
        "xtrain *ytrain xtest *ytest",
        "Xtr *ytr Xte *yte",
        "train_images *train_labels test_images *test_labels",
        "images_train *labels_train images_val *labels_val",
        "train_data *train_labels test_data *test_labels",
        "data_train *target_train data_test *target_test",
        "train/x.npy *train/y.npy test/x.npy *test/y.npy",
        "train *train_labels test *test_labels",
        "train_set_x_orig *train_set_y_orig test_set_x_orig *test_set_y_orig",
        "kmnist-train-imgs *kmnist-train-labels kmnist-test-imgs *kmnist-test-labels",
        "training.images *training.labels testing.images *testing.labels",
        "x *y x_test *y_test",
    ],
)
def test_names_of_two_splits(names):
    train, y_train, test, y_test = (name.lstrip("*") for name in names.split())
    pairs, notes = find(names)
    assert pairs == {"train": (train, y_train), "test": (test, y_test)}
    text = f"The training images are in {train}, their labels in {y_train}; the test images are in {test}, "
    usual = train == "x_train" and test == "x_test"
    assert notes == ([] if usual else [("splits", f"{text}their labels in {y_test}.")])


@pytest.mark.parametrize(
    "names",
    [
        "images *labels",
        "data *targets",
        "data *labels",
        "x *y",
        "X *Y",
        "image *label",
        "inputs *targets",
        "cifar10.1_v6_data *cifar10.1_v6_labels",
        "arr_0 *arr_1",
        "faces *identity",
        "x_train *y_train",
    ],
)
def test_names_of_a_single_pair(names):
    images, labels = (name.lstrip("*") for name in names.split())
    assert find(names)[0] == {"train": (images, labels)}


def test_the_order_of_unnamed_arrays_doesnt_matter():
    assert find("*arr_0 arr_1")[0] == {"train": ("arr_1", "arr_0")}


def test_names_that_are_no_plain_text_are_escaped():
    _, notes = find("x_train *y_train mean\x1b[2J x\x1b_test *y\x1b_test")
    assert "\x1b" not in "".join(text for _, text in notes)


def test_what_is_not_used_is_said():
    pairs, notes = find(
        "train_images *train_labels val_images *val_labels test_images *test_labels *ids mean"
    )
    assert pairs["test"] == ("test_images", "test_labels")
    assert notes[1:] == [("skipped", "Not used: val_images, val_labels, ids, mean.")]
    assert find("x_train *y_train x_test")[1] == [("skipped", "Not used because it has no labels: x_test.")]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("x_train *y_train train_images x_test *y_test", "has x_train, train_images for the same thing"),
        ("images pixels *labels", "has images, pixels for"),
        ("data images *target", "has data, images for"),
        ("images *labels *targets", "has labels, targets for"),
        ("x *y x_train *y_train", "has x, x_train for"),
        ("v4_data *v4_labels v6_data *v6_labels", "several data sets, with the images v4_data, v6_data"),
        ("x_test *y_test", "no training images with labels"),
        ("x_train x_test *y_test", "no training images with labels"),
        ("x_train *y_train *y_test", "has y_test but no images"),
        ("images *fine_labels *coarse_labels", "has images, fine_labels, coarse_labels, whose names"),
        ("arr_0 *arr_1 arr_2 *arr_3", "has arr_0, arr_1, arr_2, arr_3, whose names"),
        ("arr_0 arr_1", "whose names"),
        ("x_train *y_test", "has x_train, y_test, whose names"),
        ("data data_array *labels", "has data, data_array for the same thing"),
        ("arr_0", "has arr_0, whose names"),
        ("", "has no arrays of numbers"),
    ],
)
def test_names_that_leave_a_choice_are_refused(names, said):
    with pytest.raises(ConfigError, match=said):
        find(names)


@pytest.mark.parametrize(
    ("shapes", "pairs"),
    [
        ([(60, 8, 8), (60,)], {"train": (0, 1)}),
        ([(60, 1), (60, 64)], {"train": (1, 0)}),
        ([(60, 8, 8), (59,)], None),
        ([(60, 8, 8), (60, 8, 8)], None),
        ([(60,), (60,)], None),
        ([(60, 8, 8), (60,), (12, 8, 8), (12,)], None),
        ([(60, 8, 8), (60,), (60,)], None),
        ([(60, 8, 8)], None),
    ],
)
def test_unnamed_arrays_must_fit_to_each_other(shapes, pairs):
    names = [f"arr_{number}" for number in range(len(shapes))]
    if pairs is None:
        with pytest.raises(ConfigError, match="whose names"):
            find_pairs("a.npz", dict(zip(names, shapes, strict=True)))
        return
    found, notes = find_pairs("a.npz", dict(zip(names, shapes, strict=True)))
    assert found == {split: (names[images], names[labels]) for split, (images, labels) in pairs.items()}
    assert notes[0].text.startswith("By their shapes, the ")
