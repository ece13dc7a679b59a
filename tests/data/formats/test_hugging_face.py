"""Data sets of Hugging Face: files written as the library datasets writes them, and their siblings."""

import numpy as np
import pyarrow
import pytest
from PIL import Image

from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.examples import pixels, save_picture
from tests.data.hugging_face_sets import (
    IMAGE,
    NAMES,
    class_label,
    encoded,
    example,
    png,
    save_to_disk,
    table,
    write,
)


def read(path, name="own", **options):
    return open_source(name, path, ReadOptions(**options))


def split(source, which):
    """All images of a split, and the names of their classes."""
    batches = list(source.batches(which, 4))
    labels = np.concatenate([batch.labels for batch in batches])
    return np.concatenate([batch.images for batch in batches]), [
        source.class_names[label] for label in labels
    ]


def texts(source, about):
    return " ".join(note.text for note in source.notes if note.about == about)


def test_one_file_is_split_as_folders_are(tmp_path):
    images, labels, content = example()
    write(tmp_path / "data.parquet", content)
    source = read(tmp_path / "data.parquet")
    assert source.class_names == NAMES
    assert source.sizes == {"train": 24, "test": 6}
    assert np.bincount(source.labels("test")).tolist() == [2, 2, 2]
    assert "a fixed fifth of each class" in texts(source, "splits")
    expected = {image.tobytes(): NAMES[label] for image, label in zip(images, labels, strict=True)}
    found = {}
    for which in ("train", "test"):
        found |= {image.tobytes(): name for image, name in zip(*split(source, which), strict=True)}
    assert found == expected


SHARDS = ("{}-00000-of-00002", "{}-00001-of-00002")
LAYOUTS = {
    "shards of the Hub": ("data/{}.parquet", ("train", "test")),
    "a folder of a configuration": ("plain_text/{}.parquet", ("train", "test")),
    "shards beside each other": ("{}.parquet", ("train", "test")),
    "validation": ("data/{}.parquet", ("train", "validation")),
    "the cache of datasets": ("mnist-{}.arrow", ("train", "test")),
}


@pytest.mark.parametrize(("place", "names"), LAYOUTS.values(), ids=list(LAYOUTS))
def test_shards_in_a_folder(tmp_path, place, names):
    (tmp_path / "README.md").write_text("# A data set")
    (tmp_path / ".gitattributes").write_text("")
    expected = {}
    for which, name in zip(("train", "test"), names, strict=True):
        images, labels, content = example(20, seed=len(name))
        expected[which] = images, labels
        for number, (start, count) in enumerate(((0, 13), (13, 7))):
            write(tmp_path / place.format(SHARDS[number].format(name)), content.slice(start, count))
    source = read(tmp_path)
    for which, (images, labels) in expected.items():
        found, classes = split(source, which)
        np.testing.assert_array_equal(found, images)
        assert classes == [NAMES[label] for label in labels]
        # From the middle, as a resumed preparation reads it.
        later = np.concatenate([batch.images for batch in source.batches_from(which, 4, 12)])
        np.testing.assert_array_equal(later, images[12:])
    assert ("validation split is used for testing" in texts(source, "splits")) == (names[1] == "validation")


def test_files_that_the_hub_converted(tmp_path):
    for which, count in (("train", 21), ("test", 9)):
        write(tmp_path / "default" / which / "0000.parquet", example(count, seed=count)[2])
    assert read(tmp_path).sizes == {"train": 21, "test": 9}


def test_save_to_disk_of_several_splits_and_of_one(tmp_path):
    images, _, content = example(20)
    save_to_disk(tmp_path / "all" / "train", content)
    save_to_disk(tmp_path / "all" / "test", example(9, seed=1)[2], shards=1)
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    source = read(tmp_path / "all")
    assert source.sizes == {"train": 20, "test": 9}
    np.testing.assert_array_equal(split(source, "train")[0], images)
    assert read(tmp_path / "all" / "train").sizes == {"train": 16, "test": 4}
    state = tmp_path / "all" / "train" / "state.json"
    state.write_text(
        state.read_text().replace("_split", "_indices_data_files").replace("null", '[{"filename": "i"}]')
    )
    with pytest.raises(ConfigError, match="selection of its rows"):
        read(tmp_path / "all")
    state.write_text('{"_data_files": []}')
    with pytest.raises(Corrupt, match=r"state\.json is damaged"):
        read(tmp_path / "all")


