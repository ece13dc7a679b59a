"""Checksums of files: every file once, in order; every change found and named."""

import pytest

from rcig_cli.errors import NotFound
from rcig_cli.store.digests import digests, mismatches, sha256_of_file

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("a.txt", "a/b/c", "a/z"):
        (tmp_path / name).write_bytes(b"abc")
    return tmp_path


def test_every_file_has_its_checksum_sorted_by_path(folder):
    assert list(digests(folder).items()) == [("a.txt", ABC), ("a/b/c", ABC), ("a/z", ABC)]
    assert digests(folder, "a/b") == {"a/b/c": ABC}
    assert digests(folder, "a.txt") == {"a.txt": ABC}
    (folder / "a" / ".tmp-0123456789abcdef").write_text("left by a crashed process")
    assert mismatches(folder, digests(folder)) == {}


def test_changed_and_missing_files_are_named(folder):
    expected = digests(folder)
    (folder / "a.txt").write_text("abd")
    (folder / "a/z").unlink()
    assert mismatches(folder, expected) == {"a.txt": "has changed since it was written", "a/z": "is missing"}


def test_a_missing_file_is_an_error_when_its_checksum_is_computed(folder):
    with pytest.raises(NotFound, match="does not exist"):
        sha256_of_file(folder / "absent")
