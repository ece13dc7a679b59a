"""Labels files, metadata files, and classes in the names of files."""

import json
import shutil

import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError
from tests.data.examples import pixels, save_picture, whole

NAMES = [f"{number:03}" for number in range(12)]
PETS = ["cat", "dog", "eel"]


@pytest.fixture
def flat(tmp_path):
    """Images in one folder, each filled with its number."""
    for number, name in enumerate(NAMES):
        save_picture(tmp_path / "images" / f"{name}.png", np.full((6, 6), number, np.uint8))
    return tmp_path


def labelled(path, labels=None, **options):
    """The class of each image, by the number that it is filled with."""
    source = open_source("mine", path, ReadOptions(labels=labels and str(labels), **options))
    found = {}
    for split in ("train", "test"):
        batch = whole(source, split)
        for image, label in zip(batch.images, batch.labels, strict=True):
            found[int(image[0, 0, 0])] = source.class_names[label]
    return found, source


def topics(source):
    return {
        about: " ".join(note.text for note in source.notes if note.about == about)
        for about in (note.about for note in source.notes)
    }


DUE = {number: PETS[number % 3] for number in range(12)}


def table(mark, header, row):
    lines = [header] if header else []
    lines += [row(name, PETS[number % 3], number % 3) for number, name in enumerate(NAMES)]
    return "\n".join(line.replace(",", mark) for line in lines) + "\n"