def test_a_known_data_set_keeps_its_published_order(tmp_path):
    published = KNOWN["cifar10"].class_names
    swapped = ("airplane", "automobile", "bird", "dog", "deer", "cat", "frog", "horse", "ship", "truck")
    images, labels, content = example(40, (32, 32, 3), names=swapped)
    write(tmp_path / "train.parquet", content)
    write(tmp_path / "test.parquet", content)
    source = read(tmp_path, "cifar10")
    assert source.class_names == published
    assert split(source, "train")[1] == [swapped[label] for label in labels]
    np.testing.assert_array_equal(split(source, "train")[0], images)
    # Under a name of one's own the order is the file's.
    assert read(tmp_path, "own").class_names == swapped
    # Classes of other data.
    (tmp_path / "test.parquet").unlink()
    write(tmp_path / "train.parquet", example(40, (32, 32, 3), names=("apple", *swapped[1:]))[2])
    with pytest.raises(ConfigError, match="apple"):
        read(tmp_path, "cifar10")


def test_fashion_mnist_as_the_hub_spells_it(tmp_path):
    names = ("T - shirt / top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag")
    names += ("Ankle boot",)
    write(tmp_path / "train.parquet", example(40, (28, 28, 1), names=names)[2])
    assert read(tmp_path, "fashion_mnist").class_names == KNOWN["fashion_mnist"].class_names


def test_files_whose_classes_are_in_another_order(tmp_path):
    write(tmp_path / "train.parquet", example()[2])
    write(tmp_path / "test.parquet", example(names=NAMES[::-1])[2])
    with pytest.raises(ConfigError, match=r"other classes .* or the same in another order"):
        read(tmp_path)


def coarse_and_fine(count=300):
    fine = np.arange(count) % 100
    features = {
        "fine_label": class_label(*(name.replace("crab", "cra") for name in KNOWN["cifar100"].class_names)),
        "coarse_label": class_label(*(f"kind_{number:02}" for number in range(20))),
    }
    images = encoded(pixels(count, 8, 8, 3))
    return fine, table(features, img=images, coarse_label=fine // 5, fine_label=fine)


def test_numbered_files_are_one_split(tmp_path):
    for number in range(3):
        write(tmp_path / f"part-{number}.parquet", example()[2])
    source = read(tmp_path)
    assert source.sizes == {"train": 72, "test": 18}
    assert "Its train split is in part-0, part-1, part-2." in texts(source, "splits")


def test_several_columns_of_classes(tmp_path):
    fine, content = coarse_and_fine()
    write(tmp_path / "train.parquet", content)
    write(tmp_path / "test.parquet", content)
    with pytest.raises(ConfigError, match=r"--labels"):
        read(tmp_path)
    assert len(read(tmp_path, labels="coarse_label").class_names) == 20
    source = read(tmp_path, "cifar100")
    assert source.labels("train").tolist() == fine.tolist()
    assert source.class_names[26] == "crab"  # the Hub has "cra"
    assert "'coarse_label'" in texts(source, "labels")
    with pytest.raises(ConfigError, match="no column 'species'"):
        read(tmp_path, labels="species")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["dog", "cat", "frog"] * 10, ("cat", "dog", "frog")),
        (pyarrow.array(["dog", "cat", "frog"] * 10).dictionary_encode(), ("cat", "dog", "frog")),
        (pyarrow.array(["dog", "cat", "frog"] * 10, pyarrow.large_string()), ("cat", "dog", "frog")),
        ([10, 9, 2] * 10, ("2", "9", "10")),
        ([True, False, False] * 10, ("0", "1")),
        ([0.0, 1.0, 2.0] * 10, ("0", "1", "2")),
        (np.array([0, 1, 2] * 10, np.uint8), ("0", "1", "2")),
    ],
)
def test_labels_without_features(tmp_path, labels, names):
    """As pandas and Polars write them."""
    content = table(image=encoded(pixels(30, 8, 8, 3)), label=labels, index=np.arange(30))
    write(tmp_path / "train.parquet", content)
    write(tmp_path / "test.parquet", content)
    source = read(tmp_path)
    assert source.class_names == names
    expected = [
        str(label if isinstance(label, str) else int(label)) for label in content["label"].to_pylist()
    ]
    assert split(source, "train")[1] == expected


