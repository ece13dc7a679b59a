"""Named arrays in a Zarr 3 group: chunked, sharded, compressed with zstd, each chunk with a CRC-32C.

An array is cut along its first axis only: chunks of about 1 MiB, shards (one file each) of about
64 MiB.  An array of up to 1 MiB is one chunk.  Equal arrays give equal bytes.  What a reader is told
by an array's metadata is checked before any memory is taken for it.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from rcig_cli.errors import Corrupt, RcigError
from rcig_cli.store.files import storage_errors
from rcig_cli.store.grids import DTYPES, Declared, Grid, declared, grid_for, is_array_name

Array = NDArray[Any]
MAX_BYTES = 64 * 2**30


class ArrayWriter:
    """Writes a group of arrays batch by batch, holding at most one shard of each in memory.

    Get one from `create`.  As a context manager it closes at the end, unless the body raised.
    """

    def __init__(self, path: Path, columns: "dict[str, _Column]") -> None:
        self.path = path
        self._columns = columns

    @classmethod
    def create(cls, path: Path, arrays: Mapping[str, tuple[tuple[int, ...], DTypeLike]]) -> Self:
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
                name: _Column(group, name, shape, np.dtype(dtype)) for name, (shape, dtype) in arrays.items()
            }
        return cls(path, columns)

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

    def __init__(self, group: zarr.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.name, self.shape, self.dtype = name, shape, dtype.newbyteorder("=")
        self.grid = grid_for(shape, self.dtype.itemsize)
        self.total = math.prod(shape[:1])
        self.rows = 0
        self.done = 0
        self.waiting: list[Array] = []
        self.array = _create_array(group, name, shape, self.dtype, self.grid)

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


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a group of arrays that are in memory.

    Parameters
    ----------
    path
        The group's folder, which must not exist; make it in an `aside_folder` and publish that.
    arrays
        From name to array.

    Raises
    ------
    ValueError
        For a name or a dtype that can't be.
    RcigError
        If it can't be written.
    """
    values = {name: np.asarray(array) for name, array in arrays.items()}
    values = {name: value.astype(value.dtype.newbyteorder("="), copy=False) for name, value in values.items()}
    with ArrayWriter.create(
        path, {name: (value.shape, value.dtype) for name, value in values.items()}
    ) as writer:
        for name, value in values.items():
            writer.append(name, value)


def array_names(path: Path) -> list[str]:
    """Return the sorted names of the arrays in a group.

    Raises
    ------
    Corrupt
        If there is no group.
    """
    if not (path / "zarr.json").is_file():
        raise Corrupt(f"{path} is damaged: its zarr.json is missing.")
    found = (file.parent.relative_to(path).as_posix() for file in path.rglob("zarr.json"))
    return sorted(name for name in found if name != "." and declared(path, name) is not None)


def read_array(
    path: Path, name: str, start: int | None = None, stop: int | None = None, *, max_bytes: int = MAX_BYTES
) -> Array:
    """Read an array, or some of its rows.

    Parameters
    ----------
    path
        The group's folder.
    name
        The array, such as ``train/images``.
    start, stop
        The rows ``start:stop``, as in a slice; all by default.
    max_bytes
        The most memory to take for the rows, and for a shard, in bytes.

    Raises
    ------
    Corrupt
        If the array is missing, damaged, or declares more than `max_bytes`; the sentence names it.
    RcigError
        If it can't be read.
    """
    found = declared(path, name)
    if found is None:
        raise _damaged(path, name, "it is missing")
    rows = range(*slice(start, stop).indices(math.prod(found.shape[:1])))
    _check_size(path, name, found, len(rows), max_bytes)
    _check_shards(path, name, found, rows)
    with _reading(path, name):
        array = zarr.open_array(path / name, mode="r", zarr_format=3)
        selected = array[rows.start : max(rows.start, rows.stop)] if found.shape else array[...]
        return np.asarray(selected, dtype=found.dtype)


def read_arrays(path: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Array]:
    """Read every array of a group.

    Parameters
    ----------
    path
        The group's folder.
    max_bytes
        The most memory to take for all of them, in bytes.

    Returns
    -------
    dict
        From name, such as ``train/images``, to array.

    Raises
    ------
    Corrupt
        As `read_array`.
    RcigError
        If they can't be read.
    """
    arrays: dict[str, Array] = {}
    for name in array_names(path):
        taken = sum(array.nbytes for array in arrays.values())
        arrays[name] = read_array(path, name, max_bytes=max_bytes - taken)
    return arrays


def _check_size(path: Path, name: str, found: Declared, rows: int, max_bytes: int) -> None:
    wanted = found.row_bytes * rows
    if max(wanted, found.shard_bytes) > max_bytes:
        raise _damaged(
            path, name, f"it declares {max(wanted, found.shard_bytes)} bytes, and {max_bytes} is the limit"
        )


def _check_shards(path: Path, name: str, found: Declared, rows: range) -> None:
    # Zarr takes a missing file, and some of its versions an empty one, for a shard of zeros.
    for key in found.shard_files(rows):
        file = path / name / key
        with storage_errors(file, "read"):
            sound = file.is_file() and file.stat().st_size > 0
        if not sound:
            raise _damaged(path, name, f"its file {key} is missing or empty")


@contextmanager
def _reading(path: Path, name: str) -> Iterator[None]:
    try:
        with storage_errors(path / name, "read"):
            yield
    except RcigError:
        raise
    # Damage comes out of the codecs as whatever they happen to raise.
    except Exception as error:
        raise _damaged(path, name, str(error) or type(error).__name__) from error


def _damaged(path: Path, name: str, reason: str) -> Corrupt:
    return Corrupt(f"The array {name} in {path} is damaged: {reason.splitlines()[0][:300]}.")
