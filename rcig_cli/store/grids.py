"""How an array is cut into chunks and shards, and what an array's metadata may declare.

The metadata (``zarr.json``) is read and checked here before Zarr sees it, so that it can ask for no
codec, no data type and no amount of memory other than those that format 1 has.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from rcig_cli.errors import Corrupt, NotFound
from rcig_cli.store.checks import natural
from rcig_cli.store.documents import read_document

CHUNK_BYTES = 2**20
SHARD_BYTES = 64 * 2**20
# Above this an array is likely to stay on the disk, and random rows of it to be read, each with its chunk.
LARGE_BYTES = 8 * 2**30
LARGE_CHUNK_BYTES = 2**16
_INTEGERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
DTYPES = frozenset(["bool", *_INTEGERS, "float16", "float32", "float64"])

# What an array without axes is coded by, and every chunk within a shard.
_CODECS = ["bytes", "zstd", "crc32c"]
_INDEX_CODECS = ["bytes", "crc32c"]
# Bytes that a chunk may take beyond twice its own: zstd's frame, its check sum, its place in the index.
_AROUND_CHUNK = 64
_ITEM_BITS = re.compile(r"[a-z]+([0-9]+)")
_NAME = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*")
_MAX_AXES = 16


@dataclass(frozen=True)
class Grid:
    """How an array is cut: the shape of a chunk and, where there are axes to cut, of a shard."""

    chunk: tuple[int, ...]
    shard: tuple[int, ...] | None

    @property
    def shard_rows(self) -> int:
        """How many rows a shard has room for; 1 for an array without axes."""
        return (self.shard or self.chunk or (1,))[0]


def grid_for(shape: tuple[int, ...], itemsize: int) -> Grid:
    """Cut an array along its first axis into chunks of about 1 MiB and shards of about 64 MiB.

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


@dataclass(frozen=True)
class Declared:
    """What the metadata of an array says, checked."""

    shape: tuple[int, ...]
    shard: tuple[int, ...]
    dtype: str
    chunk_rows: int = 1

    @property
    def row_bytes(self) -> int:
        """Bytes of a row; of the whole array if it has no axes."""
        return math.prod(self.shape[1:]) * _itemsize(self.dtype)

    @property
    def shard_bytes(self) -> int:
        """Bytes of a shard, uncompressed."""
        return math.prod(self.shard) * _itemsize(self.dtype)

    @property
    def file_bytes(self) -> int:
        """Bytes that the file of a shard can have at most."""
        chunks = math.prod(self.shard[:1]) // self.chunk_rows
        return 2 * self.shard_bytes + (chunks + 1) * _AROUND_CHUNK

    def shard_files(self, rows: range) -> Iterator[str]:
        """Yield the paths, relative to the array, of the shards that hold these rows."""
        if not self.shape:
            yield "c"
        elif len(rows) and math.prod(self.shape):
            for index in range(rows.start // self.shard[0], (rows.stop - 1) // self.shard[0] + 1):
                yield "/".join(["c", str(index), *["0"] * (len(self.shape) - 1)])


def is_array_name(name: str) -> bool:
    """Whether an array may have this name: letters, digits and ``_``, in parts separated by ``/``."""
    return _NAME.fullmatch(name) is not None


def declared(path: Path, name: str) -> Declared | None:
    """Read what the metadata of an array says.

    Parameters
    ----------
    path
        The group's folder.
    name
        Of the array.

    Returns
    -------
    Declared or None
        None if that is no array but a group, or isn't there.

    Raises
    ------
    Corrupt
        If it is damaged, or isn't as format 1 has it.
    """
    if not is_array_name(name):
        return None
    try:
        document = read_document(path / name / "zarr.json")
    except NotFound:
        return None
    if document.get("node_type") == "group":
        return None
    found = _parse(document)
    if found is None:
        raise Corrupt(f"The array {name} in {path} is damaged: its zarr.json isn't as this format has it.")
    return found


def _parse(document: Mapping[str, Any]) -> Declared | None:
    shape, dtype = document.get("shape"), document.get("data_type")
    shard = _get(document, "chunk_grid", "configuration", "chunk_shape")
    if not (_is_shape(shape) and _is_shape(shard) and isinstance(dtype, str) and dtype in DTYPES):
        return None
    whole = len(shape) == len(shard) and all(
        max(1, a) == b for a, b in zip(shape[1:], shard[1:], strict=True)
    )
    if not whole or 0 in shard or not _is_plain(document):
        return None
    chunk = _chunk(document["codecs"], shard)
    return Declared(tuple(shape), tuple(shard), dtype, math.prod(chunk[:1])) if chunk is not None else None


def _is_plain(document: Mapping[str, Any]) -> bool:
    """Whether nothing but how the bytes are cut and coded is left to Zarr, and that as we write it."""
    return (
        document.get("zarr_format") == 3
        and document.get("node_type") == "array"
        and _get(document, "chunk_grid", "name") == "regular"
        and document.get("chunk_key_encoding") == {"name": "default", "configuration": {"separator": "/"}}
        and not document.get("storage_transformers")
        and isinstance(document.get("codecs"), list)
    )


def _chunk(codecs: list[Any], shard: list[int]) -> list[int] | None:
    """Return the shape of a chunk, if it is coded as this format has it; None if not."""
    if not shard:
        return shard if _names(codecs) == _CODECS else None
    if _names(codecs) != ["sharding_indexed"]:
        return None
    inner = codecs[0].get("configuration")
    chunk = _get(inner, "chunk_shape")
    cut = _is_shape(chunk) and len(chunk) == len(shard) and chunk[1:] == shard[1:] and chunk[0] > 0
    coded = _names(_get(inner, "codecs")) == _CODECS and _names(_get(inner, "index_codecs")) == _INDEX_CODECS
    return chunk if cut and coded and shard[0] % chunk[0] == 0 else None


def _names(codecs: Any) -> list[Any]:
    return [_get(codec, "name") for codec in codecs] if isinstance(codecs, list) else []


def _get(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _is_shape(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and len(value) <= _MAX_AXES and all(map(natural.holds, value))


def _itemsize(dtype: str) -> int:
    bits = _ITEM_BITS.fullmatch(dtype)
    return int(bits[1]) // 8 if bits else 1