def test_a_test_split_without_labels_gives_way_to_validation(tmp_path):
    write(tmp_path / "train.parquet", example()[2])
    _, _, content = example(9)
    write(tmp_path / "test.parquet", content.set_column(1, "label", pyarrow.array([-1] * 9)))
    source = read(tmp_path)
    assert source.sizes == {"train": 24, "test": 6}
    assert "test split has no labels" in texts(source, "splits")
    write(tmp_path / "valid.parquet", content)
    source = read(tmp_path)
    assert source.sizes == {"train": 30, "test": 9}
    # Without features too.
    for name, labels in (("train", [0, 1, 2] * 3), ("valid", [0, 1, 2] * 3), ("test", [-1] * 9)):
        write(tmp_path / f"{name}.parquet", table(img=content["img"], label=labels))
    assert read(tmp_path).sizes == {"train": 9, "test": 9}
    assert "validation split is used for testing" in texts(source, "splits")


def test_a_validation_split_beside_a_test_split_is_told(tmp_path):
    for name in ("train", "test", "validation", "unlabelled"):
        write(tmp_path / f"{name}-00000-of-00001.parquet", example()[2])
    source = read(tmp_path)
    assert "validation split, 30 rows, is not used" in texts(source, "splits")
    assert "unlabelled" in texts(source, "skipped")


def lists(images, kind=None):
    return pyarrow.array(images.tolist(), kind)


def nested(depth, leaf):
    return nested(depth - 1, pyarrow.list_(leaf)) if depth else leaf


def fixed(*lengths):
    return pyarrow.list_(fixed(*lengths[1:]), lengths[0]) if lengths else pyarrow.uint8()


@pytest.mark.parametrize(
    ("shape", "kind", "arrange"),
    [
        ((8, 8, 3), nested(3, pyarrow.uint8()), lambda images: images),
        ((8, 8, 1), nested(2, pyarrow.uint8()), lambda images: images[..., 0]),
        ((8, 8, 3), nested(3, pyarrow.int64()), lambda images: images.transpose(0, 3, 1, 2)),
        ((8, 8, 1), nested(1, pyarrow.list_(pyarrow.uint8(), 8)), lambda images: images[..., 0]),
        ((8, 8, 1), pyarrow.large_list(pyarrow.list_(pyarrow.int32())), lambda images: images[..., 0]),
        ((8, 8, 3), nested(3, pyarrow.float32()), lambda images: images / np.float32(255)),
        ((8, 8, 3), fixed(8, 8, 3), lambda images: images),  # as Polars writes arrays
    ],
)
def test_images_as_lists(tmp_path, shape, kind, arrange):
    images, labels = pixels(30, *shape), np.arange(30) % 3
    features = {"label": class_label(*NAMES), "image": {"_type": "Array3D"}}
    content = table(features, image=lists(arrange(images), kind), label=labels)
    for suffix in (".parquet", ".arrow"):
        folder = tmp_path / suffix[1:]
        write(folder / f"train{suffix}", content)
        write(folder / f"test{suffix}", content)
        source = read(folder)
        assert source.shape == shape
        found, classes = split(source, "test")
        np.testing.assert_array_equal(found, images)
        assert classes == [NAMES[label] for label in labels]


def test_the_column_image_among_others_that_may_be_images(tmp_path):
    images = pixels(30, 8, 8, 1)
    others = {
        "mask": encoded(images),
        "md5": pyarrow.array([b"-"] * 30),
        "boxes": lists(np.zeros((30, 1, 4))),
    }
    content = table(
        label=np.arange(30) % 3, **others, image=lists(images[..., 0], nested(2, pyarrow.uint8()))
    )
    write(tmp_path / "train.parquet", content)
    source = read(tmp_path)
    assert source.shape == (8, 8, 1)
    assert "'image'; not used: 'mask', 'md5', 'boxes'" in texts(source, "format")


