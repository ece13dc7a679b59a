"""Durable writing: what stood before survives every failure, and every failure is a sentence."""

import contextlib
import errno
import os
import signal
from pathlib import Path

import pytest

from rcig_cli.errors import NotFound, RcigError
from rcig_cli.store import files, renames
from rcig_cli.store.asides import is_dead, remove_dead_asides


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def failing(number: int):
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture(params=["kernel", "fallback"])
def renaming(request, monkeypatch):
    """Run a test with the kernel's renames, and with what stands in for them."""
    if request.param == "fallback":
        monkeypatch.setattr(renames, "_system_call", lambda: None)


def test_text_is_written_and_replaced(tmp_path):
    path = tmp_path / "a.json"
    files.write_text_atomically(path, "old")
    files.write_text_atomically(path, "new ü")
    assert path.read_text(encoding="utf-8") == "new ü"
    assert names_in(tmp_path) == ["a.json"]


def test_text_needs_a_new_name_if_told_so(tmp_path, renaming):
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
        (errno.ENOSPC, r"The disk is full: .*a\.json can't be written, .* still stands\. Free some space"),
        (errno.EDQUOT, "The disk is full"),
        (errno.EROFS, r"a\.json can't be written \(read-only file system\)\. Check its permissions"),
        (errno.EACCES, r"a\.json can't be written \(permission denied\)"),
        (errno.EPERM, r"can't be written .* another store with --store\."),
        (errno.EIO, r"input/output error: .*a\.json can't be written"),
        (errno.EMFILE, r"a\.json can't be written \(too many open files\)\."),
    ],
)
def test_a_failed_write_is_a_sentence_and_the_old_text_stands(tmp_path, monkeypatch, call, number, sentence):
    path = tmp_path / "a.json"
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(RcigError, match=sentence) as caught:
            files.write_text_atomically(path, "new")
    assert caught.value.exit_code == 1
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.json"]


def test_a_disk_that_fills_up_in_the_middle_leaves_the_old_text(tmp_path, monkeypatch):
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
    with pytest.raises(NotFound, match=r"absent/\.aside-[0-9a-f]+ isn't there"):
        files.write_text_atomically(tmp_path / "absent" / "a.json", "text")


def test_publishing_gives_the_name(tmp_path, renaming):
    with files.aside_folder(tmp_path) as aside:
        assert aside.name.startswith(".aside-")
        (aside / "inner").mkdir()
        (aside / "inner" / "a").write_text("a")
        files.publish_folder(aside, tmp_path / "final")
    assert (tmp_path / "final" / "inner" / "a").read_text() == "a"
    assert names_in(tmp_path) == ["final"]


@pytest.mark.parametrize("content", [[], ["kept"]])
def test_publishing_never_replaces(tmp_path, renaming, content):
    final = tmp_path / "final"
    final.mkdir()
    for name in content:
        (final / name).write_text("old")
    with files.aside_folder(tmp_path) as aside:
        (aside / "a").write_text("a")
        with pytest.raises(files.AlreadyExists, match="final exists already"):
            files.publish_folder(aside, final)
        assert (aside / "a").exists()
    assert names_in(final) == content
    assert names_in(tmp_path) == ["final"]


def test_exchanging_replaces(tmp_path, renaming):
    final = tmp_path / "final"
    final.mkdir()
    (final / "old").write_text("old")
    with files.aside_folder(tmp_path) as aside:
        (aside / "new").write_text("new")
        files.exchange_folder(aside, final)
        assert names_in(aside) == ["old"]
    assert names_in(final) == ["new"]
    assert names_in(tmp_path) == ["final"]


def test_what_was_replaced_has_a_living_owner_until_it_is_removed(tmp_path, renaming):
    final = tmp_path / "final"
    final.mkdir()
    (final / "old").write_text("old")
    with files.aside_folder(tmp_path) as aside:
        files.exchange_folder(aside, final)
        assert names_in(aside) == ["old"]
        assert not is_dead(aside)
        remove_dead_asides(tmp_path)
        assert names_in(aside) == ["old"]
    assert names_in(tmp_path) == ["final"]


def test_exchanging_needs_something_to_replace(tmp_path, renaming):
    with files.aside_folder(tmp_path) as aside, pytest.raises(NotFound):
        files.exchange_folder(aside, tmp_path / "final")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("there", [False, True])
def test_placing_publishes_or_exchanges(tmp_path, there):
    final = tmp_path / "final"
    if there:
        final.mkdir()
    with files.aside_folder(tmp_path) as aside:
        (aside / "new").write_text("new")
        files.place_folder(aside, final)
    assert names_in(final) == ["new"]


@pytest.mark.parametrize("there", [False, True])
def test_a_rename_that_cannot_be_made_durable_is_undone(tmp_path, monkeypatch, renaming, there):
    final = tmp_path / "final"
    if there:
        final.mkdir()
        (final / "old").write_text("old")
    sync = files._sync

    def fail_on_parent(path):
        failing(errno.EIO)() if path == tmp_path else sync(path)

    with files.aside_folder(tmp_path) as aside:
        (aside / "new").write_text("new")
        monkeypatch.setattr(files, "_sync", fail_on_parent)
        with pytest.raises(RcigError, match="input/output error"):
            files.place_folder(aside, final)
    assert names_in(tmp_path) == (["final"] if there else [])
    assert not there or names_in(final) == ["old"]


def test_an_aside_goes_when_its_body_fails(tmp_path):
    def fail() -> None:
        with files.aside_folder(tmp_path / "parent") as aside:
            (aside / "a").write_text("a")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert names_in(tmp_path / "parent") == []


def test_asides_of_the_dead_go_and_those_of_the_living_stay(tmp_path, python):
    program = (
        "import sys, pathlib; from rcig_cli.store.files import aside_folder\n"
        "with aside_folder(pathlib.Path(sys.argv[1])) as aside: print(aside, flush=True); input()"
    )
    dead, living = python(program, tmp_path), python(program, tmp_path)
    dead_aside, living_aside = (Path(process.stdout.readline().strip()) for process in (dead, living))
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    assert dead_aside.is_dir()
    (tmp_path / ".aside-file").write_text("torn")
    with files.aside_folder(tmp_path) as mine:
        assert names_in(tmp_path) == sorted([living_aside.name, mine.name])


def test_removing_a_folder(tmp_path):
    (tmp_path / "run_1" / "inner").mkdir(parents=True)
    files.remove_folder(tmp_path / "run_1")
    assert names_in(tmp_path) == []
    with pytest.raises(NotFound, match="run_1 isn't there"):
        files.remove_folder(tmp_path / "run_1")


def test_swapping_is_one_step_where_the_kernel_can(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    if not renames.swap(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system can't swap two names")
    assert (tmp_path / "a").read_text() == "b"


def test_a_file_made_aside_gets_a_free_name_only(tmp_path, renaming):
    (tmp_path / "taken").write_text("old")
    with files.aside_folder(tmp_path, tidy=False) as aside:
        for name in ("taken", "free"):
            (aside / "made").write_text("new")
            with pytest.raises(files.AlreadyExists) if name == "taken" else contextlib.nullcontext():
                files.publish_file(aside / "made", tmp_path / name)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"taken": "old", "free": "new"}


def test_asides_of_others_stay_in_a_folder_that_is_no_stores(tmp_path):
    (tmp_path / ".aside-of-somebody").mkdir()
    with files.aside_folder(tmp_path, tidy=False):
        pass
    assert (tmp_path / ".aside-of-somebody").is_dir()
    with files.aside_folder(tmp_path):
        pass
    assert not (tmp_path / ".aside-of-somebody").exists()
