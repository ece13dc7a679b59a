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


@pytest.fixture(params=["kernel", "fallback"])
def renaming(request, monkeypatch):
    """Run a test with exchanging renames and hard links, and as on a file system that has neither."""
    if request.param == "fallback":
        monkeypatch.setattr(files, "_exchange_call", lambda: None)
        monkeypatch.setattr(os, "link", failing(errno.EPERM))


@pytest.fixture
def old(tmp_path):
    """A folder with a file in it, to be replaced."""
    folder = tmp_path / "final"
    folder.mkdir()
    (folder / "old").write_text("old")
    return folder


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "a.json"
    files.write_text_atomically(path, "old")
    files.write_text_atomically(path, "new ü")
    assert path.read_text(encoding="utf-8") == "new ü"
    assert names_in(tmp_path) == ["a.json"]


def test_an_existing_file_is_kept_without_replace(tmp_path, renaming):
    path = tmp_path / "a.json"
    files.write_text_atomically(path, "old", replace=False)
    with pytest.raises(files.AlreadyExists, match=r"a\.json exists already\."):
        files.write_text_atomically(path, "new", replace=False)
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.json"]


@pytest.mark.parametrize("call", ["write", "fsync", "open", "replace"])
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
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(RcigError, match=sentence):
            files.write_text_atomically(path, "new")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.json"]


def test_a_disk_that_is_full_after_some_bytes_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("old")
    write, calls = os.write, []

    def short_write(descriptor, data):
        calls.append(len(data))
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data[:1])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", short_write)
        with pytest.raises(RcigError, match="disk is full"):
            files.write_text_atomically(path, "new text")
    assert calls == [8, 7, 6]
    assert path.read_text() == "old"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(NotFound, match=r"absent/\.tmp-[0-9a-f]+ does not exist"):
        files.write_text_atomically(tmp_path / "absent" / "a.json", "text")


def test_a_folder_is_published(tmp_path, renaming):
    with files.temporary_folder(tmp_path) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "a").write_text("a")
        files.publish(temporary, tmp_path / "final")
    assert (tmp_path / "final" / "inner" / "a").read_text() == "a"
    assert names_in(tmp_path) == ["final"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_publishing_never_replaces(tmp_path, renaming, old, kind):
    with files.temporary_folder(tmp_path, clean=False) as temporary:
        (temporary / "a").write_text("a")
        with pytest.raises(files.AlreadyExists, match="final exists already"):
            files.publish(temporary if kind == "folder" else temporary / "a", old)
        assert (temporary / "a").exists()
        files.publish(temporary if kind == "folder" else temporary / "a", tmp_path / "free")
    assert names_in(old) == ["old"]
    assert names_in(tmp_path) == ["final", "free"]


def test_a_folder_is_replaced_and_the_old_one_removed(tmp_path, renaming, old):
    with files.temporary_folder(tmp_path) as temporary:
        (temporary / "new").write_text("new")
        files.replace_folder(temporary, old)
    assert names_in(old) == ["new"]
    assert names_in(tmp_path) == ["final"]


@pytest.mark.parametrize("exists", [False, True])
def test_a_rename_that_can_not_be_made_durable_is_undone(tmp_path, monkeypatch, renaming, exists):
    final, sync = tmp_path / "final", files._sync
    if exists:
        final.mkdir()
        (final / "old").write_text("old")

    def fail_on_parent(path):
        failing(errno.EIO)() if path == tmp_path else sync(path)

    with files.temporary_folder(tmp_path) as temporary:
        (temporary / "new").write_text("new")
        monkeypatch.setattr(files, "_sync", fail_on_parent)
        with pytest.raises(RcigError, match="input/output error"):
            files.replace_folder(temporary, final)
    assert names_in(tmp_path) == (["final"] if exists else [])
    assert not exists or names_in(final) == ["old"]


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
    killed, live = python(program, tmp_path), python(program, tmp_path)
    killed_folder, live_folder = (Path(process.stdout.readline().strip()) for process in (killed, live))
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (tmp_path / ".tmp-file").write_text("incomplete")
    assert [files.is_abandoned(path) for path in (killed_folder, live_folder)] == [True, False]
    with files.temporary_folder(tmp_path, clean=False):
        assert killed_folder.is_dir()
    with files.temporary_folder(tmp_path) as mine:
        assert names_in(tmp_path) == sorted([live_folder.name, mine.name])


def test_the_only_copy_of_a_replaced_folder_is_kept(tmp_path):
    """What a crash leaves on a file system that can't exchange names."""
    replaced = tmp_path / ".replaced-run_1-0123456789abcdef"
    replaced.mkdir()
    assert files.displaced_from(replaced) == tmp_path / "run_1"
    assert not files.is_abandoned(replaced)
    assert not files.remove_if_abandoned(replaced)
    (tmp_path / "run_1").mkdir()
    assert files.displaced_from(replaced) is None
    assert files.remove_if_abandoned(replaced)
    assert names_in(tmp_path) == ["run_1"]


def test_a_folder_is_removed(tmp_path, old):
    (old / "inner").mkdir()
    files.remove_folder(old)
    assert names_in(tmp_path) == []
    with pytest.raises(NotFound, match="final does not exist"):
        files.remove_folder(old)


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path, old):
    (tmp_path / "link").symlink_to(old)
    files.remove_folder(tmp_path / "link")
    assert names_in(tmp_path) == ["final"]
    assert names_in(old) == ["old"]
