"""Read one column of a Parquet or Arrow file of unknown origin, some rows at a time.

Parquet is read page by page.  A value may take up to 2 GiB there, and values that repeat are stored once, so
a small file can hold very many large values; the number of rows that are read together follows from the
sizes that the file states.  Arrow files are streams of record batches, as the library ``datasets`` saves
them; they are mapped into memory, and compressed ones are refused.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcig_cli.data.files import open_file
from rcig_cli.errors import ConfigError, Corrupt, RcigError

MOST_ROWS = 2**24
"""Most rows of a file that is read."""

SUFFIXES = (".parquet", ".arrow")

_ROWS = 64  # read together, at most
_PIECE = 2**28  # bytes read together, by the sizes that the file states; at least a row
_MOST_NUMBERS = 2**28  # in a row group of a column of lists
_BUFFER = 2**20


@dataclass(frozen=True, eq=False)
class Table:
    """A Parquet or Arrow file.

    Attributes
    ----------
    path
        The file.
    inside
        The folder that links may not lead out of.
    schema
        A ``pyarrow.Schema``.
    groups
        The number of rows in each row group or record batch.
    """

    path: Path
    inside: Path
    schema: Any
    groups: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.groups)

    def blocks(self, column: str, start: int = 0) -> Iterator[Any]:
        """Yield a column from row ``start`` on as ``pyarrow.Array`` of at most 64 values.

        Raises
        ------
        Corrupt
            If the file is damaged.
        ConfigError
            If a row group has too many numbers.
        """
        first = 0
        while first < len(self.groups) and self.groups[first] <= start:
            start -= self.groups[first]
            first += 1
        is_parquet = _is_parquet(self.path, self.inside)
        blocks = (_parquet_blocks if is_parquet else _arrow_blocks)(self, column, first)
        while True:
            with reading(self.path):
                block = next(blocks, None)
            if block is None:
                return
            if start < len(block):
                yield block[start:]
            start = max(0, start - len(block))


def open_table(path: Path, inside: Path) -> Table:
    """Open a file and read its schema; parameters as in `Table`.

    Raises
    ------
    ConfigError
        If it has too many rows, is a compressed Arrow file, or lies outside of ``inside``.
    Corrupt
        If it is damaged, or neither a Parquet file nor an Arrow stream.
    """
    with reading(path):
        is_parquet = _is_parquet(path, inside)
        table = _open_parquet(path, inside) if is_parquet else _open_arrow(path, inside)
        str(table.schema)  # all its names are UTF-8
    if table.rows > MOST_ROWS:
        raise ConfigError(f"{path} has {table.rows} rows: files of at most {MOST_ROWS} are read. Split it.")
    return table


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while values of a file are read into `Corrupt`."""
    try:
        yield
    except RcigError:
        raise
    except Exception as error:  # Arrow raises errors of many kinds on damaged files
        if isinstance(error, OSError) and error.errno:
            raise
        raise Corrupt(
            f"{path} is damaged, cut short or not a {path.suffix.lower()} file: download or copy it again."
        ) from error


def class_labels(schema: Any) -> dict[str, tuple[str, ...]]:
    """Return the names of classes of the columns of the type ``ClassLabel``, as ``datasets`` saves them."""
    content = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(content)["info"]["features"].items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # another program wrote the file
    return {
        name: tuple(map(str, kind["names"]))
        for name, kind in features
        if isinstance(kind, dict) and isinstance(kind.get("names"), list)
    }


def _is_parquet(path: Path, inside: Path) -> bool:
    with open_file(path, inside=inside) as file:
        return file.read(4) == b"PAR1"


def _check_file(path: Path, inside: Path) -> None:
    with open_file(path, inside=inside):
        pass


