"""STL-10's binary version."""

import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import Corrupt
from tests.data.downloads import example_splits, write_stl10
from tests.data.examples import assert_same


def test_planes_columns_and_labels(tmp_path):
    splits = example_splits(9, 20, 10, 96, 96, 3)  # no label is as large as the number of classes
    splits["train"][1][0] = 9
    source = open_source("stl10", write_stl10(tmp_path, splits))
    assert_same(source, splits)
    assert source.class_names[2] == "car"
    assert source.class_names[9] == "truck"
    assert "Not used because it has no labels: unlabeled_X.bin." in [note.text for note in source.notes]


def test_a_file_cut_short_is_refused(tmp_path):
    path = write_stl10(tmp_path, example_splits(10, 20, 10, 96, 96, 3)) / "test_X.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match=r"test_X\.bin has 276479 bytes and test_y.bin 10 labels"):
        open_source("stl10", tmp_path)
