"""Files of a downloaded data set, opened with care: regular ones only, inside the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rcig_cli.data.layouts.regular import open_regular
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError

_LARGEST_TEXT = 2**23  # a line takes some 60 bytes more in memory than in its file


def present(folder: Path, *names: str) -> bool:
    """Say whether a folder has entries of all these names, whatever they are."""
    return all(os.path.lexists(folder / name) for name in names)


@contextmanager
def opened(folder: Path, name: str) -> Iterator[BinaryIO]:
    """Open a file of a folder, and say in a sentence if the system doesn't let it be read.

    Parameters
    ----------
    folder, name
        The file is ``folder / name``.

    Raises
    ------
    NotFound
        If it isn't there.
    ConfigError
        If it is no regular file, or a link that leads out of the folder.
    RcigError
        If it can't be read.
    """
    path = folder / name
    try:
        real = path.resolve(strict=True)
        if not real.is_relative_to(folder.resolve()):
            raise ConfigError(f"{path} is a link that leads out of {folder}: put the file itself there.")
        with open_regular(real, follow=False) as file:  # a link put there meanwhile isn't followed
            yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{path} is missing: unpack the download again.") from error
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RcigError(f"{path} can't be read: {reason}.") from error


def size_of(file: BinaryIO) -> int:
    """Give the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def read_exactly(file: BinaryIO, count: int, path: Path) -> bytes:
    """Read ``count`` bytes.

    Raises
    ------
    Corrupt
        If the file ends before.
    """
    data = file.read(count)
    if len(data) != count:
        raise Corrupt(f"{path} is cut short: download it again.")
    return data


def read_lines(folder: Path, name: str) -> list[str]:
    """Read a text file, without its empty lines.

    Raises
    ------
    Corrupt
        If it isn't UTF-8, or larger than any such file.
    NotFound, ConfigError, RcigError
        As ``opened``.
    """
    path = folder / name
    with opened(folder, name) as file:
        if size_of(file) > _LARGEST_TEXT:
            raise Corrupt(f"{path} is too large to be what its name says: download it again.")
        content = file.read(_LARGEST_TEXT)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Corrupt(f"{path} is no text in UTF-8: download it again.") from error
    return [line for line in (raw.strip() for raw in text.split("\n")) if line]
