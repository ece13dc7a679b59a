"""Digests: every file once, in order; every change found and named."""

import os

import pytest

from rcig_cli.errors import Corrupt, NotFound, RcigError
from rcig_cli.store.digests import digests, mismatches, sha256_of_file

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def folder(tmp_path):
    tmp_path = tmp_path / "folder"
    for name in ("b.bin", "a/z", "a.txt", "a/b/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("abc")
    return tmp_path


def test_a_known_digest(folder):
    assert sha256_of_file(folder / "a.txt") == ABC


def test_digests_are_sorted_and_relative(folder):
    assert list(digests(folder).items()) == [(name, ABC) for name in ("a.txt", "a/b/c", "a/z", "b.bin")]


def test_digests_of_a_part_are_relative_to_the_whole(folder):
    assert list(digests(folder, "a")) == ["a/b/c", "a/z"]
    assert list(digests(folder, "b.bin")) == ["b.bin"]


def test_a_missing_part_is_named(folder):
    with pytest.raises(NotFound, match="absent isn't there"):
        digests(folder, "absent")


def test_links_have_no_place(folder):
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(Corrupt, match="link is neither a plain file nor a folder"):
        digests(folder)


def test_nothing_is_wrong_with_what_was_just_written(folder):
    assert mismatches(folder, digests(folder)) == {}


def test_a_linked_folder_is_no_way_out(folder):
    expected = digests(folder)
    (folder / "a").rename(folder.parent / "outside")
    (folder / "a").symlink_to(folder.parent / "outside")
    assert mismatches(folder, expected) == dict.fromkeys(["a/b/c", "a/z"], "isn't a plain file")


def test_a_file_that_cannot_be_read_is_named(folder, monkeypatch):
    expected = digests(folder)

    def refuse(_path):
        raise RcigError("the disk is broken")

    monkeypatch.setattr("rcig_cli.store.digests.sha256_of_file", refuse)
    assert set(mismatches(folder, expected).values()) == {"can't be checked: the disk is broken"}


def test_every_kind_of_damage_is_named(folder):
    expected = digests(folder)
    (folder / "a.txt").write_text("abd")
    (folder / "a/z").unlink()
    (folder / "b.bin").unlink()
    (folder / "b.bin").symlink_to(folder / "a/b/c")
    (folder / "a/b/c").unlink()
    os.mkfifo(folder / "a/b/c")
    assert mismatches(folder, expected) == {
        "a.txt": "has changed since it was written",
        "a/b/c": "isn't a plain file",
        "a/z": "is missing",
        "b.bin": "isn't a plain file",
    }
