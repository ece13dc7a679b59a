"""Regular files alone: opening a pipe would wait for its other end, and a device may never come to one."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from rcig_cli.errors import ConfigError


def open_regular(path: Path, *, follow: bool = True) -> io.BufferedReader:
    """Open a file for reading.

    Parameters
    ----------
    path
        The file.
    follow
        Whether it may be a link.

    Raises
    ------
    ConfigError
        If it is a folder, pipe, socket or device.
    OSError
        If the system doesn't let it be opened.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    return open(path, "rb", opener=lambda name, _: _regular(name, flags))


def _regular(name: str, flags: int) -> int:
    descriptor = os.open(name, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigError(f"{name} can't be read: it is no regular file.")
    return descriptor
