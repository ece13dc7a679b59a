"""Opening a data set: which files it depends on."""

import pytest

from rcig_cli.data.sources.opening import digest_of_files


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
