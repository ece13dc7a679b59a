"""Named arrays in a Zarr 3 group: chunked, sharded, compressed with zstd, each chunk with a CRC-32C.

Arrays that a running process replaces repeatedly are in one ``.npz`` file instead (`write_npz`).

An array has one or more axes and is divided along the first only: into chunks of about 1 MiB, which are
gathered into shards (one file each) of about 64 MiB.  Equal arrays give equal bytes.  The Zarr library reads
and writes chunks and shards; a chunk that doesn't match its CRC-32C, or a missing shard, is reported as
`Corrupt`.
"""

import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from rcig_cli.errors import Corrupt
from rcig_cli.store.files import storage_errors, sync_tree, write_atomically

CHUNK_BYTES = 2**20
SHARD_BYTES = 64 * 2**20
# A larger array probably stays on the disk, and each row is read with its whole chunk; so chunks are smaller.
LARGE_BYTES = 8 * 2**30
LARGE_CHUNK_BYTES = 2**16

_REMEDY = "Restore it from a backup, or prepare the data set or make the run again."

Array = NDArray[Any]
Declarations = Mapping[str, tuple[tuple[int, ...], DTypeLike]]


def rows_per_chunk_and_shard(shape: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """Divide an array along its first axis into chunks of about 1 MiB and shards of about 64 MiB.

    Chunks of an array above 8 GiB are of about 64 KiB.

    Parameters
    ----------
    shape
        Of the array.
    itemsize
        Bytes of an element.
    """
    row_bytes = max(1, math.prod(shape[1:])) * itemsize
    chunk_bytes = LARGE_CHUNK_BYTES if shape[0] * row_bytes > LARGE_BYTES else CHUNK_BYTES
    chunk_rows = min(max(1, chunk_bytes // row_bytes), max(1, shape[0]))
    chunks = min(max(1, SHARD_BYTES // (chunk_rows * row_bytes)), -(-shape[0] // chunk_rows) or 1)
    return chunk_rows, chunk_rows * chunks


# Reading


def read_array(path: Path, name: str) -> Array:
    """Read the array `name`, such as ``train/images``, of the group in the folder `path`.

    Raises
    ------
    Corrupt
        If the array is missing or damaged; the message names it.
    RcigError
        If it can't be read.
    """
    return StoredRows(path, name)[:]


def read_arrays(path: Path, prefix: str = "") -> dict[str, Array]:
    """Read the arrays of a group whose names begin with ``prefix``, by name, sorted.

    Raises
    ------
    Corrupt
        If there is no group, or an array is damaged.
    RcigError
        If they can't be read.
    """
    with _reading(f"The arrays in {path} are", path):
        group = zarr.open_group(path, mode="r", zarr_format=3)
        found = [name for name, node in group.members(max_depth=None) if isinstance(node, zarr.Array)]
    return {name: read_array(path, name) for name in sorted(found) if name.startswith(prefix)}


class StoredRows:
    """The array `name` of the group in the folder `path`, of which single rows can be read.

    With ``rows``, increasing indices ``[n]``, only these rows of it, numbered from 0.

    Raises
    ------
    Corrupt
        If the array is missing or damaged.
    """

    def __init__(self, path: Path, name: str, rows: NDArray[np.int64] | None = None) -> None:
        self._path, self._name, self._rows = path, name, rows
        with self._reading():
            self._array: Any = zarr.open_group(path, mode="r", zarr_format=3).get(name)
        if not isinstance(self._array, zarr.Array):
            raise Corrupt(f"The array {name} in {path} is missing. {_REMEDY}")
        count = self._array.shape[0] if rows is None else len(rows)
        self.shape: tuple[int, ...] = (count, *self._array.shape[1:])
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
        length = self._array.shards[0]
        if isinstance(chosen, slice):
            start, stop, _ = chosen.indices(len(self))
            if self._rows is not None:
                return self._in_shards(self._rows[start : max(start, stop)])
            with self._reading():
                _check_shards(self._array, self._path, range(start // length, -(-stop // length)))
                return np.asarray(self._array[start : max(start, stop)])
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise IndexError(f"{self._name} has {len(self)} rows")
        chosen = chosen if self._rows is None else self._rows[chosen]
        rows, places = np.unique(chosen, return_inverse=True)
        with self._reading():
            _check_shards(self._array, self._path, sorted(set(rows // length)))
            found: Array = np.asarray(self._array.oindex[rows])
        picked: Array = found[places.reshape(chosen.shape)]
        return picked

    def _in_shards(self, rows: NDArray[np.int64]) -> Array:
        """Read increasing rows shard by shard, with those between them where these cost no more time.

        Zarr is slow for thousands of single rows; and if each chunk has one of them, it reads all anyway.
        """
        (length, *_), (per_chunk, *_) = self._array.shards, self._array.chunks
        found = [np.empty((0, *self.shape[1:]), self.dtype)]
        for part in np.split(rows, np.flatnonzero(np.diff(rows // length)) + 1) if len(rows) else ():
            first, last = int(part[0]), int(part[-1])
            with self._reading():
                _check_shards(self._array, self._path, [first // length])
                if per_chunk * len(part) > last - first:
                    found.append(np.asarray(self._array[first : last + 1])[part - first])
                else:
                    found.append(np.asarray(self._array.oindex[part]))
        return np.concatenate(found)

    def _reading(self) -> Any:
        return _reading(f"The array {self._name} in {self._path} is", self._path)


def _check_shards(array: Any, path: Path, indices: Iterable[int]) -> None:
    """Refuse missing or empty files: Zarr would return zeros for them."""
    for index in indices if array.size else ():
        shard = _shard_path(array, path, int(index))
        if not shard.is_file() or not shard.stat().st_size:
            raise ValueError(f"its file {shard.relative_to(path / array.path)} is missing or empty")


def _shard_path(array: Any, path: Path, index: int) -> Path:
    key = array.metadata.encode_chunk_key((index, *[0] * (array.ndim - 1)))
    return Path(path, array.path, key)


@contextmanager
def _reading(subject: str, path: Path) -> Iterator[None]:
    """Turn Zarr's errors for damaged or missing files into `Corrupt`."""
    try:
        yield
    except FileNotFoundError as error:
        raise Corrupt(f"{subject} damaged: {path / 'zarr.json'} is missing. {_REMEDY}") from error
    except OSError:
        with storage_errors(path, "read"):
            raise
    except Exception as error:  # the codecs raise errors of many types for damaged bytes
        reason = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise Corrupt(f"{subject} damaged: {reason}. {_REMEDY}") from error


# Writing


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a group of arrays that are in memory.

    Parameters
    ----------
    path
        The group's folder, which must not exist or be empty; make it in a `temporary_folder`.
    arrays
        From name to array (bool, integers or floats, one or more axes).

    Raises
    ------
    RcigError
        If it can't be written.
    """
    writer = ArrayWriter.create(path, {name: (array.shape, array.dtype) for name, array in arrays.items()})
    for name, array in arrays.items():
        writer.append(name, array)
    writer.close()


class ArrayWriter:
    """Writes a group of arrays batch by batch, holding at most one shard of each array in memory.

    `secure` forces the written rows to the disk.  After a crash, `resume` continues after these rows and
    gives the same bytes as an uninterrupted writer.  Get a writer from `create` or `resume`, and `close` it.
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
            The group's folder, which must not exist or be empty; make it in a `temporary_folder`.
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
                chunk, shard = rows_per_chunk_and_shard(shape, np.dtype(dtype).itemsize)
                row = [max(1, length) for length in shape[1:]]
                array = group.create_array(
                    name,
                    shape=shape,
                    dtype=np.dtype(dtype),
                    chunks=(chunk, *row),
                    shards=(shard, *row),
                    compressors=[ZstdCodec(level=3), Crc32cCodec()],
                    # Otherwise a chunk of -0.0 would be read back as 0.0, and a lost file would go unnoticed.
                    config={"write_empty_chunks": True},
                )
                columns[name] = _Column(name, array)
        return cls(path, columns)

    @classmethod
    def resume(cls, path: Path, rows: Mapping[str, int]) -> Self:
        """Resume a group that another writer began; the rows that it didn't secure are removed.

        Parameters
        ----------
        path
            The group's folder.
        rows
            As `secure` returned them.

        Raises
        ------
        Corrupt
            If the group is damaged.
        RcigError
            If it can't be read or written.
        """
        columns = {}
        with (
            _reading(f"The arrays in {path} are", path),
            zarr.config.set({"array.write_empty_chunks": True}),
        ):
            group = zarr.open_group(path, mode="r+", zarr_format=3)
            for name, done in rows.items():
                array: Any = group[name]
                shards = range(-(-done // array.shards[0]))
                _check_shards(array, path, shards)
                # Zarr would read an incomplete file of a later shard before it writes to it.
                kept = {path / name / "zarr.json", *(_shard_path(array, path, index) for index in shards)}
                for file in (path / name).rglob("*"):
                    if file.is_file() and file not in kept:
                        file.unlink()
                columns[name] = _Column(name, array, done)
        return cls(path, columns)

    def written(self, name: str) -> int:
        """Return how many rows of an array are written to files: those of its complete shards."""
        return self._columns[name].done

    def secure(self) -> dict[str, int]:
        """Force the written rows to the disk; return their number for each array.

        Raises
        ------
        RcigError
            If the system reports an error.
        """
        with storage_errors(self.path):
            sync_tree(self.path)
        return {name: column.done for name, column in self._columns.items()}

    def append(self, name: str, batch: Array) -> None:
        """Add rows to an array, after those added before.

        Parameters
        ----------
        name
            One of the arrays given to `create`.
        batch
            Shape ``[rows, ...]`` and dtype as declared.

        Raises
        ------
        RcigError
            If it can't be written.
        """
        with storage_errors(self.path):
            self._columns[name].append(batch)

    def close(self) -> None:
        """End the writing; every array must have all its rows."""
        short = [name for name, column in self._columns.items() if column.done < column.total]
        assert not short, f"incomplete arrays: {short}"


class _Column:
    """An array that is being written, with the rows of the shard that isn't complete yet."""

    def __init__(self, name: str, array: Any, rows: int = 0) -> None:
        self.name, self.array, self.total = name, array, array.shape[0]
        self.done = rows
        self.waiting: list[Array] = []

    def append(self, rows: Array) -> None:
        assert (rows.dtype, rows.shape[1:]) == (self.array.dtype, self.array.shape[1:]), self.name
        while len(rows):
            end = min(self.done + self.array.shards[0], self.total)
            room = end - self.done - sum(map(len, self.waiting))
            assert room, f"{self.name} has more rows than declared"
            # A copy, so that the caller may reuse the memory of the batch.
            self.waiting.append(np.array(rows[:room]))
            if len(rows) >= room:
                self._flush(end)
            rows = rows[room:]

    def _flush(self, end: int) -> None:
        self.array[self.done : end] = np.concatenate(self.waiting)
        self.done, self.waiting = end, []


# In one file


def write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays to an uncompressed ``.npz`` file, atomically.

    Raises
    ------
    RcigError
        If it can't be written; an existing file is unchanged.
    """
    with write_atomically(path) as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def read_npz(path: Path) -> dict[str, Array]:
    """Read the arrays of an ``.npz`` file, by name.

    Raises
    ------
    Corrupt
        If it is damaged: the file has a CRC-32 of each array.
    NotFound, RcigError
        If it doesn't exist or can't be read.
    """
    try:
        with storage_errors(path, "read"), path.open("rb") as stream:
            return dict(np.load(stream, allow_pickle=False))
    except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:  # zipfile raises the last two
        raise Corrupt(f"{path} is damaged.") from error
