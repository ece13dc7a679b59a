"""Open files of unknown origin: only regular files inside their folder, with their sizes checked.

Nothing is unpacked to disk.  A pipe or a device in place of a file is refused: opening it could block.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO

from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError

LARGEST_TEXT = 2**23  # bytes; a line takes some 60 bytes more in memory
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks other methods without a bound
_ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, UnicodeDecodeError, RuntimeError)


def has_files(folder: Path, *names: str) -> bool:
    """Whether a folder has entries of all these names, of any type."""
    return all(os.path.lexists(folder / name) for name in names)


def files_with(folder: Path, *suffixes: str) -> list[Path]:
    """Return the files in a folder whose names end so, in any case, sorted."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.is_file())


@contextmanager
def open_file(path: Path, *, most: int | None = None, inside: Path | None = None) -> Iterator[BufferedReader]:
    """Open a regular file, or a link to one, for reading.

    Parameters
    ----------
    path
        The file.
    most
        Largest size in bytes that is accepted; None accepts any.
    inside
        A folder that links may not lead out of.

    Raises
    ------
    NotFound
        If it doesn't exist.
    ConfigError
        If it is a folder, pipe, socket or device, larger than ``most``, or outside of ``inside``.
    RcigError
        If it can't be read, also while it is open.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ConfigError(f"{path} can't be read: it is not a regular file.")
        if inside is not None:
            check_inside(path, inside)
        if most is not None and size > most:
            raise ConfigError(f"{path} is too large: the limit is {most} bytes.")
        with path.open("rb") as file:
            yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        again = "" if inside is None else ", or unpack it again"
        raise NotFound(f"There is no file or folder {path}: check the path{again}.") from error
    except OSError as error:
        raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error


def check_inside(path: Path, folder: Path) -> None:
    """Refuse a link that leads out of a folder, by a `ConfigError`."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{path} is a link that leads out of {folder}: put the file itself there.")


def read_exactly(file: IO[bytes], count: int, path: Path) -> bytes:
    """Read ``count`` bytes; raises `Corrupt` if the file ends before."""
    data = file.read(count)
    if len(data) != count:
        raise Corrupt(f"{path} is cut short: download or copy it again.")
    return data


def read_lines(folder: Path, name: str) -> list[str]:
    """Read the text file ``folder / name`` in UTF-8, without its empty lines.

    Raises `Corrupt` if it isn't UTF-8, and as `open_file`; the limit is 8 MiB.
    """
    with open_file(folder / name, most=LARGEST_TEXT, inside=folder) as file:
        content = file.read()
    try:
        return lines_of(content)
    except UnicodeDecodeError as error:
        raise Corrupt(f"{folder / name} is not UTF-8 text: download it again.") from error


def lines_of(content: bytes) -> list[str]:
    """Split text in UTF-8 into its lines, without empty ones; raises UnicodeDecodeError."""
    return [line for line in (raw.strip() for raw in content.decode("utf-8-sig").split("\n")) if line]


@contextmanager
def open_archive(path: Path, *, inside: Path | None = None) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive, such as an ``.npz`` file; errors while it is open are translated too.

    Raises
    ------
    Corrupt
        If it is not a zip archive, or damaged.
    ConfigError
        If it uses a compression that NumPy doesn't write.
    NotFound, ConfigError, RcigError
        As `open_file`.
    """
    try:
        with open_file(path, inside=inside) as file, zipfile.ZipFile(file) as archive:
            if any(entry.compress_type not in _METHODS for entry in archive.infolist()):
                raise ConfigError(
                    f"{path} isn't compressed as NumPy does it: save it with numpy.savez_compressed."
                )
            yield archive
    except _ARCHIVE_ERRORS as error:
        kind = path.suffix or ".zip"
        raise Corrupt(f"{path} is damaged, cut short or not a {kind} file: make or copy it again.") from error
