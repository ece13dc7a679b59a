"""Locks: one writer across processes; the lock ends with its process."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from rcig_cli.errors import Locked, NotFound, RcigError
from rcig_cli.store.locks import RunLock

HOLD = (
    "import sys, pathlib; from rcig_cli.store.locks import RunLock\n"
    "lock = RunLock(pathlib.Path(sys.argv[1])); print('held', flush=True); input()"
)


@pytest.fixture
def run_path(tmp_path):
    path = tmp_path / "run_3"
    path.mkdir()
    return path


def test_another_process_is_named_and_its_death_frees_the_run(run_path, python):
    process = python(HOLD, run_path)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(
        Locked, match=f"^run_3 is being written by process {process.pid}\\. Wait for it to end"
    ) as caught:
        RunLock(run_path)
    assert caught.value.exit_code == 4
    process.send_signal(signal.SIGKILL)
    process.wait()
    with RunLock(run_path), pytest.raises(Locked):
        RunLock(run_path)


def test_a_reader_that_asks_for_the_lock_does_not_keep_a_writer_away(run_path, monkeypatch):
    RunLock(run_path).release()
    reader = os.open(run_path / "lock", os.O_RDONLY)
    fcntl.flock(reader, fcntl.LOCK_SH)  # as `is_locked` does for a moment
    monkeypatch.setattr("time.sleep", lambda _: os.close(reader))
    RunLock(run_path).release()


def test_a_process_on_another_computer_is_named_with_it(run_path):
    with RunLock(run_path):
        (run_path / "lock").write_text("4711 node7\n")
        with pytest.raises(Locked, match=r"written by process 4711 on node7\. Wait"):
            RunLock(run_path)


def test_without_a_number_the_sentence_is_still_one(run_path):
    with RunLock(run_path):
        (run_path / "lock").write_text("")
        with pytest.raises(Locked, match="is being written by another process"):
            RunLock(run_path)


def test_on_a_full_disk_a_run_can_be_locked(run_path, monkeypatch):
    def refuse(_descriptor, _content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refuse)
    with RunLock(run_path), pytest.raises(Locked, match="is being written by another process"):
        RunLock(run_path)


def test_a_started_program_does_not_inherit_the_lock(run_path):
    lock = RunLock(run_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False):
        lock.release()
        RunLock(run_path).release()


def test_no_run(tmp_path):
    with pytest.raises(NotFound, match="There is no run run_9"):
        RunLock(tmp_path / "run_9")


def test_a_run_removed_while_waiting_is_noticed(run_path, monkeypatch):
    lock = fcntl.flock

    def remove_then_lock(descriptor, operation):
        (run_path / "lock").unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_then_lock)
    with pytest.raises(NotFound, match="run_3 was removed by another process"):
        RunLock(run_path)


def test_a_file_system_without_locks_is_a_sentence(run_path, monkeypatch):
    def refuse(_descriptor, _operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RcigError, match=r"lock can't be written \(no locks available\)"):
        RunLock(run_path)