@contextmanager
def _parquet_file(path: Path, inside: Path) -> Iterator[Any]:
    from pyarrow import OSFile, types
    from pyarrow.parquet import ParquetFile

    _check_file(path, inside)
    with OSFile(str(path)) as file:
        found = ParquetFile(file)
        # Texts, such as names of classes, are read as numbers and a list of the distinct texts.
        texts = [field.name for field in found.schema_arrow if types.is_string(field.type)]
        yield ParquetFile(
            file,
            metadata=found.metadata,
            read_dictionary=texts,
            pre_buffer=False,
            buffer_size=_BUFFER,
            page_checksum_verification=True,
        )


def _open_parquet(path: Path, inside: Path) -> Table:
    with _parquet_file(path, inside) as parquet:
        found = parquet.metadata
        groups = tuple(found.row_group(group).num_rows for group in range(found.num_row_groups))
        return Table(path, inside, parquet.schema_arrow, groups)


def _parquet_blocks(table: Table, column: str, first: int) -> Iterator[Any]:
    with _parquet_file(table.path, table.inside) as parquet:
        for number in range(first, len(table.groups)):
            group = parquet.metadata.row_group(number)
            chunks = [group.column(index) for index in range(group.num_columns)]
            # The column itself, or what its structs or lists hold.
            chunks = [chunk for chunk in chunks if f"{chunk.path_in_schema}.".startswith(f"{column}.")]
            if max(chunk.num_values for chunk in chunks) > max(_MOST_NUMBERS, group.num_rows):
                raise ConfigError(
                    f"{table.path} has more than {_MOST_NUMBERS} numbers in a row group of its column "
                    f"{column!r}: write it with fewer rows in each."
                )
            # Every value may be as large as all the distinct ones together.
            size = sum(chunk.total_uncompressed_size for chunk in chunks)
            rows = min(_ROWS, max(1, _PIECE // max(1, size)))
            for batch in parquet.iter_batches(rows, [number], [column], use_threads=False):
                yield batch.column(0)


def _open_arrow(path: Path, inside: Path) -> Table:
    import pyarrow

    with _mapped(path, inside) as mapped:
        if mapped.read(6) == b"ARROW1":
            raise ConfigError(f"{path} is in Arrow's file format (Feather): save it as Parquet.")
        mapped.seek(0)
        for message in pyarrow.ipc.MessageReader.open_stream(mapped):
            if message.type == "record batch" and _is_compressed(message.metadata.to_pybytes()):
                raise ConfigError(f"{path} is compressed: save it uncompressed, or as Parquet.")
        mapped.seek(0)
        stream = pyarrow.ipc.open_stream(mapped)
        return Table(path, inside, stream.schema, tuple(batch.num_rows for batch in stream))


def _arrow_blocks(table: Table, column: str, first: int) -> Iterator[Any]:
    import pyarrow

    with _mapped(table.path, table.inside) as mapped:
        for number, batch in enumerate(pyarrow.ipc.open_stream(mapped)):
            if number >= first:
                values = batch.column(batch.schema.names.index(column))
                values.validate(full=True)
                yield from (values[start : start + _ROWS] for start in range(0, len(values), _ROWS))


@contextmanager
def _mapped(path: Path, inside: Path) -> Iterator[Any]:
    import pyarrow

    _check_file(path, inside)
    with pyarrow.memory_map(str(path)) as mapped:
        yield mapped


def _is_compressed(message: bytes) -> bool:
    """Whether the flatbuffer of a record batch's message names a compression.

    These are the third field of ``Message`` (its header) and the fourth of ``RecordBatch``, see Message.fbs
    of Apache Arrow.
    """

    def follow(at: int) -> int:
        return at + int(struct.unpack_from("<I", message, at)[0])

    def field(of: int, number: int) -> int | None:
        entries = of - struct.unpack_from("<i", message, of)[0]
        length = struct.unpack_from("<H", message, entries)[0]
        place = 4 + 2 * number
        offset = struct.unpack_from("<H", message, entries + place)[0] if place < length else 0
        return of + offset if offset else None

    header = field(follow(0), 2)
    return header is not None and field(follow(header), 3) is not None