def test_images_as_bytes(tmp_path):
    images = pixels(30, 8, 8, 3)
    content = table(image=pyarrow.array([png(image) for image in images]), cls=np.arange(30) % 3)
    write(tmp_path / "train.parquet", content)
    assert read(tmp_path).shape == (8, 8, 3)


def test_rows_without_image_or_label(tmp_path):
    images, labels, content = example()
    rows, numbers = content["img"].to_pylist(), labels.tolist()
    rows[4], rows[5], numbers[6], numbers[7] = None, {"bytes": b"no image", "path": None}, None, -1
    damaged = table({"label": class_label(*NAMES)}, img=pyarrow.array(rows, IMAGE), label=numbers)
    write(tmp_path / "train.parquet", damaged)
    write(tmp_path / "test.parquet", content)
    with pytest.raises(ConfigError, match=r"2 rows .*--skip-damaged"):
        read(tmp_path)
    source = read(tmp_path, skip_damaged=True)
    np.testing.assert_array_equal(split(source, "train")[0], np.delete(images, [4, 5, 6, 7], axis=0))
    assert "2 rows of the train split have no label" in texts(source, "skipped")
    assert "row 5" in texts(source, "skipped")
    write(tmp_path / "train.parquet", damaged.slice(0, 6))
    with pytest.raises(Corrupt, match=r"row 4.*row 5"):
        read(tmp_path)