TABLES = {
    "labels.csv": table(",", "file,label", lambda name, pet, _: f"{name}.png,{pet}"),
    "train.csv": table(",", "id,breed", lambda name, pet, _: f"{name},{pet}"),
    "quoted.csv": table(",", '"image","label"', lambda name, pet, _: f'"images/{name}.png","{pet}"'),
    "GT-all.csv": table(";", "Filename,Width,Height,ClassId", lambda name, pet, _: f"{name}.png,6,6,{pet}"),
    "labels.tsv": table("\t", "label,path", lambda name, pet, _: f"{pet},/data/images/{name}.png"),
    "windows.csv": "\ufeff"
    + table(",", "path,class", lambda name, pet, _: f".\\images\\{name}.png,{pet}").replace("\n", "\r\n"),
    "bare.csv": table(",", None, lambda name, pet, _: f"{name}.png,{pet}"),
    "turned.csv": table(",", None, lambda name, pet, _: f"{pet},{name}"),
    "val.txt": table(" ", None, lambda name, pet, _: f"images/{name}.png,{pet}"),
    "index.csv": table(",", ",label,label_id", lambda name, pet, number: f"{name},{pet},{number}"),
    "one_hot.csv": table(
        ",",
        "image_id,cat,dog,eel",
        lambda name, _, number: (
            f"{name}," + ",".join("1.0" if number == other else "0.0" for other in range(3))
        ),
    ),
    "twice.csv": 2 * table(",", None, lambda name, pet, _: f"{name}.png,{pet}"),
    "labels.jsonl": "\n".join(
        json.dumps({"file_name": f"{name}.png", "label": PETS[number % 3], "extra": [1]})
        for number, name in enumerate(NAMES)
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_classes_of_a_labels_file(flat, name):
    (flat / name).write_text(TABLES[name], encoding="utf-8", newline="")
    found, source = labelled(flat, flat / name)
    assert found == DUE
    assert f"of {flat / name} (SHA-256 " in topics(source)["labels"]
    (flat / name).rename(flat.parent / name)  # beside the folder of the images
    assert labelled(flat / "images", flat.parent / name)[0] == DUE


def test_a_column_of_splits(flat):
    rows = [
        f"{name},{DUE[number]},{['train', 'train', 'TEST', 'val'][number // 3]}"
        for number, name in enumerate(NAMES)
    ]
    (flat / "labels.csv").write_text("name,label,split\n" + "\n".join(rows))
    found, source = labelled(flat, flat / "labels.csv")
    assert source.sizes == {"train": 6, "test": 3}
    assert sorted(found) == list(range(9))
    assert "The split val is not used. The test split is test." in topics(source)["splits"]
    (flat / "labels.csv").write_text("name,label,split\n" + "\n".join(rows).replace("val", "extra"))
    with pytest.raises(ConfigError, match="'extra' in the column 'split': write train, val or test"):
        labelled(flat, flat / "labels.csv")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_metadata_beside_the_images_of_each_split(tmp_path, suffix):
    """Hugging Face's ImageFolder."""
    for part, numbers in (("train", range(8)), ("test", range(8, 12))):
        rows = []
        for number in numbers:
            save_picture(tmp_path / part / f"{number}.png", np.full((6, 6), number, np.uint8))
            rows.append({"file_name": f"{number}.png", "label": PETS[number % 2]})
        csv = "file_name,label\n" + "\n".join(",".join(row.values()) for row in rows)
        text = csv if suffix == "csv" else "\n".join(map(json.dumps, rows))
        (tmp_path / part / f"metadata.{suffix}").write_text(text)
    found, source = labelled(tmp_path)
    assert found == {number: PETS[number % 2] for number in range(12)}
    assert source.sizes == {"train": 8, "test": 4}
    (tmp_path / "test" / f"metadata.{suffix}").unlink()
    _, source = labelled(tmp_path)
    assert sum(source.sizes.values()) == 8
    assert "The split test has no classes and is not used." in str(source.notes)


def test_a_labels_file_in_each_split(tmp_path):
    """As Roboflow exports: the same names in all splits, each listed by the file beside them."""
    for part, add in (("train", 0), ("valid", 12), ("test", 24)):
        rows = ["filename, cat, dog, eel"]
        for number in range(12):
            save_picture(tmp_path / part / f"{number}.png", np.full((6, 6), number + add, np.uint8))
            rows.append(f"{number}.png, " + ", ".join(str(int(number % 3 == pet)) for pet in range(3)))
        (tmp_path / part / "_classes.csv").write_text("\n".join(rows))
    (tmp_path / "valid" / "_classes.csv").unlink()
    for part in ("train", "test"):
        found, source = labelled(tmp_path, tmp_path / part / "_classes.csv")
        assert source.sizes == {"train": 12, "test": 12}
        assert found == {number: PETS[number % 3] for number in (*range(12), *range(24, 36))}
    assert "The split valid has no classes and is not used." in topics(source)["splits"]
    (tmp_path / "test" / "_classes.csv").unlink()
    assert labelled(tmp_path, tmp_path / "train" / "_classes.csv")[0] == DUE


def test_a_labels_file_that_was_read_is_not_among_what_was_ignored(flat):
    (flat / "images" / "other.csv").touch()
    for name in ("labels.csv", "labels"):
        (flat / "images" / name).write_text(TABLES["labels.csv"])
        _, source = labelled(flat / "images", flat / "images" / name)
        assert topics(source)["skipped"].endswith("not images, ignored: 1 .csv.")
        (flat / "images" / name).unlink()


def test_metadata_without_classes_leaves_them_to_the_folders(tmp_path):
    rows = []
    for number in range(12):
        save_picture(tmp_path / PETS[number % 3] / f"{number}.png", np.full((6, 6), number, np.uint8))
        rows.append(f"{PETS[number % 3]}/{number}.png,a photograph of number {number}")
    (tmp_path / "metadata.csv").write_text("file_name,text\n" + "\n".join(rows))
    assert labelled(tmp_path)[0] == DUE
    rows = [row.replace("a photograph of number", "good") for row in rows]
    (tmp_path / "metadata.csv").write_text("file_name,quality\n" + "\n".join(row[:-2] for row in rows))
    assert labelled(tmp_path)[0] == DUE
    (tmp_path / "metadata.csv").write_text("licence,author\nCC0,someone\nCC0,someone\n")
    assert labelled(tmp_path)[0] == DUE
    (tmp_path / "metadata.csv").write_text("file_name,label\nold.png,cat\nolder.png,dog\n")
    with pytest.raises(ConfigError, match=r"No column of .* has the names of the images"):
        labelled(tmp_path)


def test_folders_in_a_labels_file_are_the_same_however_their_accents_are_stored(tmp_path):
    rows = []
    for number in range(12):
        save_picture(tmp_path / "cafe\u0301" / f"{number}.png", np.full((6, 6), number, np.uint8))
        rows.append(f"caf\u00e9/{number}.png,{PETS[number % 3]}")
    (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(rows), encoding="utf-8")
    assert labelled(tmp_path, tmp_path / "labels.csv")[0] == DUE


def test_a_labels_file_for_the_test_split_beside_class_folders(tmp_path):
    """As GTSRB: class folders for training, and a file for the test images."""
    for number in range(9):
        path = tmp_path / "Train" / f"{number % 3:05}" / f"{number}.png"
        save_picture(path, np.full((6, 6), number, np.uint8))
    for number in range(9, 18):
        save_picture(tmp_path / "Test" / f"{number}.png", np.full((6, 6), number, np.uint8))
    rows = [f"6,6,{number % 3},Test/{number}.png" for number in range(9, 18)]
    (tmp_path / "Test.csv").write_text("Width,Height,ClassId,Path\n" + "\n".join(rows))
    found, source = labelled(tmp_path, tmp_path / "Test.csv")
    assert found == {number: f"{number % 3:05}" for number in range(18)}
    assert source.sizes == {"train": 9, "test": 9}


def test_names_that_are_in_both_splits(tmp_path):
    """As Kaggle's CIFAR-10."""
    for part, add in (("train", 0), ("test", 100)):
        for number in range(12):
            save_picture(tmp_path / part / f"{number}.png", np.full((6, 6), number + add, np.uint8))
    labels = tmp_path / "trainLabels.csv"
    labels.write_text("id,label\n" + "\n".join(f"{number},{DUE[number]}" for number in range(12)))
    with pytest.raises(ConfigError, match=r"'0', which may be test/0.png or train/0.png: .*--from"):
        labelled(tmp_path, labels)
    assert labelled(tmp_path / "train", labels)[0] == DUE


def test_rows_and_images_without_each_other_are_counted(flat):
    lines = TABLES["labels.csv"].splitlines()
    (flat / "labels.csv").write_text("\n".join([*lines[:10], "gone.png,cat"]))
    found, source = labelled(flat, flat / "labels.csv")
    assert len(found) == 9
    assert "without an image or a class: 1. Images without a row, not used: 3." in topics(source)["skipped"]
    (flat / "labels.csv").write_text("\n".join(lines[:6]))
    with pytest.raises(ConfigError, match="no row for 7 images beside the 5"):
        labelled(flat, flat / "labels.csv")
    (flat / "labels.csv").write_text("\n".join([*lines[:6], *(f"{n}.jpg,cat" for n in range(20))]))
    with pytest.raises(ConfigError, match=r"names of the images|name no image"):
        labelled(flat, flat / "labels.csv")


UNUSABLE = {
    "other names": ("file,label\na.png,cat\nb.png,dog\n", ConfigError, "No column of .* '000.png'|No column"),
    "no classes": (
        table(",", "file,width,height", lambda name, *_: f"{name}.png,{name},{name}9"),
        ConfigError,
        "name the one with the classes 'label'",
    ),
    "captions": (
        table(",", "file,label", lambda name, *_: f"{name}.png,caption {name}"),
        ConfigError,
        r"nearly as many classes \(12\) as images",
    ),
    "several at once": (
        table(",", "file,label", lambda name, pet, _: f"{name}.png,{pet if int(name) % 2 else 'dog|cat'}"),
        ConfigError,
        "several classes at once, such as 'dog|cat'",
    ),
    "no header": (table(",", None, lambda name, pet, n: f"{name}.png,{pet},{n}"), ConfigError, "no header"),
    "two classes": (TABLES["labels.csv"] + "000.png,dog\n", ConfigError, "two classes"),
    "ragged": (TABLES["labels.csv"] + "000.png\n", Corrupt, "row 14 has 1 columns"),
    "several": (
        table(",", "file,class,target", lambda name, pet, _: f"{name}.png,{pet},{int(name) % 2}"),
        ConfigError,
        "name the one with the classes",
    ),
    "two columns of files": (
        table(",", "id,file,label", lambda name, pet, _: f"{11 - int(name):03},{name}.png,{pet}"),
        ConfigError,
        "two columns that may name the images, 'id' and 'file'",
    ),
    "binary": ("file,label\n\0\0\xff", RcigError, "labels"),
    "a column of tests": (
        TABLES["labels.csv"].replace("file,label", "file,label,is_test").replace(".png,", ".png,0,"),
        ConfigError,
        "is_test",
    ),
    "empty": ("", ConfigError, "not a CSV"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_unusable_labels_files_are_refused(flat, kind):
    content, error, said = UNUSABLE[kind]
    (flat / "labels.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(error, match=said):
        labelled(flat, flat / "labels.csv")


def test_a_missing_labels_file(flat):
    with pytest.raises(NotFound, match=r"nothing\.csv"):
        labelled(flat, flat / "nothing.csv")
    (flat / "bad.jsonl").write_text('{"file": "000.png", "label": 1}\n[1]\n')
    with pytest.raises(Corrupt, match="object 2 is not a JSON object"):
        labelled(flat, flat / "bad.jsonl")


@pytest.mark.parametrize("form", ["{}.{}", "{}_{:04}", "{} ({})", "{}-{}", "{}__{}"])
def test_classes_that_begin_the_names_of_files(tmp_path, form):
    for number in range(12):
        save_picture(
            tmp_path / f"{form.format(PETS[number % 3], number)}.png", np.full((6, 6), number, np.uint8)
        )
    found, source = labelled(tmp_path)
    assert found == DUE
    assert "begin with their classes: cat" in topics(source)["classes"]


def test_names_of_files_in_splits_as_in_dogs_against_cats(tmp_path):
    for number in range(12):
        save_picture(
            tmp_path / "train" / "train" / f"{PETS[number % 3]}.{number}.jpg", pixels(6, 6, 3, seed=number)
        )
        save_picture(tmp_path / "test1" / "test1" / f"{number}.jpg", pixels(6, 6, 3, seed=number))
    source = open_source("pets", tmp_path)
    assert source.class_names == tuple(PETS)
    assert sum(source.sizes.values()) == 12
    assert "test1 has no classes and is not used" in str(source.notes)
    shutil.rmtree(tmp_path / "test1")
    assert open_source("pets", tmp_path).class_names == tuple(PETS)


@pytest.mark.parametrize(
    "names",
    [
        ("IMG_1", "DSC_2", "IMG_3", "DSC_4"),
        ("IMG_20260101_1", "IMG_20260101_2", "IMG_20260102_1", "IMG_20260102_2"),
        ("train_1", "test_1", "train_2", "test_2"),
        ("cat.1", "cat.2", "cat.3"),
        ("cat.1", "cat.2", "dog.1"),
        ("cat.1", "cat.2", "dog.1", "dog.2", "cover"),
        ("2021-01", "2021-02", "2022-01", "2022-02"),
        ("1", "2", "3"),
    ],
)
def test_other_names_of_files_are_no_classes(tmp_path, names):
    for name in names:
        save_picture(tmp_path / f"{name}.png", pixels(6, 6, 3))
    with pytest.raises(ConfigError, match="no training images of two or more classes"):
        open_source("mine", tmp_path)
