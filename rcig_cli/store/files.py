"""Durable writing: at every instant a reader finds the old or the new, never a half.

Everything is written under a name beginning ``.aside-`` in the folder it belongs to, forced to the
disk, renamed, and the rename itself forced to the disk.  Whoever writes an aside holds a kernel lock on
it, so that the asides of dead processes can be told from those of living ones and removed.
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from rcig_cli.errors import NotFound, RcigError
from rcig_cli.store import renames
from rcig_cli.store.asides import (
    adopt,
    aside_name,
    claimed,
    held,
    new_file,
    new_folder,
    remove_dead_asides,
    remove_quietly,
)

REPLACED = ".replaced-"
_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


class AlreadyExists(RcigError):
    """A name that was to be new is taken."""


@contextlib.contextmanager
def storage_errors(path: Path, action: str = "written") -> Iterator[None]:
    """Turn an ``OSError`` of the body into a sentence for the user.

    Parameters
    ----------
    path
        What was being written or read.
    action
        "written" or "read", for the sentence.

    Raises
    ------
    NotFound
        If something needed is missing.
    RcigError
        For a full disk, missing permissions, an input/output error and every other system error.
    """
    try:
        yield
    except OSError as error:
        raise _sentence(error, path, action) from error


def _sentence(error: OSError, path: Path, action: str) -> RcigError:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return RcigError(
                f"The disk is full: {path} can't be written, and what was there before still stands. "
                "Free some space, then run the same command again."
            )
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return RcigError(
                f"{path} can't be {action} ({_reason(error)}). "
                "Check its permissions, or choose another store with --store."
            )
        case errno.EIO:
            return RcigError(
                f"The disk reported an input/output error: {path} can't be {action}. "
                "What was there before still stands; check the disk, then run the same command again."
            )
        case errno.ENOENT:
            return NotFound(f"{error.filename or path} isn't there.")
    return RcigError(f"{path} can't be {action} ({_reason(error)}).")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Map in threads: hashing and waiting for the disk both let other threads run."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, items))


def write_text_atomically(path: Path, text: str, *, replace: bool = True) -> None:
    """Write a text file so that a reader, or a crash, finds the old text or the new one.

    Parameters
    ----------
    path
        The file; its folder must exist.
    text
        The whole text, written as UTF-8.
    replace
        False to refuse a file that is there already.

    Raises
    ------
    AlreadyExists
        If not `replace`, and the file is there.
    RcigError
        If it can't be written; the old file stands.
    """
    write_bytes_atomically(path, text.encode(), replace=replace)


def write_bytes_atomically(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file as `write_text_atomically` does, from bytes."""
    rename = os.replace if replace else renames.rename_exclusively
    with storage_errors(path), claimed(path.parent, new_file) as (aside, descriptor):
        write_all(descriptor, content)
        os.fsync(descriptor)
        _rename_new(rename, aside, path)
        _sync(path.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte of `data`, however few of them each system call takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def aside_folder(parent: Path, *, tidy: bool = True) -> Iterator[Path]:
    """Make an empty folder to prepare something in, out of every reader's sight.

    Publish it with `publish_folder`, `exchange_folder` or `place_folder`, or a file in it with
    `publish_file`; whatever stands under its name when the context ends is removed.  `parent` is created if
    need be, and if `tidy` the asides that dead processes left in it are removed: in a store's folders.

    Yields
    ------
    Path
        ``<parent>/.aside-<random>``
    """
    with contextlib.ExitStack() as stack:
        with storage_errors(parent):
            make_folder(parent)
            if tidy:
                remove_dead_asides(parent)
            aside, _ = stack.enter_context(claimed(parent, new_folder))
        yield aside


def make_folder(path: Path, *, parents: bool = True) -> None:
    """Make a folder, and if `parents` those above it, unless they are there; they outlast a crash.

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


def publish_folder(aside: Path, final: Path) -> None:
    """Give a prepared folder its name, which must be free.

    Raises
    ------
    AlreadyExists
        If something has that name; it is untouched.
    RcigError
        If it can't be made durable; then nothing has that name.
    """
    _publish(aside, final, _sync_tree)


def publish_file(prepared: Path, final: Path) -> None:
    """Give a file prepared in an `aside_folder` its name beside that folder, which must be free.

    Raises
    ------
    AlreadyExists
        If something has that name; it is untouched.
    RcigError
        If it can't be made durable; then nothing has that name.
    """
    _publish(prepared, final, _sync)


def _publish(prepared: Path, final: Path, sync: Callable[[Path], None]) -> None:
    with storage_errors(final):
        sync(prepared)
        _rename_new(renames.rename_exclusively, prepared, final)
        _sync_or_undo(final.parent, lambda: os.rename(final, prepared))


def exchange_folder(aside: Path, final: Path) -> None:
    """Put a prepared folder in the place of one that exists, which is then at `aside`.

    The kernel swaps the two names in one step.  Where it can't (see `renames`), the old folder is first
    renamed to ``.replaced-<name>-<random>``: for an instant a reader finds neither, and after a crash
    in that instant the old folder is still there under that name.

    Raises
    ------
    NotFound
        If there is no folder to replace.
    RcigError
        If it can't be made durable; then the old folder is back in its place.
    """
    with storage_errors(final):
        _sync_tree(aside)
        adopt(aside, final)
        _swap(aside, final)
        _sync_or_undo(final.parent, lambda: _swap(aside, final))


def place_folder(aside: Path, final: Path) -> None:
    """Publish a prepared folder under a name that may be free or taken.

    Raises
    ------
    RcigError
        As `publish_folder` and `exchange_folder`; what stood before still stands.
    """
    (exchange_folder if final.is_dir() else publish_folder)(aside, final)


def remove_folder(path: Path) -> Path:
    """Remove a folder, or a link to one, so that no reader, and no crash, finds half of it under its name.

    Returns
    -------
    Path
        Where what couldn't be removed is, if there is anything.

    Raises
    ------
    NotFound
        If there is none.
    RcigError
        If it can't be renamed away.
    """
    aside = aside_name(path.parent)
    with held(path):
        with storage_errors(path):
            os.rename(path, aside)
            _sync(path.parent)
        remove_quietly(aside)
    return aside


def _rename_new(rename: Callable[[Path, Path], None], aside: Path, final: Path) -> None:
    try:
        rename(aside, final)
    except FileExistsError as error:
        raise AlreadyExists(f"{final} exists already.") from error


def _swap(aside: Path, final: Path) -> None:
    if renames.swap(aside, final):
        return
    replaced = final.parent / f"{REPLACED}{final.name}-{secrets.token_hex(8)}"
    os.rename(final, replaced)
    try:
        os.rename(aside, final)
    except OSError:
        os.rename(replaced, final)
        raise
    os.rename(replaced, aside)


def _sync_or_undo(folder: Path, undo: Callable[[], None]) -> None:
    try:
        _sync(folder)
    except OSError:
        undo()
        raise


def secure_tree(folder: Path) -> None:
    """Force a folder and all below it to the disk.

    Raises
    ------
    RcigError
        If it can't be.
    """
    with storage_errors(folder):
        _sync_tree(folder)


def _sync_tree(folder: Path) -> None:
    paths = [Path(root, name) for root, _, names in os.walk(folder) for name in (*names, "")]
    in_threads(_sync, paths)


def _sync(path: Path) -> None:
    """Force a file's bytes, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with _closing(descriptor):
        os.fsync(descriptor)


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)
