"""Image data in ``.npz`` files."""

import tracemalloc

import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.source import SPLITS, Note
from rcig_cli.data.sources.subset import hold_out_fifth
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from tests.data.downloads import example_splits, write_cifar10_1, write_kmnist
from tests.data.examples import assert_same, pixels, whole

LABELS = np.array([0, 1, 2, 0])


def write(path, save=np.savez, **changes):
    arrays = {"x_train": pixels(4, 6, 6), "y_train": LABELS, "x_test": pixels(2, 6, 6), "y_test": LABELS[:2]}
    arrays.update(changes)
    save(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "own.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("tail", [(), (1,), (3,)])
def test_pixels_come_back_as_they_were(path, save, tail):
    train, test = pixels(20, 6, 6, *tail), pixels(5, 6, 6, *tail, seed=1)
    labels = np.arange(20) % 3
    write(path, save, x_train=train, y_train=labels, x_test=test, y_test=labels[:5])
    source = open_source("own", path)
    assert source.shape == (6, 6, 3 if tail == (3,) else 1)
    assert source.sizes == {"train": 20, "test": 5}
    assert source.class_names == ("0", "1", "2")
    assert source.notes == (Note("format", f"{path} is read as NumPy arrays."),)
    assert (whole(source, "train").images.ravel() == train.ravel()).all()
    assert (whole(source, "test").images.ravel() == test.ravel()).all()
    assert whole(source, "train").labels.tolist() == labels.tolist()


def test_alpha_is_laid_over_white(path):
    images = pixels(4, 6, 6, 4)
    images[..., 3] = 0
    source = open_source("own", write(path, x_train=images, x_test=images[:2]))
    assert source.shape == (6, 6, 3)
    assert (whole(source, "train").images == 255).all()


def flawed(value):
    images = np.full((4, 6, 6), 0.5, np.float32)
    images[1, 2, 3] = value
    return images


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x_test": None}, "has y_test but no images for these labels"),
        ({"x_train": pixels(4, 35)}, "shape"),
        ({"x_train": pixels(4, 6, 6, 2)}, "shape"),
        ({"x_train": pixels(0, 6, 6), "y_train": LABELS[:0]}, "has 0 images"),
        ({"x_train": pixels(4, 0, 6)}, "shape"),
        ({"x_train": np.zeros((4, 6, 9000), np.uint8)}, "9000"),
        ({"x_train": pixels(4, 6, 6).astype(complex)}, "type complex"),
        ({"x_test": pixels(2, 6, 6, 3)}, "differ"),
        ({"x_train": flawed(np.nan), "x_test": flawed(0)[:2]}, "nan"),
        ({"x_train": flawed(-1), "x_test": flawed(0)[:2]}, "-1 to 0.5"),
        ({"x_train": flawed(300), "x_test": flawed(0)[:2]}, "to 300"),
        ({"y_train": LABELS[:3]}, "4 labels"),
        ({"y_train": LABELS + 0.5}, "the label 0.5"),
        ({"class_names": np.arange(3)}, "not a list of at most 100000 strings"),
        ({"class_names": np.zeros(3, "U9000000")}, "too large"),
    ],
)
def test_wrong_content_is_refused_in_one_sentence(path, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        open_source("own", write(path, **changes))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_replaced_between_two_passes_is_refused(path):
    source = open_source("own", write(path))
    whole(source, "train")
    write(path, x_train=pixels(4, 6, 6, seed=9))
    with pytest.raises(Corrupt, match="is damaged"):
        whole(source, "train")
    path.unlink()
    with pytest.raises(NotFound):
        whole(source, "train")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_memory_is_bounded_by_the_batch(path, save):
    images = np.zeros((4000, 32, 32, 3), np.uint8)
    labels = np.arange(4000) % 10
    write(path, save, x_train=images, y_train=labels, x_test=images[:10], y_test=labels[:10])
    tracemalloc.start()
    assert sum(len(batch) for batch in open_source("own", path).batches("train", 50)) == 4000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes / 8


@pytest.mark.parametrize(
    ("name", "given", "last"),
    [
        ("cifar10", None, "truck"),
        ("mine", None, "9"),
        ("cifar10", list("abcdefghij"), "j"),
        ("mine", np.array(list("abcdefghij"), "S"), "j"),
    ],
)
def test_class_names_of_the_file_come_before_known_ones(path, name, given, last):
    images, labels = pixels(10, 8, 8, 3), np.arange(10)
    write(path, x_train=images, y_train=labels, x_test=images, y_test=labels, class_names=given)
    assert open_source(name, path).class_names[9] == last


def test_images_unlike_those_of_the_known_data_set_are_told(path):
    np.savez(path, x=pixels(20, 8, 8), y=np.arange(20) % 10)
    said = "Its images have 8 x 8 pixels, grey; those of cifar10 have 32 x 32 pixels, RGB."
    assert said in [note.text for note in open_source("cifar10", path).notes]


def test_medmnist(path):
    splits = {"train": 40, "val": 10, "test": 20}
    arrays = {}
    for number, (split, count) in enumerate(splits.items()):
        arrays[f"{split}_images"] = pixels(count, 28, 28, 3, seed=number)
        arrays[f"{split}_labels"] = (np.arange(count) % 4).astype(np.uint8)[:, None]
    np.savez(path, **arrays)
    source = open_source("pathmnist", path)
    assert_same(
        source, {split: (arrays[f"{split}_images"], arrays[f"{split}_labels"][:, 0]) for split in SPLITS}
    )
    assert [note.about for note in source.notes] == ["format", "splits", "skipped"]
    assert source.notes[2].text == "Not used: val_images, val_labels."
    arrays["train_labels"] = np.random.default_rng(0).integers(0, 2, (40, 14))  # ChestMNIST
    arrays["test_labels"] = arrays["train_labels"][:20]
    np.savez(path, **arrays)
    with pytest.raises(ConfigError, match=r"rows of 14 values .* several classes or none"):
        open_source("chestmnist", path)


def test_an_array_called_classes_may_have_the_class_of_each_image(path):
    texts = np.array(["cat", "dog", "eel"])[np.arange(60) % 3]
    np.savez(path, images=pixels(60, 28, 28), classes=texts)
    assert open_source("own", path).class_names == ("cat", "dog", "eel")


@pytest.mark.parametrize("names", [("images", "labels"), ("data", "targets"), ("X", "y"), ("arr_0", "arr_1")])
def test_a_single_pair_is_split_as_class_folders_are(path, names):
    images, labels = pixels(60, 28, 28), np.arange(60) % 3
    np.savez(path, **dict(zip(names, (images, labels), strict=True)))
    source = open_source("own", path)
    assert source.sizes == {"train": 48, "test": 12}
    assert "12 images in all, is held out for testing" in source.notes[-1].text
    test = hold_out_fifth(path, labels.astype(np.int32))[0]
    for split, chosen in (("train", ~test), ("test", test)):
        found = whole(source, split)
        assert (found.images[..., 0] == images[chosen]).all()
        assert found.labels.tolist() == labels[chosen].tolist()
        assert np.bincount(found.labels).tolist() == [chosen.sum() // 3] * 3


def test_cifar10_1(tmp_path):
    splits = example_splits(10, 60, 20, 32, 32, 3)
    folder = write_cifar10_1(tmp_path, splits, ("v4", "v6"))
    with pytest.raises(ConfigError, match=r"the images cifar10\.1_v4_data, cifar10\.1_v6_data"):
        open_source("cifar101", folder)
    source = open_source("cifar101", folder / "cifar10.1_v6_data.npy")
    assert source.sizes == {"train": 48, "test": 12}
    assert source.class_names[9] == "truck"
    images, labels = splits["train"]
    test = hold_out_fifth(folder, labels.astype(np.int32))[0]
    assert (whole(source, "test").images == images[test]).all()


def test_kmnist_and_its_sibling_with_49_classes(tmp_path):
    splits, more = example_splits(10, 60, 20, 28, 28, 1), example_splits(49, 98, 49, 28, 28, 1)
    write_kmnist(tmp_path, splits)
    assert_same(open_source("kmnist", tmp_path), splits)
    for split, (images, labels) in more.items():
        np.savez(tmp_path / f"k49-{split}-imgs.npz", images[..., 0])
        np.savez(tmp_path / f"k49-{split}-labels.npz", labels)
    with pytest.raises(ConfigError, match="several data sets"):
        open_source("kmnist", tmp_path)
    assert_same(open_source("k49", tmp_path / "k49-train-imgs.npz"), more)


@pytest.mark.parametrize("form", ["npy", "npz", "one npz"])
def test_files_in_a_folder(tmp_path, form):
    splits = example_splits(3, 30, 12, 8, 8, 3)
    for split, (images, labels) in splits.items():
        if form == "one npz":
            np.savez(tmp_path / f"{split}.npz", x=images, y=labels)
            continue
        save = np.save if form == "npy" else np.savez
        save(tmp_path / f"X_{split}.{form}", images)
        save(tmp_path / f"y_{split}.{form}", labels)
    (tmp_path / "README.md").write_text("what it is")
    assert_same(open_source("own", tmp_path), splits)


def test_pickled_objects_stay_refused(path):
    labels = np.array(["cat", "dog"] * 10, dtype=object)
    np.savez(path, images=pixels(20, 8, 8), labels=labels)
    with pytest.raises(ConfigError, match=r"pickled Python objects.* texts with .astype\(str\)"):
        open_source("own", path)
