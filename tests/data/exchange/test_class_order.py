"""Classes are matched by name with those of the data set, or the set is refused."""

import json

import numpy as np
import pytest

from rcig_cli.data.sources.known import KNOWN
from rcig_cli.errors import ConfigError
from tests.data.examples import save_picture
from tests.data.exchange_sets import (
    NAMES,
    WRITABLE,
    dataset_info,
    exported_set,
    published_state,
    read,
    same_bits,
    write,
)

GIVEN = exported_set()
OTHER = ("dog", "T-shirt/top", "cat")  # the order of the data set; the file has NAMES
TO_OTHER = np.array([2, 0, 1])  # the number in OTHER of each of NAMES


def in_other_order(found, images=None, labels=GIVEN.labels):
    """Check that a set with the classes NAMES was put in the order of OTHER."""
    classes = TO_OTHER[GIVEN.classes]
    order = np.argsort(classes, kind="stable")
    assert found.classes.tolist() == [0, 0, 1, 1, 2, 2]
    assert same_bits(found.images, (GIVEN.images if images is None else images)[order])
    expected = np.empty_like(labels)
    expected[:, TO_OTHER] = labels
    np.testing.assert_array_equal(found.labels, expected[order])
    assert any("put in the order of pets" in note.text for note in found.notes)


@pytest.mark.parametrize("form", WRITABLE)
def test_an_exported_set_is_put_in_the_order_of_the_data_set(tmp_path, form):
    found = read(write(tmp_path, form, GIVEN), dataset_info(class_names=OTHER))
    in_other_order(found, GIVEN.pixels() if form == "png" else None)


def test_class_numbers_are_put_in_the_order_of_the_data_set(tmp_path):
    arrays = {"images": GIVEN.images, "space": "whitened", "class_names": np.array(NAMES)}
    np.savez(tmp_path / "a.npz", labels=GIVEN.classes, **arrays)
    one_hot = np.eye(3, dtype=np.float32)[GIVEN.classes] - np.float32(1 / 3)
    in_other_order(read(tmp_path / "a.npz", dataset_info(class_names=OTHER)), labels=one_hot)
    np.savez(tmp_path / "b.npz", labels=np.array(NAMES)[GIVEN.classes], **arrays)
    in_other_order(read(tmp_path / "b.npz", dataset_info(class_names=OTHER)), labels=one_hot)


@pytest.mark.parametrize("text", [None, "string", "large_string", "dictionary<values=string, indices=int32>"])
def test_parquet_of_hugging_face_with_another_order_of_classes(tmp_path, text):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(
        write(tmp_path, "parquet", GIVEN) / "data/train-00000-of-00001.parquet"
    )
    labels = pyarrow.array([NAMES[number] if text else int(number) for number in GIVEN.classes])
    if text:
        labels = labels.dictionary_encode() if "dictionary" in text else labels.cast(text)
    kind = {"_type": "Value"} if text else {"_type": "ClassLabel", "names": list(NAMES)}
    features = json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": kind}}})
    plain = pyarrow.table({"img" if text else "image": table.column("image"), "label": labels})
    pyarrow.parquet.write_table(
        plain.replace_schema_metadata({"huggingface": features}), tmp_path / "a.parquet"
    )
    one_hot = np.eye(3, dtype=np.float32)[GIVEN.classes] - np.float32(1 / 3)
    in_other_order(read(tmp_path / "a.parquet", dataset_info(class_names=OTHER)), GIVEN.pixels(), one_hot)


@pytest.mark.parametrize("pattern", ["{}", "{:02d}"])
def test_folders_with_numbers_are_the_classes_of_these_numbers(tmp_path, pattern):
    names = tuple("lkjihgfedcba")
    for number in range(12):
        save_picture(tmp_path / pattern.format(number) / "a.png", np.full((4, 4, 3), number, np.uint8))
    found = read(tmp_path, dataset_info(class_names=names))
    assert found.classes.tolist() == found.images[:, 0, 0, 0].tolist() == list(range(12))
    assert "0 is 'l', 1 is 'k'" in found.notes[0].text


