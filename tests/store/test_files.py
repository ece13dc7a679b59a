"""Durable writing: after any failure the old content is unchanged, and the failure is a sentence."""

import errno
import os
import signal
from pathlib import Path

import pytest

from rcig_cli.errors import NotFound, RcigError
from rcig_cli.store import files


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def failing(number):
    def fail(*_arguments, **_options):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def old(tmp_path):
    """A folder with a file in it, to be replaced."""
    folder = tmp_path / "final"
    folder.mkdir()
    (folder / "old").write_text("old")
    return folder


@pytest.mark.parametrize("call", ["fsync", "open", "replace"])
@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, r"The disk is full: .*a\.json can't be written\. .* is unchanged\. Free some space"),
        (errno.EACCES, r"a\.json can't be written \(permission denied\)\. .* another store with --store\."),
        (errno.EIO, r"input/output error: .*a\.json can't be written"),
        (errno.EMFILE, r"a\.json can't be written \(too many open files\)\."),
    ],
)
def test_a_failed_write_is_a_sentence_and_the_old_file_is_unchanged(
    tmp_path, monkeypatch, call, number, sentence
):
    path = tmp_path / "a.json"
    files.write_bytes_atomically(path, b"first")
    files.write_bytes_atomically(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(Path if call == "open" else os, call, failing(number))
        with pytest.raises(RcigError, match=sentence):
            files.write_bytes_atomically(path, b"new")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.json"]


def test_a_file_in_a_missing_folder_is_named(tmp_path):
    with pytest.raises(NotFound, match=r"absent/a\.json can't be written \(no such file or directory\)"):
        files.write_bytes_atomically(tmp_path / "absent" / "a.json", b"text")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_publishing_never_replaces(tmp_path, old, kind):
    with files.temporary_folder(tmp_path) as temporary:
        (temporary / "a").write_text("a")
        prepared = temporary if kind == "folder" else temporary / "a"
        with pytest.raises(files.AlreadyExists, match="final exists already"):
            files.publish(prepared, old)
        assert (temporary / "a").exists()
        files.publish(prepared, tmp_path / "free")
    assert names_in(old) == ["old"]
    assert names_in(tmp_path) == ["final", "free"]


def test_a_folder_is_replaced_and_the_old_one_removed(tmp_path, old):
    with files.temporary_folder(tmp_path) as temporary:
        (temporary / "new").write_text("new")
        files.replace_folder(temporary, old)
    assert names_in(old) == ["new"]
    assert names_in(tmp_path) == ["final"]


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EINVAL, "can't be replaced in one step on this file system.* delete final with `rcig rm`"),
        (errno.EIO, "input/output error"),
    ],
)
def test_where_folders_can_not_be_exchanged_the_old_one_stays(tmp_path, monkeypatch, old, number, sentence):
    class Libc:
        def renameat2(self, *_):
            return -1

    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: Libc())
    monkeypatch.setattr("ctypes.get_errno", lambda: number)
    new = tmp_path / "new"
    new.mkdir()
    with pytest.raises(RcigError, match=sentence):
        files.replace_folder(new, old)
    assert names_in(tmp_path) == ["final", "new"]
    assert names_in(old) == ["old"]


def test_a_temporary_folder_is_removed_when_its_body_fails(tmp_path):
    def fail():
        with files.temporary_folder(tmp_path / "parent") as temporary:
            (temporary / "a").write_text("a")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert names_in(tmp_path / "parent") == []


def test_temporary_folders_of_killed_processes_are_removed_and_those_of_live_ones_kept(tmp_path, python):
    program = (
        "import sys, pathlib; from rcig_cli.store.files import temporary_folder\n"
        "with temporary_folder(pathlib.Path(sys.argv[1])) as folder: print(folder, flush=True); input()"
    )
    killed, live = python(program, tmp_path), python(program, tmp_path / "inner")
    killed_folder, live_folder = (Path(process.stdout.readline().strip()) for process in (killed, live))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    file = tmp_path / "inner" / ".tmp-file"
    file.write_text("incomplete")
    assert list(files.abandoned(tmp_path)) == [killed_folder, file]
    files.remove_abandoned(tmp_path)
    assert (names_in(tmp_path), names_in(tmp_path / "inner")) == (["inner"], [live_folder.name])


def test_a_folder_or_a_link_to_one_is_removed(tmp_path, old):
    (tmp_path / "link").symlink_to(old)
    files.remove_folder(tmp_path / "link")
    assert names_in(old) == ["old"]
    files.remove_folder(old)
    assert names_in(tmp_path) == []
    with pytest.raises(NotFound, match="final does not exist"):
        files.remove_folder(old)
