"""Opening plain files and nothing else, and going into plain folders only.

A pipe would be waited for, a device may have no end, and a link inside an artifact could lead out of the
store: what is read may lie behind one (people move large files), what is written never.
"""

import os
import stat
from io import BufferedReader
from pathlib import Path

from rcig_cli.errors import Corrupt
from rcig_cli.store.asides import is_plain_folder

# A pipe isn't waited for, and a terminal doesn't become ours.
_CAREFULLY = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def open_plain(path: Path) -> BufferedReader:
    """Open a plain file, or a link to one, for reading.

    Raises
    ------
    Corrupt
        If it is anything else.
    OSError
        If it can't be opened.
    """
    return os.fdopen(plain_descriptor(path, os.O_RDONLY), "rb")


def plain_descriptor(path: Path, flags: int) -> int:
    """Open a plain file as `os.open` does; what is made has the usual permissions.

    Raises
    ------
    Corrupt
        If it is anything else.
    OSError
        If it can't be opened.
    """
    descriptor = os.open(path, flags | _CAREFULLY, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Corrupt(f"{path} is damaged: it isn't a plain file.")
    return descriptor


def read_plain(path: Path, most: int, noun: str) -> bytes:
    """Read a plain file of at most `most` bytes; `noun` says in an error what it is.

    Raises
    ------
    Corrupt
        If it is anything else, or larger.
    OSError
        If it can't be read.
    """
    with open_plain(path) as stream:
        # The size may be a lie, or change: what counts is what comes.
        content = stream.read(most + 1) if os.fstat(stream.fileno()).st_size <= most else None
    if content is None or len(content) > most:
        raise Corrupt(f"{path} is damaged: it is larger than any {noun} in a store can be, {most} bytes.")
    return content


def check_own(folder: Path) -> Path:
    """Return a folder of an artifact that is to be written into, which needn't exist yet.

    Raises
    ------
    Corrupt
        If it is a link, which could lead out of the store, or no folder.
    """
    if os.path.lexists(folder) and not is_plain_folder(folder):
        raise Corrupt(f"{folder} is damaged: it isn't a plain folder, and nothing is written through it.")
    return folder
