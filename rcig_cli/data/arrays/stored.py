"""An array in a file, read a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

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

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the array in pieces of ``rows`` along its first axis; the last may have fewer."""


def row_bytes(array: StoredArray) -> int:
    """Size of one entry along the first axis, in bytes."""
    return math.prod(array.shape[1:]) * array.dtype.itemsize


def pieces(array: StoredArray) -> Iterator[npt.NDArray[Any]]:
    """Yield the array in pieces of at most `PIECE` bytes or one row."""
    return array.blocks(max(1, PIECE // max(1, row_bytes(array))))
