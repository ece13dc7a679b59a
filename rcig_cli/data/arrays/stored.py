"""An array in a file, read a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from rcig_cli.data.files import read_exactly

PIECE = 2**18
"""Bytes of images that are examined at a time."""


class StoredArray(Protocol):
    """An array in a file; ``str`` returns its name in messages."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes; the first counts the images."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries as `blocks` yields them."""

    def blocks(self, rows: int, /) -> Iterator[npt.NDArray[Any]]:
        """Yield the array in pieces of at most ``rows`` along its first axis."""


@dataclass(frozen=True, eq=False)
class ArrayFile:
    """A `StoredArray` that a function reads; ``name`` is its name in messages."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Callable[[int], Iterator[npt.NDArray[Any]]]

    def __str__(self) -> str:
        return self.name


def row_bytes(array: StoredArray) -> int:
    """Size of one entry along the first axis, in bytes."""
    return math.prod(array.shape[1:]) * array.dtype.itemsize


def stream_blocks(
    stream: IO[bytes], path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], rows: int
) -> Iterator[npt.NDArray[Any]]:
    """Yield an array that a stream has in C order, in pieces of ``rows``; see `StoredArray.blocks`.

    Raises `Corrupt` if the stream, of the file ``path``, ends before.
    """
    for start in range(0, shape[0], rows):
        block = (min(rows, shape[0] - start), *shape[1:])
        # Nothing here keeps a block while the next one is read.
        yield np.frombuffer(read_exactly(stream, math.prod(block) * dtype.itemsize, path), dtype).reshape(
            block
        )


def pieces(array: StoredArray) -> Iterator[npt.NDArray[Any]]:
    """Yield the array in pieces of at most `PIECE` bytes or one row."""
    return array.blocks(max(1, PIECE // max(1, row_bytes(array))))
