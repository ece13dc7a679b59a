"""The arrays in MATLAB's files of version 5, which MATLAB calls v6 and v7, and SciPy writes (``.mat``).

A file is a header of 128 bytes and then elements: a type and a length, in 4 bytes each, and that many bytes.
An element is an array, perhaps compressed.  An array consists of elements again: its class, the lengths of
its axes, its name, and its values; these begin at multiples of 8 bytes.  The values are in Fortran order, so
the last axis counts the images of a stack, and images are read a few at a time.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.files import open_file, read_exactly
from rcig_cli.errors import ConfigError, Corrupt

_HEADER = 128
_COMPRESSED, _ARRAY = 15, 14
_TYPES = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
_NUMERIC = range(6, 16)  # the classes of arrays of numbers; others are texts, cells and so on
_COMPLEX = 0x800
_LONGEST_PART = 4096  # bytes of lengths of axes, or of a name
_MOST_ARRAYS = 1000
_CHUNK = 2**16  # compressed bytes read at a time


@dataclass(frozen=True)
class MatlabArray:
    """An array of real numbers in a ``.mat`` file, not yet read, with its axes in reverse order.

    Attributes
    ----------
    path, name
        The file, and the array's name in it.
    shape, dtype
        MATLAB's axes reversed, and the type in which the values are stored.
    place, start
        Where its element begins in the file, and its values in the element, in bytes.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    place: int
    start: int

    def __str__(self) -> str:
        return f"{self.path}: {self.name[:80]!r}"

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the array in pieces of ``rows`` along its first axis; the last may have fewer."""
        with open_file(self.path) as file, _element(file, self.path, self.place) as element:
            element.read(self.start)
            for start in range(0, self.shape[0], rows):
                shape = (min(rows, self.shape[0] - start), *self.shape[1:])
                data = element.read(math.prod(shape) * self.dtype.itemsize)
                yield np.frombuffer(data, self.dtype).reshape(shape)
            element.finish()

    def read(self, most: int) -> npt.NDArray[Any]:
        """Read the whole array; raises `ConfigError` if it has more than ``most`` bytes."""
        if math.prod(self.shape) * self.dtype.itemsize > most:
            raise ConfigError(f"{self} is too large: the limit is {most} bytes.")
        (found,) = self.blocks(max(1, self.shape[0]))
        return found


def matlab_arrays(path: Path, *, inside: Path | None = None) -> dict[str, MatlabArray]:
    """Read the names, shapes and types of all arrays of real numbers in a ``.mat`` file.

    Raises
    ------
    NotFound, Corrupt, ConfigError, RcigError
        If the file is missing, is damaged, is of version 4 or 7.3, or can't be read; ConfigError too if it is
        a link that leads out of the folder ``inside``.
    """
    found: dict[str, MatlabArray] = {}
    with open_file(path, inside=inside) as file:
        order = _byte_order(file.read(_HEADER), path)
        size = path.stat().st_size
        place = _HEADER
        while place < size:
            if len(found) == _MOST_ARRAYS:
                raise ConfigError(f"{path} has more than {_MOST_ARRAYS} arrays: save only images and labels.")
            file.seek(place)
            kind, length = struct.unpack(order + "II", read_exactly(file, 8, path))
            if kind in (_COMPRESSED, _ARRAY):
                with _element(file, path, place) as element:
                    array = _array(element, path, place, order)
                if array is not None:
                    found[array.name] = array
            place += 8 + length
    if place != size:
        raise Corrupt(f"{path} is cut short: download or copy it again.")
    return found


def _byte_order(header: bytes, path: Path) -> str:
    if header.startswith(b"MATLAB 7.3"):
        raise ConfigError(f"{path} is of MATLAB's version 7.3, which isn't read: save it with -v7.")
    order = {b"IM": "<", b"MI": ">"}.get(header[126:])
    if order is None:
        raise Corrupt(f"{path} is not a MATLAB file of version 5: download it again, or save it with -v7.")
    return order


class _Element:
    """The content of an element, unpacked as it is read."""

    def __init__(self, file: IO[bytes], path: Path, length: int, *, compressed: bool) -> None:
        self._file, self._path, self._left = file, path, length
        self._unpacker = zlib.decompressobj() if compressed else None
        self.place = 0

    def read(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        data = self._some(count)
        if len(data) != count:
            raise Corrupt(f"{self._path} is cut short: download or copy it again.")
        self.place += count
        return data

    def finish(self) -> None:
        """Check that the compressed data are complete, after the values and what fills them up to 8 bytes."""
        if self._unpacker is not None:
            self._some(8)
            if not self._unpacker.eof:
                raise Corrupt(f"{self._path} is damaged: download or copy it again.")

    def _some(self, count: int) -> bytes:
        if self._unpacker is None:
            data = self._file.read(min(count, self._left))
            self._left -= len(data)
            return data
        parts: list[bytes] = []
        while count and not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail
            if not packed:
                packed = self._file.read(min(_CHUNK, self._left))
                self._left -= len(packed)
            part = self._unpacker.decompress(packed, count)
            if not packed and not part:
                break
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


@contextmanager
def _element(file: IO[bytes], path: Path, place: int) -> Iterator[_Element]:
    """Open the array that the element at ``place`` is or holds."""
    file.seek(126)
    order = "<" if file.read(2) == b"IM" else ">"
    file.seek(place)
    kind, length = struct.unpack(order + "II", read_exactly(file, 8, path))
    try:
        element = _Element(file, path, length, compressed=kind == _COMPRESSED)
        if kind == _COMPRESSED:
            (kind, _) = struct.unpack(order + "II", element.read(8))
            if kind != _ARRAY:
                raise Corrupt(f"{path} is damaged: download or copy it again.")
        yield element
    except zlib.error as error:
        raise Corrupt(f"{path} is damaged: download or copy it again.") from error


def _array(element: _Element, path: Path, place: int, order: str) -> MatlabArray | None:
    """Read an array up to its values; return None if these aren't real numbers."""
    begin = element.place
    flags = struct.unpack_from(order + "I", _part(element, path, order))[0]
    if flags & 0xFF not in _NUMERIC or flags & _COMPLEX:
        return None
    lengths = _part(element, path, order)
    axes = np.frombuffer(lengths[: len(lengths) // 4 * 4], order + "i4").tolist()
    name = _part(element, path, order).decode("latin1")
    kind, count, _ = _tag(element, order)
    dtype = np.dtype(order + _TYPES.get(kind, "V"))
    if dtype.kind == "V" or min(axes, default=-1) < 0 or math.prod(axes) * dtype.itemsize != count:
        raise Corrupt(f"{path} is damaged: {name[:80]!r} isn't as large as it says.")
    return MatlabArray(path, name, tuple(reversed(axes)), dtype, place, element.place - begin)


def _tag(element: _Element, order: str) -> tuple[int, int, bool]:
    """Read a type and a length; return whether up to 4 bytes of values follow in the same 8 bytes."""
    (word,) = struct.unpack(order + "I", element.read(4))
    if word >> 16:
        return word & 0xFFFF, word >> 16, True
    return word, struct.unpack(order + "I", element.read(4))[0], False


def _part(element: _Element, path: Path, order: str) -> bytes:
    """Read a part of an array's description."""
    _, count, small = _tag(element, order)
    if count > (4 if small else _LONGEST_PART):
        raise Corrupt(f"{path} is damaged: download or copy it again.")
    return element.read(4 if small else (count + 7) // 8 * 8)[:count]
