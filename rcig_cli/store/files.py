"""Durable files: a reader, or a crash, finds the old content or the new, never a part of it.

Everything is written under a temporary name in the folder where it belongs, forced to the disk (fsync) and
renamed; then the folder is forced to the disk too.  The process that writes a temporary file or folder holds
a kernel lock (flock) on it.  The lock ends with the process, so the temporary files of a crashed process can
be recognised and removed, and those of a live one are left alone.
"""

import contextlib
import errno
import fcntl
import functools
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from rcig_cli.errors import NotFound, RcigError

TEMPORARY = ".tmp-"  # before a random name: what is being written
REPLACED = ".replaced-"  # before a name and a random one: see `replace_folder`
PARTIAL = ".partial-"  # before the name of a data set: what is being prepared, and may be resumed

_REPLACED_NAME = re.compile(re.escape(REPLACED) + r"(.+)-[0-9a-f]{16}")
_ATTEMPTS = 20
_YOUNG = 0.2  # seconds after which the writer of a temporary file has certainly locked it
_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


class AlreadyExists(RcigError):
    """A file or folder that should be new exists already."""


@contextlib.contextmanager
def storage_errors(path: Path, action: str = "written") -> Iterator[None]:
    """Turn an ``OSError`` of the body into a sentence for the user.

    Parameters
    ----------
    path
        What is written or read.
    action
        "written" or "read", for the sentence.

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
        case errno.ENOENT:
            return NotFound(f"{error.filename or path} does not exist.")
    return RcigError(f"{path} can't be {action} ({reason}).")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Map in threads; for work that waits for the disk or computes checksums."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, items))


# Writing


def write_text_atomically(path: Path, text: str, *, replace: bool = True) -> None:
    """Write a text file as UTF-8; see `write_bytes_atomically`."""
    write_bytes_atomically(path, text.encode(), replace=replace)


def write_bytes_atomically(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new.

    Parameters
    ----------
    path
        The file; its folder must exist.
    content
        The whole content.
    replace
        Whether the file may exist already.

    Raises
    ------
    AlreadyExists
        If not `replace`, and the file exists.
    RcigError
        If it can't be written; an existing file is unchanged.
    """
    with storage_errors(path), _temporary(path.parent, _new_file) as (temporary, descriptor):
        write_all(descriptor, content)
        os.fsync(descriptor)
        if replace:
            os.replace(temporary, path)
        else:
            _rename_new_file(temporary, path)
        _sync(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte of `data`, however few of them each system call takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


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
def temporary_folder(parent: Path, *, clean: bool = True) -> Iterator[Path]:
    """Make an empty temporary folder in `parent`; readers of a store pass over it.

    Give it its final name with `publish` or `replace_folder`.  When the context ends, the folder is removed
    if it still exists under its temporary name.

    Parameters
    ----------
    parent
        Where; it is made if it doesn't exist.
    clean
        Whether to remove the temporary files in `parent` that crashed processes left; for folders of a store.

    Yields
    ------
    Path
        ``<parent>/.tmp-<random>``
    """
    with contextlib.ExitStack() as stack:
        with storage_errors(parent):
            make_folder(parent)
            if clean:
                remove_abandoned(parent)
            temporary, _ = stack.enter_context(_temporary(parent, _new_folder))
        yield temporary


def publish(prepared: Path, final: Path) -> None:
    """Rename a prepared file or folder to its final name, which must be free.

    Raises
    ------
    AlreadyExists
        If a file or folder has that name; it is unchanged.
    RcigError
        If it can't be made durable; then the name is still free.
    """
    with storage_errors(final):
        if prepared.is_dir():
            _sync_tree(prepared)
            _rename_new_folder(prepared, final)
        else:
            _sync(prepared)
            _rename_new_file(prepared, final)
        _sync_or_undo(final.parent, lambda: os.rename(final, prepared))


def replace_folder(prepared: Path, final: Path) -> None:
    """Rename a prepared folder to its final name; a folder that has this name is replaced and removed.

    The kernel exchanges the two names in one step (``renameat2`` on Linux, ``renamex_np`` on macOS).  Some
    file systems can't; there the old folder is first renamed to ``.replaced-<name>-<random>``, and a crash
    just after that leaves it under this name, complete.

    Raises
    ------
    RcigError
        If it can't be made durable; then the old folder is back in its place.
    """
    if not final.is_dir():
        publish(prepared, final)
        return
    with storage_errors(final), contextlib.ExitStack() as stack:
        _sync_tree(prepared)
        with contextlib.suppress(OSError):  # until the old folder is removed, it is in use by this process
            stack.callback(os.close, _lock(final))
        _swap(prepared, final)
        _sync_or_undo(final.parent, lambda: _swap(prepared, final))
        _remove_quietly(prepared)


def remove_folder(path: Path) -> Path:
    """Remove a folder; a reader, or a crash, never finds a part of it under its name.

    Returns
    -------
    Path
        The temporary name under which the files are that couldn't be removed, if there are any.

    Raises
    ------
    NotFound
        If it doesn't exist.
    RcigError
        If it can't be renamed.
    """
    temporary = _temporary_name(path.parent)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.callback(os.close, _lock(path))
        with storage_errors(path):
            os.rename(path, temporary)
            _sync(path.parent)
        _remove_quietly(temporary)
    return temporary


def sync_tree(folder: Path) -> None:
    """Force a folder and everything below it to the disk.

    Raises
    ------
    RcigError
        If the system reports an error.
    """
    with storage_errors(folder):
        _sync_tree(folder)


# Temporary files of other processes


def is_temporary(name: str) -> bool:
    """Whether a name is one that writers use for temporary files and folders."""
    return name.startswith((TEMPORARY, REPLACED))


def is_abandoned(path: Path) -> bool:
    """Whether a temporary file or folder belongs to no live process, and may be removed."""
    try:
        age = time.time() - path.lstat().st_ctime
    except FileNotFoundError:
        return False
    time.sleep(max(0.0, min(_YOUNG, _YOUNG - age)))
    with _unowned(path) as unowned:
        return unowned


def displaced_from(path: Path) -> Path | None:
    """Return where the folder at a ``.replaced-`` name belongs, if a crash left nothing in its place."""
    match = _REPLACED_NAME.fullmatch(path.name)
    place = path.parent / match[1] if match else None
    return place if place is not None and path.exists() and not place.exists() else None


def temporaries(folder: Path) -> Iterator[Path]:
    """Find the temporary files and folders in a folder and below, but not within arrays."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if is_temporary(path.name):
            yield path
        elif path.suffix != ".zarr":
            yield from temporaries(path)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files and folders directly in `folder` that crashed processes left."""
    for path in folder.glob(f"{TEMPORARY}*"):
        remove_if_abandoned(path)


def remove_if_abandoned(path: Path) -> bool:
    """Remove a temporary file or folder unless a live process owns it; return whether it is gone."""
    with _unowned(path) as unowned:
        if unowned:
            _remove_quietly(path)
    return not os.path.lexists(path)


@contextlib.contextmanager
def _unowned(path: Path) -> Iterator[bool]:
    """Lock a temporary file; False where a process owns it, or it can't be locked."""
    try:
        descriptor = _lock(path)
    except OSError:
        yield False
        return
    try:
        yield displaced_from(path) is None
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _temporary(parent: Path, make: Callable[[Path], int]) -> Iterator[tuple[Path, int]]:
    """Make a temporary file or folder, locked until the context ends; then remove it if it is still there."""
    path, descriptor = _make_locked(parent, make)
    try:
        yield path, descriptor
    finally:
        _remove_quietly(path)
        os.close(descriptor)


def _make_locked(parent: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    # Between making and locking, another process may take the file for an abandoned one, and remove it.
    for _ in range(_ATTEMPTS):
        path = _temporary_name(parent)
        try:
            descriptor = make(path)
        except FileNotFoundError:
            if not parent.is_dir():
                raise
            continue
        if _lock_new(path, descriptor):
            return path, descriptor
        os.close(descriptor)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(parent))


def _lock_new(path: Path, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: no process can take the file for an abandoned one
        return True
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())


def _new_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def _new_folder(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _temporary_name(parent: Path) -> Path:
    return parent / f"{TEMPORARY}{secrets.token_hex(8)}"


def _lock(path: Path) -> int:
    """Lock a file or folder; return the descriptor."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_quietly(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


# Renaming


def _rename_new_folder(prepared: Path, final: Path) -> None:
    """Rename a folder that isn't empty; a rename never replaces another folder that isn't empty."""
    if os.path.lexists(final):
        raise AlreadyExists(f"{final} exists already.")
    try:
        os.rename(prepared, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise AlreadyExists(f"{final} exists already.") from error


def _rename_new_file(prepared: Path, final: Path) -> None:
    """Rename a file; a hard link never replaces another file."""
    try:
        os.link(prepared, final)
    except FileExistsError as error:
        raise AlreadyExists(f"{final} exists already.") from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        if os.path.lexists(final):  # a file system without hard links
            raise AlreadyExists(f"{final} exists already.") from error
        os.rename(prepared, final)
    else:
        os.unlink(prepared)


def _swap(first: Path, second: Path) -> None:
    if _exchange(first, second):
        return
    replaced = second.parent / f"{REPLACED}{second.name}-{secrets.token_hex(8)}"
    os.rename(second, replaced)
    try:
        os.rename(first, second)
    except OSError:
        os.rename(replaced, second)
        raise
    os.rename(replaced, first)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; False if this machine or file system can't."""
    call = _exchange_call()
    code = call(os.fsencode(first), os.fsencode(second)) if call else errno.ENOSYS
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP):
        return False
    if code:
        raise OSError(code, os.strerror(code), str(first), None, str(second))
    return True


@functools.cache
def _exchange_call() -> Callable[[bytes, bytes], int] | None:
    """Return a function from two paths to an error number, 0 for success."""
    import ctypes

    libc, current, exchange = ctypes.CDLL(None, use_errno=True), -100, 2
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        return lambda a, b: ctypes.get_errno() if libc.renamex_np(a, b, exchange) else 0
    if hasattr(libc, "renameat2"):
        return lambda a, b: ctypes.get_errno() if libc.renameat2(current, a, current, b, exchange) else 0
    return None


def _sync_or_undo(folder: Path, undo: Callable[[], None]) -> None:
    try:
        _sync(folder)
    except OSError:
        undo()
        raise


def _sync_tree(folder: Path) -> None:
    in_threads(_sync, [Path(root, name) for root, _, names in os.walk(folder) for name in (*names, "")])


def _sync(path: Path) -> None:
    """Force a file's bytes, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Space


def free_bytes(folder: Path) -> int:
    """Return how many bytes can still be written to the disk where a folder is, or will be.

    Raises
    ------
    RcigError
        If the system doesn't say.
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
