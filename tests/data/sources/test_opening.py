"""Opening a data set: which files it depends on."""

import pytest

from rcig_cli.data.sources.opening import digest_of_files, open_source
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.errors import ConfigError, NotFound


def test_a_labels_file_belongs_to_the_data(tmp_path):
    (tmp_path / "data").mkdir()
    labels = tmp_path / "labels.csv"
    without = digest_of_files(tmp_path / "data", labels)
    labels.write_text("a.png,cat")
    before = digest_of_files(tmp_path / "data", labels)
    labels.write_text("a.png,mouse")
    assert len({without, before, digest_of_files(tmp_path / "data", labels)}) == 3


@pytest.mark.parametrize(
    ("given", "belongs", "other"),
    [
        ("cifar10.1_v6_data.npy", "cifar10.1_v6_labels.npy", "cifar10.1_v4_labels.npy"),
        (
            "emnist-letters-train-images-idx3-ubyte.gz",
            "emnist-letters-test-labels-idx1-ubyte.gz",
            "notes.txt",
        ),
        ("own.npz", "own.npz", "more.npz"),
    ],
)
def test_a_file_that_is_read_with_others_has_changed_if_they_have(tmp_path, given, belongs, other):
    for name in (given, belongs, other):
        (tmp_path / name).write_text("before")
    before = digest_of_files(tmp_path / given)
    (tmp_path / other).write_text("changed")
    assert digest_of_files(tmp_path / given) == before
    (tmp_path / belongs).write_text("changed")
    assert digest_of_files(tmp_path / given) != before


def test_an_unknown_data_set_is_told_as_such_whatever_else_was_given():
    with pytest.raises(NotFound, match=r"There is no data set 'pets'.*--from PATH"):
        open_source("pets", options=ReadOptions(labels="labels.csv"))
    with pytest.raises(ConfigError, match="--labels can't be used with the known data set cifar10"):
        open_source("cifar10", options=ReadOptions(labels="labels.csv"))
