"""Images in CSV files."""

import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.downloads import csv_rows, example_splits, write_kaggle_digits
from tests.data.examples import assert_same, pixels, whole

IMAGES, LABELS = pixels(30, 5, 5), np.arange(30) % 3


def told(source, about):
    return [note.text for note in source.notes if note.about == about]


def joined(source):
    """All images and labels, in the order of the test of the labels within each class."""
    batches = [whole(source, split) for split in ("train", "test")]
    images = np.concatenate([batch.images for batch in batches])
    return {
        (image.tobytes(), source.class_names[label])
        for batch in batches
        for image, label in zip(batch.images, batch.labels, strict=True)
    }, len(images)


def expected(names=("0", "1", "2")):
    return {(image.tobytes(), names[label]) for image, label in zip(IMAGES, LABELS, strict=True)}, 30


def test_kaggles_digits(tmp_path):
    splits = example_splits(10, 60, 20, 28, 28, 1)
    source = open_source("mnist", write_kaggle_digits(tmp_path, splits))
    assert source.sizes == {"train": 48, "test": 12}
    images, labels = splits["train"]
    whole_set = {(image.tobytes(), str(label)) for image, label in zip(images, labels, strict=True)}
    assert joined(source) == (whole_set, 60)
    assert told(source, "skipped") == [
        "Not used: sample_submission.csv.",
        "Not used because it has no labels: test.csv.",
    ]


ROWS_AND_COLUMNS = [f"{row}x{column}" for row in range(1, 29) for column in range(1, 29)]


@pytest.mark.parametrize("names", [["label", *ROWS_AND_COLUMNS], [*map(str, range(785))], None])
def test_two_tables(tmp_path, names):
    splits = example_splits(10, 60, 20, 28, 28, 1)
    for split, (images, labels) in splits.items():
        first = ",".join(names) + "\n" if names else ""
        (tmp_path / f"mnist_{split}.csv").write_text(first + csv_rows(images, labels))
    source = open_source("mnist", tmp_path)
    assert_same(source, splits)
    text = "The training images are in mnist_train.csv, the test images in mnist_test.csv."
    assert told(source, "splits")[0] == text
    column = "column 'label'" if names and names[0] == "label" else "first column"
    assert told(source, "labels") == [f"The labels are in the {column}."]


def test_letters_gaps_and_labels_at_the_end(tmp_path):
    path = tmp_path / "own.csv"
    names = ",".join(f"p{number}" for number in range(25))
    lines = csv_rows(IMAGES).splitlines()
    text = "".join(f"{line},{'ADX'[label]},7\n" for line, label in zip(lines, LABELS, strict=True))
    path.write_text(f"\ufeff{names},class,id\n{text}", encoding="utf-8")
    source = open_source("own", path)
    assert joined(source) == expected("ADX")
    path.write_text(f"{names},letter,id\n{text}")
    with pytest.raises(ConfigError, match="--labels"):
        open_source("own", path)
    assert joined(open_source("own", path, ReadOptions(labels="letter"))) == expected("ADX")
    path.write_text("label," + names + "\n" + csv_rows(IMAGES, LABELS * 2.0))
    assert open_source("own", path).class_names == ("0", "2", "4")


def test_labels_in_the_last_column_need_a_name(tmp_path):
    rows = csv_rows(IMAGES).splitlines()
    text = "".join(f"{row},{label}\n" for row, label in zip(rows, LABELS, strict=True))
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(ConfigError, match="labels in its last column"):
        open_source("own", tmp_path / "own.csv")


def test_columns_that_are_sorted_as_texts_are_refused(tmp_path):
    names = [f"pixel{number}" for number in range(25)]
    order = sorted(range(25), key=names.__getitem__)
    assert order[:3] == [0, 1, 10]
    head = ",".join(["label", *(names[number] for number in order)])
    shuffled = IMAGES.reshape(30, 25)[:, order]
    (tmp_path / "own.csv").write_text(f"{head}\n{csv_rows(shuffled, LABELS)}")
    with pytest.raises(ConfigError, match="in another order than that of the numbers"):
        open_source("own", tmp_path / "own.csv")


def test_rows_of_emnist_are_transposed(tmp_path):
    path = tmp_path / "emnist-letters-train.csv"
    path.write_text(csv_rows(IMAGES.transpose(0, 2, 1), LABELS))
    assert joined(open_source("own", path)) == expected()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda text: text.replace("\n", ",1\n", 1), Corrupt, "isn't a table of numbers"),
        (lambda text: text[:-2] + "?\n", Corrupt, "isn't a table of numbers"),
        (lambda text: text[:-3].rpartition(",")[0] + ",\n", (ConfigError, Corrupt), "finite|isn't a table"),
        (lambda text: text[:-40] + "\n", Corrupt, "isn't a table of numbers"),
    ],
)
def test_damaged_tables_are_refused(tmp_path, change, error, said):
    path = tmp_path / "own.csv"
    names = ",".join(["label", *(f"p{number}" for number in range(25))])
    text = f"{names}\n{csv_rows(IMAGES, LABELS)}"
    head, _, rest = text.partition("\n")
    path.write_text(f"{head}\n{change(rest)}")
    with pytest.raises(error, match=said):
        whole(open_source("own", path), "train")


def test_a_long_label_is_refused_before_it_takes_memory(tmp_path):
    path = tmp_path / "own.csv"
    names = ",".join(["label", *(f"p{number}" for number in range(25))])
    path.write_text(f"{names}\n{csv_rows(IMAGES, LABELS)}{'a' * 10**6},{','.join(['0'] * 25)}\n")
    with pytest.raises(ConfigError, match="labels of 100 characters"):
        open_source("own", path)


def test_several_tables_are_refused(tmp_path):
    for name in ("mnist_train", "fashion_train"):
        (tmp_path / f"{name}.csv").write_text(csv_rows(IMAGES, LABELS))
    with pytest.raises(ConfigError, match=r"fashion_train.csv, mnist_train.csv: leave one"):
        open_source("own", tmp_path)
