"""Arrays inside an ``.npz`` file, read a few rows at a time.

An ``.npz`` file is a zip archive of ``.npy`` files.  The header of each is read first and held against
the size that the archive declares, so no memory is taken on the word of a header, and pickled objects
are refused unread.
"""

from __future__ import annotations

import math
import warnings
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

from rcig_cli.data.layouts.archive import open_archive
from rcig_cli.errors import ConfigError, Corrupt

_LARGEST_SMALL_ARRAY = 64 * 2**20
_LARGEST_HEADER = 2**16
_MOST_AXES = 8
_LONGEST_KEY = 256
_PIECE = 2**20


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
    start
        How long the header is.
    checksum
        The archive's, by which the file is known to be the same when it is opened again.
    """

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int
    checksum: int

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the array in pieces along its first axis.

        Parameters
        ----------
        rows
            Rows per piece; the last may have fewer.

        Raises
        ------
        Corrupt
            If the data are damaged, end too soon, or are others than before.
        """
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        with self._content() as stream:
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
            If the data are damaged, end too soon, or are others than before.
        """
        if self._size > most:
            raise ConfigError(f"{self.path}: {self.key} is too large to be what its name says.")
        if not self._size:
            return np.empty(self.shape, self.dtype)
        with self._content() as stream:
            return np.frombuffer(_read_exactly(stream, self._size, self), self.dtype).reshape(self.shape)

    @contextmanager
    def _content(self) -> Iterator[IO[bytes]]:
        with open_archive(self.path) as archive:
            try:
                info = archive.getinfo(f"{self.key}.npy")
            except KeyError:
                info = zipfile.ZipInfo()
            if (info.file_size, info.CRC) != (self.start + self._size, self.checksum):
                raise Corrupt(f"{self.path} has changed while it was read: run the same command again.")
            with archive.open(info) as stream:
                _read_exactly(stream, self.start, self)
                yield stream

    @property
    def _size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


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
        files = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        return {info.filename[:-4]: _member(archive, info, path) for info in files}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Member:
    key = info.filename[:-4]
    if len(key) > _LONGEST_KEY or not key.isprintable():
        raise ConfigError(f"{path} holds an array without a proper name, {key[:40]!r}: use a file you trust.")
    with archive.open(info) as stream:
        try:
            shape, fortran, dtype = _read_header(stream)
        # On damaged headers NumPy lets out errors of almost any kind.
        except Exception as error:
            if isinstance(error, zipfile.BadZipFile | zlib.error | EOFError | OSError):
                raise
            raise Corrupt(f"{path}: the header of {key} is damaged: make or copy the file again.") from error
        start = stream.tell()
    _check_layout(f"{path}: {key}", fortran and len(shape) > 1, dtype)
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or max(shape, default=0) >= 2**62 or info.file_size != start + size:
        raise Corrupt(f"{path}: {key} isn't as large as its header says: make or copy the file again.")
    if not dtype.itemsize or len(shape) > _MOST_AXES:
        raise Corrupt(f"{path}: {key} is no array of numbers or texts: make or copy the file again.")
    return Member(path, key, shape, dtype, start, info.CRC)


def _check_layout(where: str, fortran: bool, dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise ConfigError(f"{where} holds pickled Python objects, which are never read: save plain numbers.")
    if dtype.kind == "V":
        raise ConfigError(f"{where} holds records, not numbers: save an array for each of their fields.")
    if fortran:
        raise ConfigError(f"{where} is in Fortran order: save numpy.ascontiguousarray of it.")


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote, or nobody
        return _parse_header(stream)


def _parse_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
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


def _read_exactly(stream: IO[bytes], count: int, member: Member) -> bytearray:
    """Read bytes, in pieces: a single long read takes twice as much memory."""
    data = bytearray(count)
    left = memoryview(data)
    while left:
        piece = stream.read(min(len(left), _PIECE))
        if not piece:
            raise Corrupt(f"{member.path}: {member.key} is cut short: make or copy the file again.")
        left[: len(piece)] = piece
        left = left[len(piece) :]
    return data
