"""The images in a column of a data set's tables: encoded, such as PNG, or lists of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.tables import Table, reading
from rcig_cli.errors import ConfigError

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Encoded images and their classes; see `rcig_cli.data.sources.image_files.Pictures`.

    Attributes
    ----------
    tables
        The tables of a split, one after another.
    column
        The column of images.
    chosen
        Which rows are used, bool ``[rows of all tables]``.
    labels
        Their classes, int32 ``[number of chosen rows]``.
    """

    tables: Sequence[Table]
    column: str
    chosen: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, chosen: npt.NDArray[np.bool_]) -> EncodedImages:
        """Return the images that are ``chosen``, bool ``[n]``."""
        rows = self.chosen.copy()
        rows[rows] = chosen
        return EncodedImages(self.tables, self.column, rows, self.labels[chosen])

    def pieces(self, most: int, start: int = 0) -> Iterator[list[tuple[Path, bytes | None]]]:
        """Yield the images from number ``start`` on, up to ``most`` at a time, with their content."""
        chosen = np.flatnonzero(self.chosen)
        begin = int(chosen[start]) if start < len(chosen) else len(self.chosen)
        first = 0
        for table in self.tables:
            row = max(0, begin - first)
            for block in table.blocks(self.column, row):
                used = np.flatnonzero(self.chosen[first + row : first + row + len(block)]).tolist()
                for few in range(0, len(used), most):
                    with reading(table.path):
                        piece = [
                            _picture(table, row + index, block[index]) for index in used[few : few + most]
                        ]
                    yield piece
                row += len(block)
            first += table.rows


def _name(table: Table, row: int) -> Path:
    return Path(f"{table.path}: row {row}")


def _picture(table: Table, row: int, value: Any) -> tuple[Path, bytes | None]:
    """An image's name and the content of its file; None if it is a file of that name."""
    found = value.as_py()
    if not isinstance(found, dict):
        return _name(table, row), found or b""
    if found["bytes"] is None and found.get("path"):
        path = table.path.parent / found["path"]
        if not path.resolve().is_relative_to(table.inside.resolve()):
            raise ConfigError(
                f"{_name(table, row)} is not an image but names a file elsewhere, {found['path']}: save the "
                "data set with its images."
            )
        return path, None
    return _name(table, row), found["bytes"] or b""


class ListImages:
    """Lists of numbers of the same lengths, as an array; see `rcig_cli.data.arrays.stored.StoredArray`."""

    def __init__(self, tables: Sequence[Table], column: str) -> None:
        self._tables, self._column = tables, column

    def __str__(self) -> str:
        return f"the column {self._column!r} of {self._tables[0].path}"

    @cached_property
    def _first(self) -> npt.NDArray[Any]:
        return next(self.blocks(1))

    @property
    def shape(self) -> Shape:
        """``[n, ...]``."""
        return (sum(table.rows for table in self._tables), *self._first.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""
        return self._first.dtype

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the images, at most ``rows`` at a time."""
        kind = None
        for table in self._tables:
            for block in table.blocks(self._column):
                for start in range(0, len(block), rows):
                    found = _numbers(table, self._column, block[start : start + rows])
                    kind = kind or (found.shape[1:], found.dtype)
                    if kind != (found.shape[1:], found.dtype):
                        raise ConfigError(f"{self} has images of several sizes: save them with one size.")
                    yield found


def _numbers(table: Table, column: str, lists: Any) -> npt.NDArray[Any]:
    """Turn lists of lists of numbers into an array."""
    import pyarrow.compute as pc

    shape = [len(lists)]
    while lists.type.num_fields:  # lists have one
        lengths = pc.unique(pc.list_value_length(lists)).to_pylist()
        if lists.null_count or len(lengths) != 1 or not lengths[0]:
            raise ConfigError(
                f"{table.path} has missing images or images of several sizes in its column {column!r}: "
                "remove the missing ones, and save the others with one size."
            )
        lists = lists.flatten()
        shape.append(lengths[0])
    if lists.null_count:
        raise ConfigError(
            f"{table.path} has images with missing values in its column {column!r}: remove them."
        )
    return np.asarray(lists.to_numpy(zero_copy_only=False)).reshape(shape)
