"""Durable files: readers see the old content or the new content, never a part of it, also after a crash.

Everything is written under a temporary name in the folder where it belongs, forced to the disk (fsync) and
renamed; then the folder is forced to the disk too.  The process that uses a temporary file or folder holds a
kernel lock (flock) on it.  The lock ends with the process, so a temporary file that isn't locked was
abandoned by a process that crashed, and may be removed.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from rcig_cli.errors import NotFound, RcigError

TEMPORARY = ".tmp-"  # prefix of files and folders that are being written
PARTIAL = ".partial-"  # prefix of data sets that are being prepared, which may be resumed

_LOCKED_WITHIN = 0.2  # seconds from making a temporary file to locking it, at most
_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


class AlreadyExists(RcigError):
    """A file or folder that should be new exists already."""


@contextlib.contextmanager
def storage_errors(path: Path, action: str = "written") -> Iterator[None]:
    """Turn an ``OSError`` of the body into an error that says that ``path`` can't be "written" or "read".

    Raises
    ------
    NotFound
        If a file or folder is missing.
    RcigError
        For a full disk, missing permissions, an input/output error and every other system error.
    """
    try:
        yield
    except OSError as error:
        raise _sentence(error, path, action) from error


def _sentence(error: OSError, path: Path, action: str) -> RcigError:
    reason = (error.strerror or str(error)).lower()
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return RcigError(
                f"The disk is full: {path} can't be written. Its previous content is unchanged. "
                "Free some space, then run the same command again."
            )
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return RcigError(
                f"{path} can't be {action} ({reason}). "
                "Check its permissions, or choose another store with --store."
            )
        case errno.EIO:
            return RcigError(
                f"The disk reported an input/output error: {path} can't be {action}. "
                "Its previous content is unchanged. Check the disk, then run the same command again."
            )
        case errno.ENOENT if is_temporary(Path(error.filename or path).name):
            return NotFound(f"{path} can't be {action} ({reason}).")
        case errno.ENOENT:
            return NotFound(f"{error.filename or path} does not exist.")
    return RcigError(f"{path} can't be {action} ({reason}).")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map in threads, in order; for work that waits for the disk or computes checksums."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(function, items)


# Writing


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write; when the body ends without error, it replaces an older file of that name.

    Raises
    ------
    RcigError
        If it can't be written, or its folder doesn't exist; an existing file is unchanged.
    """
    temporary = _temporary_name(path.parent)
    with storage_errors(path), temporary.open("xb") as stream:
        try:
            with _locked(temporary):
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                os.replace(temporary, path)
                _sync(path.parent)
        finally:
            _remove_quietly(temporary)


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write the whole content of a file; see `write_atomically`."""
    with write_atomically(path) as stream:
        stream.write(content)


def make_folder(path: Path, *, parents: bool = True) -> None:
    """Make a folder (and if `parents` those above it) unless it exists, and force it to the disk.

    Raises
    ------
    RcigError
        If it can't be made.
    """
    with storage_errors(path):
        if not path.is_dir():
            if parents:
                make_folder(path.parent)
            path.mkdir(exist_ok=True)
            _sync(path.parent)


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Make an empty folder ``.tmp-<random>`` in `parent`, which needn't exist; readers of a store skip it.

    Give it its final name with `publish`.  When the context ends, the folder is removed if it still has its
    temporary name.
    """
    make_folder(parent)
    path = _temporary_name(parent)
    with storage_errors(path):
        path.mkdir()
    with _locked(path):
        try:
            yield path
        finally:
            _remove_quietly(path)


