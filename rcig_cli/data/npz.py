"""The arrays in an ``.npz`` file, which is a zip archive of ``.npy`` files.

NumPy would read a whole array at once; here arrays are read a few rows at a time.  The size that a header
declares is first compared with the size in the archive's directory.  Pickled objects are refused without
being read.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from rcig_cli.data.files import open_archive, read_exactly
from rcig_cli.errors import ConfigError, Corrupt

LARGEST_SMALL_ARRAY = 64 * 2**20
"""Limit for labels and class names, in bytes."""

_LARGEST_HEADER = 2**16


@dataclass(frozen=True)
class Member:
    """One array of an ``.npz`` file, not yet read.

    Attributes
    ----------
    path, entry
        The ``.npz`` file, and the array's entry in its directory; the checksum there reveals a file that was
        replaced since.
    shape, dtype
        From the array's header; the size in the directory agrees.
    start
        Length of the header in bytes.
    """

    path: Path
    entry: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int

    def __str__(self) -> str:
        return f"{self.path}: {self.entry.filename.removesuffix('.npy')[:80]!r}"

    @property
    def row_bytes(self) -> int:
        """Size of one entry along the first axis, in bytes."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the array, read-only, in pieces of ``rows`` along its first axis; the last may have fewer.

        Raises `Corrupt` if the data are damaged or have changed, as `read` does.
        """
        with open_archive(self.path) as archive, archive.open(self.entry) as stream:
            stream.read(self.start)
            for start in range(0, self.shape[0], rows):
                yield self._next(stream, (min(rows, self.shape[0] - start), *self.shape[1:]))

    def read(self, most: int | None = None) -> npt.NDArray[Any]:
        """Read the whole array, read-only; raises `ConfigError` if it has more than ``most`` bytes."""
        if most is not None and self.entry.file_size - self.start > most:
            raise ConfigError(f"{self} is too large: the limit is {most} bytes.")
        with open_archive(self.path) as archive, archive.open(self.entry) as stream:
            stream.read(self.start)
            return self._next(stream, self.shape)

    def _next(self, stream: IO[bytes], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        data = read_exactly(stream, math.prod(shape) * self.dtype.itemsize, self.path)
        return np.frombuffer(data, self.dtype).reshape(shape)


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
        return {info.filename[:-4]: _member(archive, info, path) for info in files}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Member:
    where = f"{path}: {info.filename[:80]!r}"
    with archive.open(info) as stream:
        head = io.BytesIO(stream.read(_LARGEST_HEADER))
    try:
        with warnings.catch_warnings(action="ignore"):  # NumPy warns about headers written by Python 2
            read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
            shape, fortran, dtype = read_header[npy.read_magic(head)](head)
    except Exception as error:  # NumPy raises errors of almost any kind on damaged headers
        raise Corrupt(f"{where} has a damaged header: make or copy the file again.") from error
    if dtype.hasobject:
        raise ConfigError(f"{where} holds pickled Python objects, which are never read: save plain numbers.")
    if dtype.kind == "V" or not dtype.itemsize:
        raise ConfigError(f"{where} is not an array of numbers or strings: save plain numbers.")
    if fortran and len(shape) > 1:
        raise ConfigError(
            f"{where} is in Fortran order: convert it with numpy.ascontiguousarray and save it."
        )
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or head.tell() + size != info.file_size:
        raise Corrupt(f"{where} isn't as large as its header says: make or copy the file again.")
    return Member(path, info, shape, dtype, head.tell())


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
