"""Writing a group of arrays batch by batch, in memory that doesn't grow with them.

What is written can be secured on the way: then a later process goes on where this one was killed, and the
bytes are those of a writer that was never disturbed.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from rcig_cli.errors import Corrupt
from rcig_cli.store.files import secure_tree, storage_errors
from rcig_cli.store.grids import DTYPES, Grid, declared, grid_for, is_array_name
from rcig_cli.store.plain import check_own

Array = NDArray[Any]
Declarations = Mapping[str, tuple[tuple[int, ...], DTypeLike]]


class ArrayWriter:
    """Writes a group of arrays batch by batch, holding at most one shard of each in memory.

    Get one from `create`, or from `resume`.  As a context manager it closes at the end, unless the body
    raised.
    """

    def __init__(self, path: Path, columns: "dict[str, _Column]") -> None:
        self.path = path
        self._columns = columns

    @classmethod
    def create(cls, path: Path, arrays: Declarations) -> Self:
        """Make the group with all its arrays, still empty.

        Parameters
        ----------
        path
            The group's folder, which must not exist; make it in an `aside_folder` and publish that.
        arrays
            From name, such as ``train/images``, to shape and dtype (bool, integers or floats).

        Raises
        ------
        ValueError
            For a name or a dtype that can't be.
        RcigError
            If it can't be written.
        """
        with storage_errors(path):
            group = zarr.open_group(path, mode="w-", zarr_format=3)
            columns = {
                name: _Column(name, shape, np.dtype(dtype)).create(group)
                for name, (shape, dtype) in arrays.items()
            }
        return cls(path, columns)

    @classmethod
    def resume(cls, path: Path, arrays: Declarations, rows: Mapping[str, int]) -> Self:
        """Go on with a group that another writer began; what it wrote and didn't secure is removed.

        Parameters
        ----------
        path
            The group's folder.
        arrays
            As `create` was given them.
        rows
            As `secure` returned them.

        Raises
        ------
        Corrupt
            If the group isn't what such a writer leaves.
        RcigError
            If it can't be read or written.
        """
        with storage_errors(path):
            columns = {name: _Column(name, shape, np.dtype(dtype)) for name, (shape, dtype) in arrays.items()}
            kept = {check_own(path) / "zarr.json"}
            for name, column in columns.items():
                kept.update(column.files(path, rows.get(name, 0)))
            _keep_only(path, kept)
            for name, column in columns.items():
                column.open(path, rows.get(name, 0))
        return cls(path, columns)

    def written(self, name: str) -> int:
        """Return how many rows of an array have left memory: those of its complete shards."""
        return self._columns[name].done

    def secure(self) -> dict[str, int]:
        """Force what has been written to the disk; return how many rows of each array that are.

        Raises
        ------
        RcigError
            If it can't be done.
        """
        secure_tree(self.path)
        return {name: self.written(name) for name in self._columns}

    def append(self, name: str, batch: Array) -> None:
        """Add rows to an array, after those added before.

        Parameters
        ----------
        name
            One of the arrays given to `create`.
        batch
            Shape (rows, ...) and dtype as declared; for an array without axes, the value itself.

        Raises
        ------
        ValueError
            If shape or dtype isn't as declared, or the array is full.
        RcigError
            If it can't be written.
        """
        with storage_errors(self.path):
            self._columns[name].append(batch)

    def close(self) -> None:
        """End the writing.

        Raises
        ------
        ValueError
            If an array has fewer rows than declared.
        """
        short = [column.shortfall for column in self._columns.values() if column.shortfall]
        if short:
            raise ValueError(f"arrays that aren't full: {'; '.join(short)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()


class _Column:
    """One array being written, with the rows of the shard that isn't complete yet."""

    array: Any

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.name, self.shape, self.dtype = name, shape, dtype.newbyteorder("=")
        self.grid = grid_for(shape, self.dtype.itemsize)
        self.total = math.prod(shape[:1])
        self.rows = 0
        self.done = 0
        self.waiting: list[Array] = []

    def create(self, group: zarr.Group) -> Self:
        """Make the array."""
        self.array = _create_array(group, self.name, self.shape, self.dtype, self.grid)
        return self

    def files(self, path: Path, rows: int) -> set[Path]:
        """The files of the array if so many of its rows are written."""
        found = declared(path, self.name)
        shard = self.grid.shard or self.grid.chunk
        whole = rows == self.total or rows % self.grid.shard_rows == 0
        if found is None or (found.shape, found.shard, found.dtype) != (self.shape, shard, self.dtype.name):
            raise Corrupt(f"The array {self.name} in {path} isn't the one that was begun.")
        if not (whole and 0 <= rows <= self.total):
            raise Corrupt(f"The array {self.name} in {path} can't have {rows} rows yet.")
        folder = path / self.name
        # What groups lie on the way is in the names of the arrays.
        groups = {above / "zarr.json" for above in folder.parents if above.is_relative_to(path)}
        shards = {folder / key for key in found.shard_files(range(rows))} if rows else set()
        return {folder / "zarr.json", *groups, *shards}

    def open(self, path: Path, rows: int) -> None:
        """Take up the array after so many rows."""
        with zarr.config.set({"array.write_empty_chunks": True}):
            self.array = zarr.open_array(path / self.name, mode="r+", zarr_format=3)
        self.rows = self.done = rows

    @property
    def shortfall(self) -> str:
        return f"{self.name} has {self.rows} of its {self.total} rows" if self.rows < self.total else ""

    def append(self, batch: Array) -> None:
        rows = self._checked(batch)
        while len(rows):
            room = self._block_end() - self.rows
            # A copy, so that the caller may use the batch's memory again.
            self.waiting.append(np.array(rows[:room]))
            self.rows += len(rows[:room])
            rows = rows[room:]
            if self.rows == self._block_end():
                self._flush()

    def _block_end(self) -> int:
        return min(self.done + self.grid.shard_rows, self.total)

    def _flush(self) -> None:
        block = np.concatenate(self.waiting)
        end = self.done + len(block)
        if self.shape:
            self.array[self.done : end] = block
        else:
            self.array[...] = block[0]
        self.done, self.waiting = end, []

    def _checked(self, batch: Array) -> Array:
        rows = batch if self.shape else np.asarray(batch)[None]
        if rows.dtype != self.dtype or rows.shape[1:] != self.shape[1:]:
            raise ValueError(
                f"{self.name} takes rows of {self.dtype} {self.shape[1:]}, not {rows.dtype} {rows.shape[1:]}"
            )
        if self.rows + len(rows) > self.total:
            raise ValueError(f"{self.name} takes {self.total} rows, not {self.rows + len(rows)}")
        return rows


def _keep_only(path: Path, kept: set[Path]) -> None:
    """Remove what a writer that was killed left behind; all that is kept must be there."""
    for file in [file for file in path.rglob("*") if file.is_symlink() or not file.is_dir()]:
        if file not in kept:
            file.unlink()
    lost = sorted(file for file in kept if not file.is_file() or not file.stat().st_size)
    if lost:
        raise Corrupt(f"{lost[0]} is missing or empty.")


def _create_array(
    group: zarr.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], grid: Grid
) -> Any:
    if not is_array_name(name):
        raise ValueError(f"not a name for an array: {name!r}")
    if dtype.name not in DTYPES:
        raise ValueError(f"{name} can't hold {dtype}")
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=grid.chunk,
        shards=grid.shard,
        compressors=[ZstdCodec(level=3), Crc32cCodec()],
        # Left out, a chunk of -0.0 would come back as 0.0, and a lost file would go unnoticed.
        config={"write_empty_chunks": True},
    )
