"""Named arrays in a Zarr 3 group: chunked, sharded, compressed with zstd, each chunk with a CRC-32C.

An array is divided along its first axis only: into chunks of about 1 MiB, which are gathered into shards (one
file each) of about 64 MiB.  Equal arrays give equal bytes.  Chunks and shards are read and written by the
Zarr library; a chunk that doesn't match its CRC-32C, or a missing shard, is reported as `Corrupt`.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from rcig_cli.errors import Corrupt, RcigError
from rcig_cli.store.files import storage_errors, sync_tree

CHUNK_BYTES = 2**20
SHARD_BYTES = 64 * 2**20
# A larger array is likely to stay on the disk, and single rows of it are read, each with its whole chunk.
LARGE_BYTES = 8 * 2**30
LARGE_CHUNK_BYTES = 2**16

Array = NDArray[Any]
Declarations = Mapping[str, tuple[tuple[int, ...], DTypeLike]]


class Grid(NamedTuple):
    """The shape of a chunk and of a shard (None for an array without axes)."""

    chunk: tuple[int, ...]
    shard: tuple[int, ...] | None

    @property
    def shard_rows(self) -> int:
        """How many rows a shard has; 1 for an array without axes."""
        return (self.shard or (1,))[0]


def grid_for(shape: tuple[int, ...], itemsize: int) -> Grid:
    """Divide an array along its first axis into chunks of about 1 MiB and shards of about 64 MiB.

    Chunks of an array above 8 GiB are of about 64 KiB.

    Parameters
    ----------
    shape
        Of the array.
    itemsize
        Bytes of an element.
    """
    if not shape:
        return Grid((), None)
    rest = tuple(max(1, length) for length in shape[1:])
    row_bytes = math.prod(rest) * itemsize
    chunk_bytes = LARGE_CHUNK_BYTES if shape[0] * row_bytes > LARGE_BYTES else CHUNK_BYTES
    chunk_rows = min(max(1, chunk_bytes // row_bytes), max(1, shape[0]))
    chunks = min(max(1, SHARD_BYTES // (chunk_rows * row_bytes)), -(-shape[0] // chunk_rows) or 1)
    return Grid((chunk_rows, *rest), (chunk_rows * chunks, *rest))


# Reading


def array_names(path: Path) -> list[str]:
    """Return the sorted names of the arrays in a group, such as ``train/images``.

    Raises
    ------
    Corrupt
        If there is no group, or it is damaged.
    """
    with _reading(f"The arrays in {path} are", path):
        group = zarr.open_group(path, mode="r", zarr_format=3)
        return sorted(name for name, node in group.members(max_depth=None) if isinstance(node, zarr.Array))


def read_array(path: Path, name: str) -> Array:
    """Read an array.

    Parameters
    ----------
    path
        The group's folder.
    name
        The array, such as ``train/images``.

    Raises
    ------
    Corrupt
        If the array is missing or damaged; the sentence names it.
    RcigError
        If it can't be read.
    """
    array = _opened(path, name)
    return _rows(array, path, name, range(math.prod(array.shape[:1])))


def read_arrays(path: Path) -> dict[str, Array]:
    """Read every array of a group.

    Returns
    -------
    dict
        From name, such as ``train/images``, to array.

    Raises
    ------
    Corrupt
        If the group is missing, or an array is damaged.
    RcigError
        If they can't be read.
    """
    return {name: read_array(path, name) for name in array_names(path)}


class StoredRows:
    """An array on the disk that is indexed along its first axis; only the rows that are asked for are read.

    Parameters
    ----------
    path
        The group's folder.
    name
        The array, such as ``train/images``.

    Raises
    ------
    Corrupt
        If the array is missing or damaged.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name, self._array = path, name, _opened(path, name)
        self.shape: tuple[int, ...] = self._array.shape
        self.dtype: np.dtype[Any] = self._array.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | NDArray[np.integer[Any]]) -> Array:
        """Read rows.

        Parameters
        ----------
        chosen
            A slice without a step, or indices from 0 of any shape ``[...]``; the result has the shape
            ``[..., *row]``.

        Raises
        ------
        Corrupt
            If a shard that holds them is missing or damaged.
        IndexError
            If there is no such row.
        RcigError
            If they can't be read.
        """
        if isinstance(chosen, slice):
            start, stop, _ = chosen.indices(len(self))
            return _rows(self._array, self._path, self._name, range(start, max(start, stop)))
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise IndexError(f"{self._name} has {len(self)} rows")
        rows, places = np.unique(chosen, return_inverse=True)
        with _reading(f"The array {self._name} in {self._path} is", self._path):
            _check_shards(self._array, self._path / self._name, set(rows // _shard_rows(self._array)))
            found: Array = np.asarray(self._array.oindex[rows])
        picked: Array = found[places.reshape(chosen.shape)]
        return picked


def _opened(path: Path, name: str) -> Any:
    with _reading(f"The array {name} in {path} is", path):
        group = zarr.open_group(path, mode="r", zarr_format=3)
        array = group.get(name)
        if not isinstance(array, zarr.Array):
            raise Corrupt(f"The array {name} in {path} is missing.")
        return array


def _rows(array: Any, path: Path, name: str, rows: range) -> Array:
    with _reading(f"The array {name} in {path} is", path):
        if not array.shape:
            _check_shards(array, path / name, {0})
            return np.asarray(array[...])
        length = _shard_rows(array)
        _check_shards(
            array, path / name, range(rows.start // length, -(-rows.stop // length)) if rows else ()
        )
        return np.asarray(array[rows.start : rows.stop])


def _shard_rows(array: Any) -> int:
    return int((array.shards or array.chunks or (1,))[0])


def _check_shards(array: Any, folder: Path, indices: Any) -> None:
    """Refuse missing or empty files: Zarr would return zeros for them."""
    for index in sorted(indices) if array.size else ():
        key = _shard_key(array, int(index))
        if not (folder / key).is_file() or not (folder / key).stat().st_size:
            raise ValueError(f"its file {key} is missing or empty")


def _shard_key(array: Any, index: int) -> str:
    """Return the path of a shard, relative to the folder of its array."""
    axes = len(array.shape)
    return str(array.metadata.encode_chunk_key((index, *[0] * (axes - 1)) if axes else ()))


@contextmanager
def _reading(subject: str, path: Path) -> Iterator[None]:
    """Turn what Zarr raises for damaged or missing files into a sentence."""
    try:
        with storage_errors(path, "read"):
            yield
    except Corrupt:
        raise
    except RcigError as error:
        if path.is_dir() and (path / "zarr.json").is_file():
            raise
        raise Corrupt(f"{subject} damaged: {path / 'zarr.json'} is missing.") from error
    # The codecs raise errors of many types for damaged bytes.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise Corrupt(f"{subject} damaged: {reason}.") from error


# Writing


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a group of arrays that are in memory.

    Parameters
    ----------
    path
        The group's folder, which must not exist; make it in a `temporary_folder`.
    arrays
        From name to array (bool, integers or floats).

    Raises
    ------
    RcigError
        If it can't be written.
    """
    values = {name: np.asarray(array) for name, array in arrays.items()}
    values = {name: value.astype(value.dtype.newbyteorder("="), copy=False) for name, value in values.items()}
    declared = {name: (value.shape, value.dtype) for name, value in values.items()}
    with ArrayWriter.create(path, declared) as writer:
        for name, value in values.items():
            writer.append(name, value)


class ArrayWriter:
    """Writes a group of arrays batch by batch, holding at most one shard of each array in memory.

    What is written can be forced to the disk on the way (`secure`); after a crash, another writer resumes
    from there (`resume`) and gives the same bytes as one that was never interrupted.  Get one from `create`
    or `resume`.  As a context manager it is closed at the end, unless the body raised.
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
            The group's folder, which must not exist; make it in a `temporary_folder`.
        arrays
            From name, such as ``train/images``, to shape and dtype (bool, integers or floats).

        Raises
        ------
        RcigError
            If it can't be written.
        """
        with storage_errors(path):
            group = zarr.open_group(path, mode="w-", zarr_format=3)
            columns = {}
            for name, (shape, dtype) in arrays.items():
                grid = grid_for(shape, np.dtype(dtype).itemsize)
                array = group.create_array(
                    name,
                    shape=shape,
                    dtype=np.dtype(dtype),
                    chunks=grid.chunk,
                    shards=grid.shard,
                    compressors=[ZstdCodec(level=3), Crc32cCodec()],
                    # Otherwise a chunk of -0.0 would be read back as 0.0, and a lost file would go unnoticed.
                    config={"write_empty_chunks": True},
                )
                columns[name] = _Column(name, array)
        return cls(path, columns)

    @classmethod
    def resume(cls, path: Path, arrays: Declarations, rows: Mapping[str, int]) -> Self:
        """Resume a group that another writer began; the rows that it didn't secure are removed.

        Parameters
        ----------
        path
            The group's folder.
        arrays
            As given to `create`.
        rows
            As `secure` returned them.

        Raises
        ------
        Corrupt
            If the group isn't the one that was begun, or is damaged.
        RcigError
            If it can't be read or written.
        """
        columns = {}
        with (
            _reading(f"The arrays in {path} are", path),
            zarr.config.set({"array.write_empty_chunks": True}),
        ):
            group = zarr.open_group(path, mode="r+", zarr_format=3)
            for name, (shape, dtype) in arrays.items():
                array: Any = group[name]
                if (array.shape, array.dtype) != (shape, np.dtype(dtype)):
                    raise Corrupt(f"The array {name} in {path} doesn't match the saved progress.")
                columns[name] = _Column(name, array, rows.get(name, 0))
                columns[name].keep_secured(path / name)
        return cls(path, columns)

    def written(self, name: str) -> int:
        """Return how many rows of an array are written to files: those of its complete shards."""
        return self._columns[name].done

    def secure(self) -> dict[str, int]:
        """Force the written rows to the disk; return how many of each array they are.

        Raises
        ------
        RcigError
            If the system reports an error.
        """
        sync_tree(self.path)
        return {name: self.written(name) for name in self._columns}

    def append(self, name: str, batch: Array) -> None:
        """Add rows to an array, after those added before.

        Parameters
        ----------
        name
            One of the arrays given to `create`.
        batch
            Shape ``[rows, ...]`` and dtype as declared; for an array without axes, the value itself.

        Raises
        ------
        ValueError
            If shape or dtype isn't as declared, or the array would have too many rows.
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
        short = [
            f"{name} has {column.rows} of its {column.total} rows"
            for name, column in self._columns.items()
            if column.rows < column.total
        ]
        if short:
            raise ValueError(f"incomplete arrays: {'; '.join(short)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()


class _Column:
    """An array that is being written, with the rows of the shard that isn't complete yet."""

    def __init__(self, name: str, array: Any, rows: int = 0) -> None:
        self.name, self.array = name, array
        self.total: int = math.prod(array.shape[:1])
        self.rows = self.done = rows
        self.waiting: list[Array] = []

    def append(self, batch: Array) -> None:
        rows = self._checked(batch)
        while len(rows):
            room = self._shard_end() - self.rows
            # A copy, so that the caller may reuse the memory of the batch.
            self.waiting.append(np.array(rows[:room]))
            self.rows += len(rows[:room])
            rows = rows[room:]
            if self.rows == self._shard_end():
                self._flush()

    def keep_secured(self, folder: Path) -> None:
        """Check that the files of the first rows exist, and remove those of later rows."""
        if self.done != self.total and self.done % _shard_rows(self.array):
            raise Corrupt(f"The array {self.name} can't have {self.done} complete rows.")
        shards = -(-self.done // _shard_rows(self.array))
        _check_shards(self.array, folder, range(shards))
        kept = {folder / _shard_key(self.array, index) for index in range(shards)}
        for file in [file for file in folder.rglob("*") if file.is_file()]:
            if file not in kept and file != folder / "zarr.json":
                file.unlink()

    def _shard_end(self) -> int:
        return min(self.done + _shard_rows(self.array), self.total)

    def _flush(self) -> None:
        block = np.concatenate(self.waiting)
        end = self.done + len(block)
        if self.array.shape:
            self.array[self.done : end] = block
        else:
            self.array[...] = block[0]
        self.done, self.waiting = end, []

    def _checked(self, batch: Array) -> Array:
        shape, dtype = self.array.shape, self.array.dtype
        rows = batch if shape else np.asarray(batch)[None]
        if rows.dtype != dtype or rows.shape[1:] != shape[1:]:
            raise ValueError(
                f"{self.name} takes rows of {dtype} {shape[1:]}, not {rows.dtype} {rows.shape[1:]}"
            )
        if self.rows + len(rows) > self.total:
            raise ValueError(f"{self.name} takes {self.total} rows, not {self.rows + len(rows)}")
        return rows
