"""Distilled sets as Parquet, in the layout that Hugging Face's ``datasets`` reads and writes.

::

    README.md                                the data card
    data/train-00000-of-00001.parquet        image, label, soft_label, whitened: a row an image
    whitening.safetensors                    from pixels to what a network sees, and back

``image`` is a PNG as ``{bytes, path}``, 8 bits a channel; ``whitened`` has the same image as a network sees
it, to the bit.  Parquet made elsewhere may lack ``soft_label`` and ``whitened``; its images are then pixels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange import safetensors_set
from rcig_cli.data.exchange.data_card import data_card
from rcig_cli.data.exchange.exported_format import NAME, check_format
from rcig_cli.data.exchange.foreign import WHITENING, Opened, Stored, Target
from rcig_cli.data.exchange.memory import memory_bounded
from rcig_cli.data.exchange.outgoing import OutgoingSet
from rcig_cli.data.exchange.pictures import png, read_pictures
from rcig_cli.data.exchange.safetensors_set import class_names_of, metadata_for, space_of
from rcig_cli.errors import ConfigError, Corrupt, RcigError

DATA = "data"
_PART = "train-00000-of-00001.parquet"
_WHITENING = "whitening.safetensors"
_ROWS = 100  # a row group
# Bytes that a file can unpack to: floats and a picture, perhaps a photograph with all that comes with one.
_PER_VALUE, _PER_ROW, _PER_FILE = 16, 2**16, 2**20
_LONGEST_SHAPE = 100  # characters
_FOOTER = 2**29  # memory to read one in, and for what Arrow sets aside for itself


def is_set(folder: Path) -> bool:
    """Whether a folder has its Parquet where this layout has it."""
    return bool(_parts(folder))


def open_set(path: Path, target: Target) -> Opened:
    """Open a Parquet file, or a folder with one under ``data``.

    Raises
    ------
    ConfigError
        If the folder has several, or a column is missing or of another kind.
    Corrupt
        If it is damaged or cut short.
    """
    file = _only_part(path) if path.is_dir() else path
    with _opened(file, _FOOTER) as parquet:
        rows, schema = parquet.metadata.num_rows, parquet.schema_arrow
        metadata = {_text(key): _text(value) for key, value in (schema.metadata or {}).items()}
        check_format(file, metadata.get(NAME))
        arrays = _Columns(file, schema, rows, target).arrays(metadata)
    space = space_of(file, metadata) if "whitened" in schema.names else "pixels"
    used, beside = [file], path / _WHITENING
    if path.is_dir() and beside.is_file() and not beside.is_symlink():
        whitening = safetensors_set.open_set(beside).arrays
        arrays |= {name: array for name, array in whitening.items() if name.startswith(WHITENING)}
        used.append(beside)
    return Opened(path, arrays, space, class_names_of(file, metadata), tuple(used))


@contextmanager
def _opened(file: Path, most: int) -> Iterator[Any]:
    """Open a Parquet file, and say in a sentence what is wrong with it while it is open.

    Arrow believes what each page says of its size, whatever the footer said of all: ``most`` bounds it.
    """
    import pyarrow.parquet

    try:
        with memory_bounded(most), pyarrow.parquet.ParquetFile(file) as parquet:
            yield parquet
    except RcigError:
        raise
    # On damaged files Arrow lets out errors of almost any kind.
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise RcigError(f"{file} can't be read: {error.strerror}.") from error
        raise Corrupt(f"{file} is damaged, cut short or no Parquet file: make or copy it again.") from error


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _parts(folder: Path) -> list[Path]:
    return sorted(part for part in (folder / DATA).glob("*.parquet") if part.is_file())


def _only_part(folder: Path) -> Path:
    parts = _parts(folder)
    if len(parts) != 1:
        raise ConfigError(f"{folder / DATA} has {len(parts)} Parquet files: a distilled set is in one.")
    if not parts[0].resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{parts[0]} is a link that leads out of {folder}: put the file there.")
    return parts[0]


class _Columns:
    """The columns of a Parquet file as arrays, each read when it is wanted."""

    def __init__(self, file: Path, schema: Any, rows: int, target: Target) -> None:
        self._file, self._schema, self._rows, self._target = file, schema, rows, target

    def arrays(self, metadata: dict[str, str]) -> dict[str, Stored]:
        """Declare images, labels and, where soft labels stand beside them, classes."""
        names = self._schema.names
        arrays: dict[str, Stored] = {}
        if "whitened" in names:
            shape = _shape(self._file, metadata.get("shape", ""))
            arrays["images"] = self._floats("whitened", shape)
        elif "image" in names:
            self._check_pictures()
            shape = (self._rows, *self._target.shape)
            arrays["images"] = Stored(shape, np.dtype(np.uint8), self._read_pictures)
        if "label" in names:
            self._expect(
                "label", str(self._schema.field("label").type) in ("int64", "int32", "int16", "int8")
            )
            numbers = Stored((self._rows,), np.dtype(np.int64), partial(self._read_numbers, "label"))
            arrays["classes" if "soft_label" in names else "labels"] = numbers
        if "soft_label" in names:
            classes = getattr(self._schema.field("soft_label").type, "list_size", 0)
            arrays["labels"] = self._floats("soft_label", (classes,))
        return arrays

    def _floats(self, name: str, shape: tuple[int, ...]) -> Stored:
        size = int(np.prod(shape, dtype=object))
        kind = self._schema.field(name).type
        self._expect(name, str(kind).startswith("fixed_size_list") and str(kind.value_type) == "float")
        self._expect(name, kind.list_size == size)

        def read() -> npt.NDArray[Any]:
            column = self._read(name)
            values = column.flatten()
            self._expect(name, values.null_count == 0 and len(values) == self._rows * size)
            return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(self._rows, *shape)

        return Stored((self._rows, *shape), np.dtype(np.float32), read)

    def _read_numbers(self, name: str) -> npt.NDArray[Any]:
        return np.asarray(self._read(name).to_numpy(zero_copy_only=False))

    def _read_pictures(self) -> npt.NDArray[np.uint8]:
        column = self._read("image")
        contents = column.field("bytes").to_pylist()
        self._expect("image", all(isinstance(content, bytes) for content in contents))
        named = ((Path(f"{self._file}: picture {row}"), content) for row, content in enumerate(contents))
        return read_pictures(named, self._target)

    def _check_pictures(self) -> None:
        kind = self._schema.field("image").type
        fields = {field.name: str(field.type) for field in kind} if str(kind).startswith("struct") else {}
        self._expect("image", fields.get("bytes") == "binary")

    def _read(self, name: str) -> Any:
        """Read a column, if the file isn't said to unpack to more than its rows can have."""
        with _opened(self._file, _FOOTER + 4 * self._most()) as parquet:
            self._expect(name, _unpacked(parquet.metadata) <= self._most())
            column = parquet.read(columns=[name], use_threads=False).column(0).combine_chunks()
        self._expect(name, column.null_count == 0 and len(column) == self._rows)
        return column

    def _most(self) -> int:
        """Bytes that all columns together can have."""
        values = math.prod(self._target.shape) + len(self._target.class_names)
        return self._rows * (_PER_VALUE * values + _PER_ROW) + _PER_FILE

    def _expect(self, name: str, holds: bool) -> None:
        if not holds:
            raise ConfigError(
                f"{self._file}: its column {name!r} isn't what a set has there (docs/exchange.md)."
            )


