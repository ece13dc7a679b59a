"""Asides: what is being written, out of every reader's sight, under a name beginning ``.aside-``.

Whoever writes one holds a kernel lock on it, so that the asides of dead processes can be told from those of
living ones and removed.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

ASIDE = ".aside-"
_CLAIM_ATTEMPTS = 20

# Beside its own, what the writer of an aside holds until it is done.
_adopted: dict[Path, list[int]] = {}


@contextlib.contextmanager
def claimed(parent: Path, make: Callable[[Path], int]) -> Iterator[tuple[Path, int]]:
    """Make an aside, and hold it until the context ends; then remove what has its name."""
    aside, descriptor = _claim(parent, make)
    try:
        yield aside, descriptor
    finally:
        remove_quietly(aside)
        for each in (descriptor, *_adopted.pop(aside, ())):
            os.close(each)


def adopt(aside: Path, folder: Path) -> None:
    """Hold a folder that is to be exchanged with an aside, until the aside's context ends.

    What is at the aside's name after that has a living owner too, who may yet have to put it back.
    """
    with contextlib.suppress(OSError):
        _adopted.setdefault(aside, []).append(_lock(folder))


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a folder that is to become an aside, as far as it can be held."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.callback(os.close, _lock(path))
        yield


def _claim(parent: Path, make: Callable[[Path], int]) -> tuple[Path, int]:
    # A process that is tidying up may take an aside for a dead one just before it is locked.
    for _ in range(_CLAIM_ATTEMPTS):
        aside = aside_name(parent)
        try:
            descriptor = make(aside)
        except FileNotFoundError:
            if not parent.is_dir():
                raise
            continue
        if _lock_aside(aside, descriptor):
            return aside, descriptor
        os.close(descriptor)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(parent))


def _lock_aside(aside: Path, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: nobody can lock this aside, so nobody will take it for dead.
        return True
    return aside.exists() and os.path.samestat(os.fstat(descriptor), aside.stat())


def new_file(aside: Path) -> int:
    """Make an empty file; return its descriptor."""
    return os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def new_folder(aside: Path) -> int:
    """Make an empty folder; return its descriptor."""
    aside.mkdir()
    return os.open(aside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def aside_name(parent: Path) -> Path:
    """Make up a name that nothing in a folder has."""
    return parent / f"{ASIDE}{secrets.token_hex(8)}"


def is_plain_folder(path: Path) -> bool:
    """Whether there is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def remove_quietly(path: Path) -> None:
    """Remove what is there, if it can be removed; nobody reads an aside."""
    if is_plain_folder(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        path.unlink()


def remove_dead_asides(parent: Path) -> None:
    """Remove from a folder what processes that are no more were writing when they died."""
    for aside in parent.glob(f"{ASIDE}*"):
        remove_if_dead(aside)


def remove_if_dead(aside: Path) -> None:
    """Remove an aside unless its writer is alive."""
    with _owned(aside) as dead:
        if dead:
            remove_quietly(aside)


def is_dead(aside: Path) -> bool:
    """Whether the writer of an aside is no more."""
    with _owned(aside) as dead:
        return dead


@contextlib.contextmanager
def _owned(aside: Path) -> Iterator[bool]:
    """Hold an aside's lock; False where it has an owner, or can't be examined now."""
    try:
        descriptor = _lock(aside)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int:
    """Lock what is there; return its descriptor."""
    # It might be anything by now: a link isn't followed, and a pipe not waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
