"""The arrays in ``.npy`` files, and in ``.npz`` files, which are zip archives of them.

NumPy would read a whole array at once; here arrays are read a few rows at a time.  The size that a header
declares is first compared with that of the file, or in the archive's directory.  Pickled objects are refused
without being read.
"""

from __future__ import annotations

import io
import math
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from rcig_cli.data.files import open_archive, open_file, read_exactly
from rcig_cli.errors import ConfigError, Corrupt

LARGEST_SMALL_ARRAY = 64 * 2**20
"""Limit for labels and class names, in bytes."""

_LARGEST_HEADER = 2**16
_LARGEST_FORTRAN = 2**29  # bytes: the values of an image are spread over the array, so all of it is read


@dataclass(frozen=True)
class Member:
    """An array in an ``.npz`` or ``.npy`` file, not yet read.

    Attributes
    ----------
    path, entry
        The file, and in an ``.npz`` file the array's entry in its directory; the checksum there reveals a
        file that was replaced since.
    shape, dtype
        From the array's header; the size of the data agrees.
    start
        Length of the header in bytes.
    fortran
        Whether the first axis is the one along which neighbouring values lie.
    """

    path: Path
    entry: zipfile.ZipInfo | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int
    fortran: bool = False

    def __str__(self) -> str:
        return _called(self.path, self.entry)

    @property
    def size(self) -> int:
        """Size of all entries, in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the array, read-only, in pieces of ``rows`` along its first axis; the last may have fewer.

        An array in Fortran order is read as a whole first.  Raises `Corrupt` if the data are damaged or have
        changed, as `read` does.
        """
        if self.fortran:
            whole = self.read(_LARGEST_FORTRAN)
            yield from (np.ascontiguousarray(whole[at : at + rows]) for at in range(0, len(whole), rows))
            return
        with _stream(self.path, self.entry) as stream:
            stream.read(self.start)
            for start in range(0, self.shape[0], rows):
                yield self._next(stream, (min(rows, self.shape[0] - start), *self.shape[1:]))

    def read(self, most: int | None = None) -> npt.NDArray[Any]:
        """Read the whole array, read-only; raises `ConfigError` if it has more than ``most`` bytes."""
        if most is not None and self.size > most:
            hint = ", or save it in C order, with numpy.ascontiguousarray" if self.fortran else ""
            raise ConfigError(f"{self} is too large: the limit is {most} bytes{hint}.")
        with _stream(self.path, self.entry) as stream:
            stream.read(self.start)
            return self._next(stream, self.shape)

    def _next(self, stream: IO[bytes], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        data = read_exactly(stream, math.prod(shape) * self.dtype.itemsize, self.path)
        if self.dtype.kind == "U":  # NumPy doesn't check that these are characters, and Python crashes if not
            codes = np.frombuffer(data, self.dtype.str[0] + "u4")
            if codes.size and codes.max() > sys.maxunicode:
                raise Corrupt(f"{self} is damaged: it has characters that don't exist.")
        return np.frombuffer(data, self.dtype).reshape(shape, order="F" if self.fortran else "C")


def members(path: Path, *, inside: Path | None = None) -> dict[str, Member]:
    """Read the headers of all arrays of an ``.npz`` file.

    Raises
    ------
    NotFound, Corrupt, ConfigError, RcigError
        If the file is missing, is damaged, holds pickled objects, or can't be read; ConfigError too if it is
        a link that leads out of the folder ``inside``.
    """
    with open_archive(path, inside=inside) as archive:
        files = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        found = {}
        for info in files:
            with archive.open(info) as stream:
                found[info.filename[:-4]] = _member(stream, path, info, info.file_size)
        return found


def single(path: Path, *, inside: Path | None = None) -> Member:
    """Read the header of an ``.npy`` file; errors as for `members`."""
    with open_file(path, inside=inside) as stream:
        return _member(stream, path, None, path.stat().st_size)


@contextmanager
def _stream(path: Path, entry: zipfile.ZipInfo | None) -> Iterator[IO[bytes]]:
    if entry is None:
        with open_file(path) as stream:
            yield stream
        return
    with open_archive(path) as archive, archive.open(entry) as stream:
        yield stream


def _called(path: Path, entry: zipfile.ZipInfo | None) -> str:
    return str(path) if entry is None else f"{path}: {entry.filename.removesuffix('.npy')[:80]!r}"


def _member(stream: IO[bytes], path: Path, entry: zipfile.ZipInfo | None, length: int) -> Member:
    where = _called(path, entry)
    head = io.BytesIO(stream.read(_LARGEST_HEADER))
    try:
        with warnings.catch_warnings(action="ignore"):  # NumPy warns about headers written by Python 2
            read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
            shape, fortran, dtype = read_header[npy.read_magic(head)](head)
    except Exception as error:  # NumPy raises errors of almost any kind on damaged headers
        raise Corrupt(f"{where} has a damaged header: make or copy the file again.") from error
    if dtype.hasobject:
        raise ConfigError(
            f"{where} holds pickled Python objects, which are never read: save plain numbers, "
            "or texts with .astype(str)."
        )
    if dtype.kind == "V" or not dtype.itemsize:
        raise ConfigError(f"{where} is not an array of numbers or strings: save plain numbers.")
    found = Member(path, entry, shape, dtype, head.tell(), fortran and len(shape) > 1)
    if min(shape, default=0) < 0 or found.start + found.size != length:
        raise Corrupt(f"{where} isn't as large as its header says: make or copy the file again.")
    return found


def strings(member: Member, most: int) -> tuple[str, ...]:
    """Read an array ``[n]`` of at most ``most`` strings, such as the names of classes.

    Raises `ConfigError` if it is anything else, or larger than `LARGEST_SMALL_ARRAY`.
    """
    if member.dtype.kind not in "US" or len(member.shape) != 1 or member.shape[0] > most:
        raise ConfigError(
            f"{member} is not a list of at most {most} strings: save it as a numpy.array of str."
        )
    found = member.read(LARGEST_SMALL_ARRAY)
    try:
        return tuple(map(str, np.char.decode(found, "utf-8") if found.dtype.kind == "S" else found))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{member} isn't UTF-8: save the names as str.") from error
