"""Named arrays in a Zarr 3 group: chunked, sharded, compressed with zstd, each chunk with a CRC-32C.

An array is cut along its first axis only: chunks of about 1 MiB, shards (one file each) of about
64 MiB.  An array of up to 1 MiB is one chunk.  Equal arrays give equal bytes.  What a reader is told
by an array's metadata is checked before any memory is taken for it.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from rcig_cli.errors import Corrupt, RcigError
from rcig_cli.store import codecs  # noqa: F401, so that Zarr takes ours
from rcig_cli.store.array_writer import ArrayWriter
from rcig_cli.store.files import storage_errors
from rcig_cli.store.grids import Declared, declared

__all__ = ["ArrayWriter", "array_names", "read_array", "read_arrays", "write_arrays"]

Array = NDArray[Any]
MAX_BYTES = 64 * 2**30


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
        raise missing(path, name)
    rows = range(*slice(start, stop).indices(math.prod(found.shape[:1])))
    _check_size(path, name, found, len(rows), max_bytes)
    check_shards(path, name, found, rows)
    with reading(path, name):
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


def check_shards(path: Path, name: str, found: Declared, rows: range) -> None:
    """Refuse rows some of whose files are missing, empty, or larger than what they hold."""
    # Zarr takes a missing file, and some of its versions an empty one, for a shard of zeros.
    for key in found.shard_files(rows):
        file = path / name / key
        with storage_errors(file, "read"):
            size = file.stat().st_size if file.is_file() else 0
        if not size:
            raise _damaged(path, name, f"its file {key} is missing or empty")
        if size > found.file_bytes:
            raise _damaged(path, name, f"its file {key} has {size} bytes, and can't need {found.file_bytes}")


@contextmanager
def reading(path: Path, name: str) -> Iterator[None]:
    """Turn what Zarr raises on damage into a sentence."""
    try:
        with storage_errors(path / name, "read"):
            yield
    except RcigError:
        raise
    # Damage comes out of the codecs as whatever they happen to raise.
    except Exception as error:
        raise _damaged(path, name, str(error) or type(error).__name__) from error


def missing(path: Path, name: str) -> Corrupt:
    """The error of an array that isn't there."""
    return _damaged(path, name, "it is missing")


def _damaged(path: Path, name: str, reason: str) -> Corrupt:
    return Corrupt(f"The array {name} in {path} is damaged: {reason.splitlines()[0][:300]}.")
