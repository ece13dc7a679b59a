"""Downsampled ImageNet in its NumPy form."""

import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.downloads import example_splits, planes, write_imagenet64
from tests.data.examples import assert_same


@pytest.fixture
def splits():
    return example_splits(1000, 1030, 40, 8, 8, 3)


@pytest.fixture
def folder(tmp_path, splits):
    return write_imagenet64(tmp_path / "imagenet64", splits)


def test_a_thousand_classes_are_read(folder, splits):
    source = open_source("imagenet64", folder)
    assert source.shape == (8, 8, 3)
    assert source.class_names == tuple(map(str, range(1000)))
    assert "1281167 and 50000" in source.notes[1].text
    assert_same(source, splits)


def test_names_come_from_the_development_kit(folder):
    lines = [f"n{number:08} {number} kit_fox_{number}" for number in range(1, 1001)]
    lines[7], lines[9] = "n00000008 8 crane", "n00000010 10 crane"
    (folder / "map_clsloc.txt").write_text("\n".join(lines) + "\n")
    names = open_source("imagenet64", folder).class_names
    assert names[0] == "kit fox 1"
    assert names[7] == "crane (n00000008)"
    (folder / "map_clsloc.txt").write_text("\n".join(lines[1:]))
    with pytest.raises(Corrupt, match="doesn't number 1000 classes"):
        open_source("imagenet64", folder)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"labels": np.arange(40)}, ConfigError, "has the label -1"),
        ({"labels": np.arange(39)}, Corrupt, "no array 'labels'"),
        ({"labels": np.arange(40) / 2}, Corrupt, "no array 'labels'"),
        ({"labels": np.array([{}] * 40, dtype=object)}, ConfigError, "pickled"),
        ({"data": np.zeros((40, 192))}, Corrupt, "no array 'data'"),
        ({"data": np.zeros((40, 193), np.uint8)}, Corrupt, "no array 'data'"),
        ({"data": np.zeros((40, 768), np.uint8)}, Corrupt, "different sizes"),
    ],
)
def test_unusable_arrays_are_refused(folder, splits, changes, error, said):
    images, labels = splits["test"]
    np.savez(folder / "val_data.npz", **{"data": planes(images), "labels": labels + 1} | changes)
    with pytest.raises(error, match=said):
        open_source("imagenet64", folder)