def _unpacked(metadata: Any) -> int:
    """Bytes of all columns once unpacked, as the file's footer has it."""
    return sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))


def _shape(file: Path, text: str) -> tuple[int, ...]:
    try:
        shape = json.loads(text) if len(text) <= _LONGEST_SHAPE else None
    except (ValueError, RecursionError):
        shape = None
    if not isinstance(shape, list) or not all(type(side) is int and side > 0 for side in shape):
        raise ConfigError(f"{file}: its metadata don't say the shape of the column 'whitened'.")
    return tuple(shape)


def write_set(folder: Path, outgoing: OutgoingSet) -> None:
    """Write a distilled set, its data card and its whitening into an empty folder."""
    import pyarrow
    import pyarrow.parquet

    pictures = [
        {"bytes": png(pixels), "path": f"{row:05d}.png"} for row, pixels in enumerate(outgoing.pixels())
    ]
    table = pyarrow.table(
        [
            pyarrow.array(
                pictures, pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
            ),
            pyarrow.array(outgoing.classes.astype(np.int64)),
            _lists(outgoing.labels),
            _lists(outgoing.images),
        ],
        names=["image", "label", "soft_label", "whitened"],
    )
    own = {**metadata_for(outgoing), "shape": json.dumps(outgoing.images.shape[1:])}
    features = json.dumps({"info": {"features": _features(outgoing)}})
    (folder / DATA).mkdir()
    pyarrow.parquet.write_table(
        table.replace_schema_metadata({"huggingface": features, **own}),
        folder / DATA / _PART,
        row_group_size=_ROWS,
        compression="zstd",
        use_dictionary=False,  # floats are compared in a dictionary, and -0 equals 0
    )
    safetensors_set.save(folder / _WHITENING, outgoing.whitening_arrays())
    (folder / "README.md").write_text(data_card(outgoing), encoding="utf-8")


def _lists(rows: npt.NDArray[np.float32]) -> Any:
    import pyarrow

    flat = np.ascontiguousarray(rows).reshape(len(rows), -1)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat.reshape(-1)), flat.shape[1])


def _features(outgoing: OutgoingSet) -> dict[str, Any]:
    def floats(length: int) -> dict[str, Any]:
        return {"feature": {"dtype": "float32", "_type": "Value"}, "length": length, "_type": "Sequence"}

    return {
        "image": {"_type": "Image"},
        "label": {"names": list(outgoing.class_names), "_type": "ClassLabel"},
        "soft_label": floats(outgoing.labels.shape[1]),
        "whitened": floats(outgoing.images[0].size),
    }
