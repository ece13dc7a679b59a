import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from tests.data.downloads import example_splits, planes, write_imagenet64
from tests.data.examples import whole


@pytest.fixture
def splits():
    return example_splits(1000, 1030, 40, 8, 8, 3)


@pytest.fixture
def folder(tmp_path, splits):
    return write_imagenet64(tmp_path / "imagenet64", splits)


def test_a_thousand_classes(folder, splits):
    source = open_source("imagenet64", folder)
    assert source.shape == (8, 8, 3)
    assert source.class_names == tuple(map(str, range(1000)))
    assert "1281167 and 50000" in source.notes[1]
    for split, (images, labels) in splits.items():
        found = whole(source, split, 64)
        np.testing.assert_array_equal(found.images, images)
        np.testing.assert_array_equal(found.labels, labels)


def test_images_of_64_pixels(tmp_path):
    splits = example_splits(1000, 1000, 10, 64, 64, 3)
    source = open_source("imagenet64", write_imagenet64(tmp_path, splits))
    assert source.shape == (64, 64, 3)
    np.testing.assert_array_equal(whole(source, "test").images, splits["test"][0])


def test_names_from_the_development_kit(folder):
    lines = [f"n{number:08} {number} kit_fox_{number}" for number in range(1, 1001)]
    lines[7], lines[9] = "n00000008 8 crane", "n00000010 10 crane"
    (folder / "map_clsloc.txt").write_text("\n".join(lines) + "\n")
    names = open_source("imagenet64", folder).class_names
    assert names[0] == "kit fox 1"
    assert names[7] == "crane (n00000008)"
    (folder / "map_clsloc.txt").write_text("\n".join(lines[1:]))
    with pytest.raises(Corrupt, match="doesn't number 1000 classes"):
        open_source("imagenet64", folder)


@pytest.mark.parametrize("name", ["train_data_batch_7.npz", "val_data.npz"])
def test_a_missing_part(folder, name):
    (folder / name).unlink()
    with pytest.raises(NotFound, match=f"{name} is missing"):
        open_source("imagenet64", folder)


def replace(folder, splits, **changes):
    images, labels = splits["test"]
    arrays = {"data": planes(images), "labels": labels + 1} | changes
    np.savez(folder / "val_data.npz", **{key: value for key, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": np.arange(40)}, "holds the label -1"),
        ({"labels": np.arange(40) + 962}, "holds the label 1000"),
        ({"labels": np.arange(39)}, "no array 'labels'"),
        ({"labels": np.arange(40) / 2}, "no array 'labels'"),
        ({"labels": None}, "no array 'labels'"),
        ({"data": None}, "no array 'data'"),
        ({"data": np.zeros((40, 192))}, "no array 'data'"),
        ({"data": np.zeros((40, 193), np.uint8)}, "no array 'data'"),
        ({"data": np.zeros((40, 768), np.uint8)}, "different sizes"),
    ],
)
def test_arrays_that_cannot_be(folder, splits, changes, sentence):
    replace(folder, splits, **changes)
    with pytest.raises(Corrupt, match=sentence):
        open_source("imagenet64", folder)


def test_pickled_objects_are_never_read(folder, splits):
    replace(folder, splits, labels=np.array([{}] * 40, dtype=object))
    with pytest.raises(ConfigError, match="pickled"):
        open_source("imagenet64", folder)


def test_a_part_cut_short(folder):
    path = folder / "train_data_batch_3.npz"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(Corrupt, match="train_data_batch_3"):
        open_source("imagenet64", folder)


def test_a_part_that_leads_out(folder):
    path = folder / "train_data_batch_3.npz"
    path.rename(folder.parent / "secret.npz")
    path.symlink_to(folder.parent / "secret.npz")
    with pytest.raises(ConfigError, match="leads out"):
        open_source("imagenet64", folder)