def test_a_damaged_image_of_a_single_file_is_named_after_the_file(tmp_path):
    _, _, content = example()
    rows = content["img"].to_pylist()
    rows[3] = {"bytes": b"no image", "path": None}
    damaged = table({"label": class_label(*NAMES)}, img=pyarrow.array(rows, IMAGE), label=content["label"])
    write(tmp_path / "x.parquet", damaged)
    with pytest.raises(Corrupt, match=r"images: 1 \(x\.parquet: row 3\)\."):
        read(tmp_path / "x.parquet")


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_names_of_columns_with_a_dot(tmp_path, suffix):
    images, labels, _ = example()
    content = table(**{"my.image": encoded(images), "my.label": labels, "my": labels // 2})
    write(tmp_path / f"data.{suffix}", content)
    source = read(tmp_path / f"data.{suffix}", labels="my.label")
    assert source.class_names == ("0", "1", "2")
    assert sum(len(batch) for which in ("train", "test") for batch in source.batches(which, 4)) == 30


def test_images_that_are_only_paths(tmp_path):
    images = pixels(30, 8, 8, 3)
    for number, image in enumerate(images):
        (tmp_path / "all" / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "all" / "images" / f"{number}.png")
    rows = [{"bytes": None, "path": f"images/{number}.png"} for number in range(30)]
    content = table({"label": class_label(*NAMES)}, image=pyarrow.array(rows, IMAGE), label=np.arange(30) % 3)
    write(tmp_path / "all" / "train.parquet", content)
    write(tmp_path / "all" / "test.parquet", content)
    np.testing.assert_array_equal(split(read(tmp_path / "all"), "train")[0], images)
    (tmp_path / "all" / "images" / "3.png").write_bytes(b"no image")
    with pytest.raises(Corrupt, match=r"1 \(images/3.png\).*--skip-damaged"):
        read(tmp_path / "all")
    source = read(tmp_path / "all", skip_damaged=True)
    np.testing.assert_array_equal(split(source, "train")[0], np.delete(images, 3, axis=0))
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "elsewhere" / "train.parquet", content)
    rows[0]["path"] = str(tmp_path / "all" / "images" / "0.png")
    outside = table({"label": class_label(*NAMES)}, image=pyarrow.array(rows, IMAGE), label=np.arange(30) % 3)
    write(tmp_path / "elsewhere" / "train.parquet", outside)
    with pytest.raises(ConfigError, match="names a file elsewhere"):
        read(tmp_path / "elsewhere")


def test_classes_without_images_are_left_out(tmp_path):
    content = table(
        {"label": class_label("cat", "emu", "dog")},
        img=encoded(pixels(30, 8, 8, 3)),
        label=np.arange(30) % 2 * 2,
    )
    write(tmp_path / "train.parquet", content)
    source = read(tmp_path)
    assert source.class_names == ("cat", "dog")
    assert "left out: emu." in texts(source, "classes")


def test_a_missing_or_doubled_shard_is_an_error(tmp_path):
    _, _, content = example()
    write(tmp_path / "train-00001-of-00002.parquet", content)
    with pytest.raises(ConfigError, match="has the files 1 of 2 of its train split"):
        read(tmp_path)
    write(tmp_path / "train-00000-of-00002-0a1b2c3d4e5f6789.parquet", content)
    assert read(tmp_path).sizes == {"train": 48, "test": 12}
    write(tmp_path / "train-00000-of-00002-ffffffffffffffff.parquet", content)
    with pytest.raises(ConfigError, match="0, 0, 1"):
        read(tmp_path)
    source = read(tmp_path / "train-00001-of-00002.parquet")
    assert "one of 2 files" in texts(source, "size")


def test_a_table_without_images_beside_image_files_is_passed_over(tmp_path):
    for name in ("cat", "dog"):
        for number in range(5):
            save_picture(tmp_path / name / f"{number}.png", pixels(8, 8, 3, seed=number))
    write(tmp_path / "train.parquet", table(file=["cat/0.png"], label=[0]))
    source = read(tmp_path)
    assert source.class_names == ("cat", "dog")
    assert "1 .parquet" in texts(source, "skipped")


REFUSED = {
    "several data sets": (
        {"fine/train.parquet": {}, "coarse/train.parquet": {}},
        "holds 2 data sets, in coarse, fine",
    ),
    "the same split twice": ({"train.parquet": {}, "train.arrow": {}}, "files of several kinds"),
    "a split beside its shards": (
        {"train.parquet": {}, "train-00000-of-00001.parquet": {}},
        "files of several kinds",
    ),
    "a split in two folders": ({"train.parquet": {}, "train/0000.parquet": {}}, "files of several kinds"),
    "a column of splits": (
        {"data.parquet": {"split": ["train", "train", "test"] * 10}},
        "the column 'split'",
    ),
    "a mark of test images": (
        {"data.parquet": {"is_test": [True, False, False] * 10}},
        "the column 'is_test'",
    ),
    "only a test split": ({"test.parquet": {}}, "none of which names a training split"),
    "files of other names": (
        {"cats.parquet": {}, "dogs.parquet": {}},
        "none of which names a training split",
    ),
    "two validation splits": (
        {"train.parquet": {}, "dev.parquet": {}, "val.parquet": {}},
        "may be its val split",
    ),
    "no images": ({"train.parquet": {"img": np.arange(30)}}, "has no column of images"),
    "several images": ({"train.parquet": {"mask": encoded(pixels(30, 8, 8, 3)), "img": None}}, None),
    "no labels": ({"train.parquet": {"label": None}}, "no column named 'label'"),
    "several labels": ({"train.parquet": {"label": [[0, 1]] * 30}}, "one class"),
    "a label beyond the classes": ({"train.parquet": {"label": np.arange(30)}}, "the label 3, but 3 classes"),
    "another column in a file": ({"train.parquet": {}, "test.parquet": {"img": None}}, "no column 'img'"),
    "missing lists": (
        {"train.parquet": {"img": pyarrow.array([None, *pixels(29, 8, 8).tolist()], fixed(8, 8))}},
        "missing images or images of several sizes",
    ),
    "no rows": ({"train.parquet": {"img": encoded([]), "label": np.array([], int)}}, "no images with labels"),
}


@pytest.mark.parametrize(("files", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_ambiguous_or_incomplete_is_refused(tmp_path, files, message):
    for name, changes in files.items():
        columns = {"img": encoded(pixels(30, 8, 8, 3)), "label": np.arange(30) % 3} | changes
        columns = {name: column for name, column in columns.items() if column is not None}
        write(tmp_path / name, table({"label": class_label(*NAMES)}, **columns))
    if message is None:
        assert read(tmp_path).sizes == {"train": 24, "test": 6}
        return
    with pytest.raises((ConfigError, Corrupt), match=message):
        read(tmp_path)
