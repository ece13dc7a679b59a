"""The images in a column of a data set's tables: encoded, such as PNG, or lists of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.arrays.stored import ArrayFile
from rcig_cli.data.tables import Table, reading
from rcig_cli.errors import ConfigError


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


def list_images(tables: Sequence[Table], column: str) -> ArrayFile:
    """Return the lists of numbers in a column, all of the same lengths, as an array ``[n, ...]``.

    Raises
    ------
    ConfigError
        If the first isn't an image; reading the array raises it for the others.
    """
    name = f"the column {column!r} of {tables[0].path}"

    def blocks(rows: int) -> Iterator[npt.NDArray[Any]]:
        kind = None
        for table in tables:
            for block in table.blocks(column):
                for start in range(0, len(block), rows):
                    found = _numbers(table, column, block[start : start + rows])
                    kind = kind or (found.shape[1:], found.dtype)
                    if kind != (found.shape[1:], found.dtype):
                        raise ConfigError(f"{name} has images of several sizes: save them with one size.")
                    yield found

    first = next(blocks(1))
    count = sum(table.rows for table in tables)
    return ArrayFile(name, (count, *first.shape[1:]), first.dtype, blocks)


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