def test_folders_are_matched_by_name_also_if_the_data_set_has_numbers_for_names(tmp_path):
    for number in range(12):
        save_picture(tmp_path / str(number) / "a.png", np.full((4, 4, 3), number, np.uint8))
    names = tuple(map(str, [11, 2, 0, 1, 10, 3, 4, 5, 6, 7, 9, 8]))
    found = read(tmp_path, dataset_info(class_names=names))
    assert found.images[:, 0, 0, 0].tolist() == [int(name) for name in names]


def test_what_is_passed_over_in_a_folder_is_told(tmp_path):
    path = write(tmp_path, "png", GIVEN)
    assert read(path).notes == ()
    save_picture(path / "grid.png", np.zeros((8, 8, 3), np.uint8))
    (path / "log.txt").touch()
    (path / "empty").mkdir()
    found = read(path)
    assert same_bits(found.images, GIVEN.pixels())
    assert [note.about for note in found.notes] == ["skipped", "skipped"]
    assert "1 .txt" in found.notes[0].text
    assert "1 (grid.png)" in found.notes[1].text


def test_a_class_may_be_called_train_or_test(tmp_path):
    for number, name in enumerate(["train", "test", "val"]):
        save_picture(tmp_path / name / "a.png", np.full((4, 4, 3), number, np.uint8))
    found = read(tmp_path, dataset_info(class_names=("val", "train", "test")))
    assert found.images[:, 0, 0, 0].tolist() == [2, 0, 1]


def named(tmp_path, names, ours=NAMES, given=None):
    arrays = {} if names is None else {"class_names": np.array(names)}
    np.savez(tmp_path / "a.npz", images=GIVEN.images, labels=GIVEN.classes, space="whitened", **arrays)
    return read(tmp_path / "a.npz", dataset_info(class_names=ours), class_names=given)


@pytest.mark.parametrize(
    ("names", "ours", "order", "said"),
    [
        (None, NAMES, [0, 1, 2], "0 is 'cat', 1 is 'dog'"),
        (("0", "1", "2"), NAMES, [0, 1, 2], "0 is 'cat', 1 is 'dog'"),
        (("2", "0", "1"), NAMES, [2, 0, 1], "only numbers its classes"),
        (("00", "01", "02"), NAMES, [0, 1, 2], "only numbers its classes"),
        (None, ("0", "1", "2"), [0, 1, 2], None),
        (None, ("1", "2", "0"), [2, 0, 1], None),
        (("2", "1", "0"), ("0", "1", "2"), [2, 1, 0], "put in the order of pets"),
        (("3", "5", "1"), ("1", "3", "5"), [1, 2, 0], "put in the order of pets"),
        (("T_Shirt Top", "DOG", "Cat"), NAMES, [2, 1, 0], "without regard to case and punctuation"),
        (
            ("n02979186", "n01440764", "n03028079"),
            ("tench", "Church", "cassette player"),
            [2, 0, 1],
            "put in",
        ),
        (
            ("002.Laysan_Albatross", "001.Crow", "003.Auk"),
            ("Crow", "Auk", "Laysan Albatross"),
            [2, 0, 1],
            "put in",
        ),
        (("x", "X", "y"), ("X", "x", "y"), [1, 0, 2], "put in the order of pets"),
        (("-1", "1", "0"), ("-1", "0", "1"), [0, 2, 1], "put in the order of pets"),
        (("café", "cafe", "b"), ("b", "cafe", "café"), [2, 1, 0], "put in the order of pets"),
    ],
)
def test_names_are_matched(tmp_path, names, ours, order, said):
    found = named(tmp_path, names, ours)
    order = np.argsort(np.array(order)[GIVEN.classes], kind="stable")
    assert same_bits(found.images, GIVEN.images[order])
    assert [note.text for note in found.notes] == ([] if said is None else [found.notes[0].text])
    assert said is None or said in found.notes[0].text


