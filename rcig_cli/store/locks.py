"""One writer per run or sweep: a kernel lock that ends with the process that holds it.

The lock is an ``flock`` on the file ``lock`` in the folder of the run.  The file also holds the process
number of the writer, for the error message only.
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

LOCK = "lock"
Wait = Callable[[str], None]

_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


class RunLock:
    """The exclusive right to write a run, from construction to `release` or the end of the process.

    Parameters
    ----------
    run_path
        The run's folder.
    name
        The run's name for an error; default: the name of the folder.
    wait
        Called with a sentence that names the process that writes the run, before waiting for it to end.
        None: raise `Locked` instead.  A signal ends the waiting.

    Raises
    ------
    Locked
        If another process (or another lock of this one) holds the lock, and there is no `wait`.
    NotFound
        If the run doesn't exist, or was removed meanwhile.
    """

    def __init__(self, run_path: Path, *, name: str | None = None, wait: Wait | None = None) -> None:
        self.run_path = run_path
        self._descriptor: int | None = _acquire(run_path, name or run_path.name, wait)
        _held.add(self)

    @property
    def held(self) -> bool:
        """Whether the lock is still held."""
        return self._descriptor is not None

    def release(self) -> None:
        """Release the lock; a second call has no effect."""
        if self._descriptor is not None:
            # The number is only for a message, so failing to remove it doesn't matter.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            # Closing alone isn't enough: a program that is just being started still has a copy of the
            # descriptor.
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
    # A forked child shares the lock, and would keep it after the death of the process that took it.
    for lock in list(_held):
        lock._forget()


os.register_at_fork(after_in_child=_drop_inherited)


def _acquire(run_path: Path, name: str, wait: Wait | None) -> int:
    if not run_path.is_dir():
        raise NotFound(f"There is no run {name}.")
    path = run_path / LOCK
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
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