def publish(prepared: Path, final: Path) -> None:
    """Rename a prepared file or folder (which isn't empty) to its final name, which must be free.

    Raises
    ------
    AlreadyExists
        If a file or folder has that name; it is unchanged.
    RcigError
        If it can't be renamed or made durable.
    """
    with storage_errors(final):
        sync_tree(prepared)
        if os.path.lexists(final):
            raise AlreadyExists(f"{final} exists already.")
        try:
            os.rename(prepared, final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise AlreadyExists(f"{final} exists already.") from error  # another process was faster
        _sync(final.parent)


def replace_folder(prepared: Path, final: Path) -> None:
    """Rename a prepared folder to its final name; a folder that has this name is replaced and removed.

    The kernel exchanges the two names in one step: ``renameat2`` on Linux, ``renamex_np`` on macOS.

    Raises
    ------
    RcigError
        If it can't be renamed or made durable, or the file system (such as NFS) can't exchange two names.
        With two renames instead, a crash between them would leave no folder of that name.
    """
    if not final.is_dir():
        publish(prepared, final)
        return
    with storage_errors(final):
        sync_tree(prepared)
        _exchange(prepared, final)
        _sync(final.parent)
    with contextlib.suppress(RcigError):  # the new folder is in place, even if the old one can't be removed
        remove_folder(prepared)


def remove_folder(path: Path) -> None:
    """Remove a folder, so that readers never see a part of it, also after a crash.

    It is first renamed to a temporary name; files that can't be removed stay under that name.

    Raises
    ------
    NotFound
        If it doesn't exist.
    RcigError
        If it can't be renamed.
    """
    with storage_errors(path), _locked(path):
        temporary = _temporary_name(path.parent)
        os.rename(path, temporary)
        _sync(path.parent)
        _remove_quietly(temporary)


def sync_tree(path: Path) -> None:
    """Force a file, or a folder and everything below it, to the disk; an ``OSError`` if that fails."""
    below = [Path(root, name) for root, _, names in os.walk(path) for name in (*names, "")]
    for _ in in_threads(_sync, below or [path]):
        pass


def _sync(path: Path) -> None:
    """Force a file's bytes, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(first: Path, second: Path) -> None:
    """Exchange the names of two folders in one step."""
    import ctypes

    libc, current_folder, exchange = ctypes.CDLL(None, use_errno=True), -100, 2
    a, b = os.fsencode(first), os.fsencode(second)
    if hasattr(libc, "renameat2"):
        failed = libc.renameat2(current_folder, a, current_folder, b, exchange)
    else:
        failed = libc.renamex_np(a, b, exchange)
    code = ctypes.get_errno() if failed else 0
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
        raise RcigError(
            f"{second} can't be replaced in one step on this file system. Its replacement is ready: delete "
            f"{second.name} with `rcig rm`, then run the same command again."
        )
    if code:
        raise OSError(code, os.strerror(code), str(first), None, str(second))


# Temporary files


def is_temporary(name: str) -> bool:
    """Whether a name is that of a temporary file or folder."""
    return name.startswith(TEMPORARY)


def abandoned(path: Path) -> Iterator[Path]:
    """Find the temporary files and folders of crashed processes, at a path and below, but not in arrays."""
    if is_temporary(path.name):
        if _is_abandoned(path):
            yield path
    elif path.is_dir() and path.suffix != ".zarr":
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            for entry in sorted(path.iterdir()):
                yield from abandoned(entry)


def remove_abandoned(path: Path) -> None:
    """Remove the temporary files and folders of crashed processes, at a path and below."""
    for temporary in abandoned(path):
        _remove_quietly(temporary)


def _is_abandoned(temporary: Path) -> bool:
    try:
        # A new one may not be locked yet: wait until it is old enough.
        age = time.time() - temporary.lstat().st_ctime
        time.sleep(max(0.0, min(_LOCKED_WITHIN, _LOCKED_WITHIN - age)))
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)
    except OSError:  # removed meanwhile, locked by a live process, or on a file system without locks
        return False
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock a file or folder with a temporary name, so that it doesn't count as abandoned."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # on a file system without locks nothing counts as abandoned
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _temporary_name(parent: Path) -> Path:
    return parent / f"{TEMPORARY}{secrets.token_hex(8)}"


def _remove_quietly(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


# Space


def free_bytes(folder: Path) -> int:
    """Return the free space, in bytes, of the disk that a folder is or will be on.

    Raises
    ------
    RcigError
        If it can't be determined.
    """
    with storage_errors(folder, "read"):
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free


def bytes_of(path: Path) -> int:
    """Add up the sizes of the files under a path; a link counts as itself."""
    try:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            return status.st_size
        return sum(bytes_of(entry) for entry in path.iterdir())
    except OSError:  # removed meanwhile, or not readable
        return 0