@pytest.mark.parametrize(
    ("names", "ours", "said"),
    [
        (("cat", "lion", "T-shirt/top"), NAMES, "only the file has 'lion', only the data set has 'dog'"),
        (("cat", "dog"), NAMES, "only the data set has 'T-shirt/top'"),
        (("cat", "dog", "T-shirt/top", "owl"), NAMES, "only the file has 'owl'"),
        (("cat", "cat", "dog"), NAMES, "it has the class 'cat' twice"),
        (("1", "2", "3"), NAMES, "only the file has '1'"),
        (("a", "b", "c"), ("0", "1", "2"), "only the file has 'a', 'b', 'c'"),
        (("c+", "c#", "C"), ("c", "C#", "C+"), "only the file has"),
        (("1.5", "15", "2"), ("15", "1,5", "2"), "only the file has '1.5'"),
    ],
)
def test_names_that_cannot_be_matched_are_refused(tmp_path, names, ours, said):
    with pytest.raises(ConfigError, match="--class-names FILE") as caught:
        named(tmp_path, names, ours)
    assert said in str(caught.value)


def test_the_names_that_the_user_gives_settle_the_order(tmp_path):
    given = ("dog", "T-shirt/top", "cat")
    for names in (None, ("kitten", "hound", "shirt")):
        found = named(tmp_path, names, given=given)
        order = np.argsort(np.array([1, 2, 0])[GIVEN.classes], kind="stable")
        assert same_bits(found.images, GIVEN.images[order])
    with pytest.raises(ConfigError, match=r"--class-names must list the 3 .* only the data set has 'cat'"):
        named(tmp_path, None, given=("dog", "T-shirt/top", "kitten"))


def test_names_given_for_labels_that_are_texts_replace_them_in_sorted_order(tmp_path):
    labels = np.repeat(["shirt", "kitten", "hound"], 2)
    np.savez(tmp_path / "a.npz", images=GIVEN.images, labels=labels, space="whitened")
    with pytest.raises(ConfigError, match=r"the file's classes \('hound', 'kitten', 'shirt'\)"):
        read(tmp_path / "a.npz")
    found = read(tmp_path / "a.npz", class_names=("dog", "cat", "T-shirt/top"))
    assert same_bits(found.images, GIVEN.images[[2, 3, 4, 5, 0, 1]])


def test_other_names_of_a_known_data_set_are_matched(tmp_path):
    info = dataset_info(name="cifar10", class_names=("truck", "automobile", "airplane"))
    np.savez(tmp_path / "a.npz", images=GIVEN.images, labels=np.repeat(["car", "plane", "truck"], 2))
    found = read(tmp_path / "a.npz", info, space="whitened")
    assert same_bits(found.images, GIVEN.images[[4, 5, 0, 1, 2, 3]])


def test_numbers_are_those_of_the_published_order(tmp_path):
    published = KNOWN["cifar10"].class_names
    given = exported_set(class_names=published)
    info = dataset_info(name="cifar10", class_names=published[::-1])
    np.savez(tmp_path / "a.npz", images=given.images, labels=given.classes)
    (tmp_path / "frepo").write_bytes(published_state(given.images, given.labels))
    for name in ("a.npz", "frepo"):
        found = read(tmp_path / name, info, "whitened")
        assert same_bits(
            found.images[::-1].copy(), given.images[np.arange(20).reshape(10, 2)[:, ::-1].ravel()]
        )


def test_numbers_of_classes_with_two_published_orders_are_refused(tmp_path):
    names = tuple(KNOWN["imagewoof"].synsets.values())
    info = dataset_info(name="imagewoof", class_names=names)
    given = exported_set(class_names=names)
    np.savez(tmp_path / "a.npz", images=given.images, labels=given.classes)
    with pytest.raises(ConfigError, match=r"\(Australian terrier, Border terrier, .* --class-names FILE"):
        read(tmp_path / "a.npz", info, space="whitened")
    assert same_bits(read(tmp_path / "a.npz", info, "whitened", class_names=names).images, given.images)
