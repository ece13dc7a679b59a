"""Arrays inside an ``.npz`` file, read a few rows at a time.

An ``.npz`` file is a zip archive of ``.npy`` files.  The header of each is read first and held against
the size that the archive declares, so no memory is taken on the word of a header, and pickled objects
are refused unread.
"""

from __future__ import annotations

import errno
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError

_LARGEST_SMALL_ARRAY = 64 * 2**20
_LARGEST_HEADER = 2**16
_DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, EOFError),
    *(UnicodeDecodeError, NotImplementedError, RuntimeError),
)


@dataclass(frozen=True)
class Member:
    """One array of an ``.npz`` file, not yet read.

    Parameters
    ----------
    path
        The ``.npz`` file.
    key
        The name of the array in it.
    shape, dtype
        What its header declares; the archive's directory agrees with it.
    """

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the array in pieces along its first axis.

        Parameters
        ----------
        rows
            Rows per piece; the last may have fewer.

        Raises
        ------
        Corrupt
            If the data are damaged or end too soon.
        """
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        with open_archive(self.path) as archive, archive.open(f"{self.key}.npy") as stream:
            _read_header(stream)
            for start in range(0, self.shape[0], rows):
                count = min(rows, self.shape[0] - start)
                data = _read_exactly(stream, count * row_bytes, self)
                yield np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])

    def read(self, most: int = _LARGEST_SMALL_ARRAY) -> npt.NDArray[Any]:
        """Read an array whole.

        Parameters
        ----------
        most
            Bytes it may have; by default as many as labels and class names can.

        Raises
        ------
        ConfigError
            If it is larger.
        Corrupt
            If the data are damaged.
        """
        size = math.prod(self.shape) * self.dtype.itemsize
        if size > most:
            raise ConfigError(f"{self.path}: {self.key} is too large to be what its name says.")
        if not size:
            return np.empty(self.shape, self.dtype)
        with open_archive(self.path) as archive, archive.open(f"{self.key}.npy") as stream:
            _read_header(stream)
            return np.frombuffer(_read_exactly(stream, size, self), self.dtype).reshape(self.shape)


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an ``.npz`` file or another zip archive; say in a sentence what is wrong with it while it is open.

    Raises
    ------
    NotFound
        If there is no such file.
    Corrupt
        If it is no zip archive, or damaged.
    RcigError
        If the system doesn't let it be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}: check what you passed to --from.") from error
    except _DAMAGES as error:
        kind = path.suffix or ".zip"
        raise Corrupt(f"{path} is damaged, cut short or no {kind} file: make or copy it again.") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # its directory points before its beginning
            raise Corrupt(f"{path} is damaged: make or copy it again.") from error
        raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error


def members(path: Path) -> dict[str, Member]:
    """Read the headers of all arrays of an ``.npz`` file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        The arrays by name.

    Raises
    ------
    NotFound, Corrupt, ConfigError, RcigError
        If the file is missing, damaged, holds pickled objects, or can't be read.
    """
    with open_archive(path) as archive:
        check_inner_names(archive, path)
        files = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        return {info.filename[:-4]: _member(archive, info, path) for info in files}


def check_inner_names(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive with names that lead out of it: nothing is unpacked, but nobody writes such by slip.

    Raises
    ------
    ConfigError
        With the name.
    """
    for name in archive.namelist():
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise ConfigError(f"{path} holds the path {name!r}, which leads out of it: use a file you trust.")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Member:
    key = info.filename[:-4]
    with archive.open(info) as stream:
        try:
            shape, fortran, dtype = _read_header(stream)
        except (ValueError, TypeError, SyntaxError, tokenize.TokenError) as error:
            raise Corrupt(f"{path}: the header of {key} is damaged: make or copy the file again.") from error
        left = info.file_size - stream.tell()
    _check_layout(f"{path}: {key}", fortran and len(shape) > 1, dtype)
    if min(shape, default=0) < 0 or left != math.prod(shape) * dtype.itemsize:
        raise Corrupt(f"{path}: {key} isn't as large as its header says: make or copy the file again.")
    return Member(path, key, shape, dtype)


def _check_layout(where: str, fortran: bool, dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise ConfigError(f"{where} holds pickled Python objects, which are never read: save plain numbers.")
    if fortran:
        raise ConfigError(f"{where} is in Fortran order: save numpy.ascontiguousarray of it.")


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        return npy.read_array_header_1_0(stream)
    if version == (2, 0):
        return npy.read_array_header_2_0(_Bounded(stream))
    raise ValueError(f"unknown version {version}")


class _Bounded:
    """A stream that gives a header but not the gigabytes that version 2 can declare for one."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, count: int = -1, /) -> bytes:
        if not 0 <= count <= _LARGEST_HEADER:
            raise ValueError(f"a header of {count} bytes")
        return self._stream.read(count)


def _read_exactly(stream: IO[bytes], count: int, member: Member) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise Corrupt(f"{member.path}: {member.key} is cut short: make or copy the file again.")
    return data
