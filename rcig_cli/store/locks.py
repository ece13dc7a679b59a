"""One writer per run: a kernel lock that dies with the process that holds it.

The lock is an ``flock`` on the file ``lock`` in the run's folder.  The file also holds the process
number of the last writer, but only for the error message: what counts is the kernel's lock.
"""

import contextlib
import errno
import fcntl
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rcig_cli.errors import Locked, NotFound
from rcig_cli.store.files import storage_errors, write_all
from rcig_cli.store.plain import plain_descriptor

LOCK = "lock"
Wait = Callable[[str], None]

_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


class RunLock:
    """The right to write a run, from its creation to its release or the end of the process.

    Parameters
    ----------
    run_path
        The run's folder.
    name
        What to call it in an error; the folder's name by default.
    wait
        Called with a sentence about who is writing the run, before waiting for that to end; None to refuse
        instead.  The waiting takes no time of the processor, and a signal can end it.

    Raises
    ------
    Locked
        If another process (or another lock of this one) is writing the run, and there is no `wait`.
    NotFound
        If there is no such run, or no longer.
    """

    def __init__(self, run_path: Path, *, name: str | None = None, wait: Wait | None = None) -> None:
        self.run_path = run_path
        self._descriptor: int | None = _acquire(run_path, name or run_path.name, wait)
        _held.add(self)

    @property
    def held(self) -> bool:
        """Whether the lock hasn't been released yet."""
        return self._descriptor is not None

    def release(self) -> None:
        """Let other processes write the run; releasing twice is harmless."""
        if self._descriptor is not None:
            # The number is only for a message: it doesn't matter if it can't be taken out.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            # Closing wouldn't do: a program being started right now still has its copy for an instant.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._forget()

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


_held: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _drop_inherited() -> None:
    # A forked child shares the lock; were it to live on, the lock would outlive the process it belongs to.
    for lock in list(_held):
        lock._forget()


os.register_at_fork(after_in_child=_drop_inherited)


def _acquire(run_path: Path, name: str, wait: Wait | None) -> int:
    if not run_path.is_dir():
        raise NotFound(f"There is no run {name}.")
    path = run_path / LOCK
    with storage_errors(path):
        descriptor = plain_descriptor(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
        try:
            _lock(descriptor, path, name, wait)
            _write_process_number(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def _lock(descriptor: int, path: Path, name: str, wait: Wait | None) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        busy = f"{name} is being written by {_writer(descriptor)}."
        if wait is None:
            raise Locked(f"{busy} Wait for it to end, or stop it, then try again.") from error
        wait(f"{busy} Waiting for it to end.")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if not _is_still(descriptor, path):
        raise NotFound(f"{name} was removed by another process just now.")


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _writer(descriptor: int) -> str:
    number = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    return f"process {number}" if number.isdecimal() else "another process"


def _write_process_number(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    write_all(descriptor, f"{os.getpid()}\n".encode())
