"""One writer per run or sweep: a kernel lock that ends with the process that holds it.

The lock is an ``flock`` on the file ``lock`` in the folder of the run.  The file also holds the process
ID of the writer and the name of its computer, for the error message only.
"""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rcig_cli.errors import Locked, NotFound
from rcig_cli.store.files import storage_errors

LOCK = "lock"
_ASKING = 0.02  # seconds, longer than `is_locked` holds the lock
Wait = Callable[[str], None]


class RunLock:
    """The exclusive right to write a run, from construction to `release` or the end of the process.

    Parameters
    ----------
    run_path, name
        The run's folder, and its name for an error; default: the name of the folder.
    wait
        Called with a message that names the process that writes the run, before waiting for it to end.  If
        None, `Locked` is raised instead.  A signal ends the waiting.

    Raises
    ------
    Locked
        If another process (or another lock of this one) holds the lock, and there is no `wait`.
    NotFound
        If the run doesn't exist, or was removed meanwhile.
    """

    def __init__(self, run_path: Path, *, name: str | None = None, wait: Wait | None = None) -> None:
        self._descriptor: int | None = _acquire(run_path, name or run_path.name, wait)

    def release(self) -> None:
        """Release the lock; a second call has no effect."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # the process ID is only for a message
                os.ftruncate(self._descriptor, 0)
            # Closing alone isn't enough: a program that is just being started still has a copy of the
            # descriptor.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_locked(run_path: Path) -> bool:
    """Whether a process is writing a run; without a lock file, or one that can't be read, none is."""
    try:
        descriptor = os.open(run_path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # another process holds the lock, or the file system has no locks
        return True
    finally:
        os.close(descriptor)
    return False


def _acquire(run_path: Path, name: str, wait: Wait | None) -> int:
    if not run_path.is_dir():
        raise NotFound(f"There is no run {name}.")
    path = run_path / LOCK
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _lock(descriptor, name, wait)
            if not (path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())):
                raise NotFound(f"{name} was removed by another process just now.")
            # The process ID is only for a message, and on a full disk `rcig gc` needs the lock to make room.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def _lock(descriptor: int, name: str, wait: Wait | None) -> None:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    time.sleep(_ASKING)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        number, _, host = os.pread(descriptor, 100, 0).decode("ascii", "replace").strip().partition(" ")
        writer = f"process {number}" if number else "another process"
        where = f" on {host}" if host not in ("", socket.gethostname()) else ""
        busy = f"{name} is being written by {writer}{where}."
        if wait is None:
            raise Locked(f"{busy} Wait for it to end, or stop it, then run the command again.") from error
        wait(f"{busy} Waiting for it to end.")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
