"""Distilled sets as Parquet, in the layout of data sets on Hugging Face.

::

    data/train-00000-of-00001.parquet        image, label, soft_label, whitened: a row for each image
    distilled.safetensors                    all arrays, as in --format safetensors

``image`` is a PNG as ``{bytes, path}``, 8 bits a channel; ``whitened`` is the same image as a network sees
it, exact to the bit.  A folder is imported from ``distilled.safetensors`` if it has it.  Parquet files of
other programs may lack ``soft_label`` and ``whitened``; their images are then pixels.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange import safetensors
from rcig_cli.data.exchange.png_folder import decode_pictures, encode_png
from rcig_cli.data.exchange.records import (
    Array,
    DatasetInfo,
    ExportedSet,
    Format,
    LazyArray,
    SetFile,
    check_count,
    read_metadata,
)
from rcig_cli.data.files import check_inside
from rcig_cli.data.tables import class_labels
from rcig_cli.errors import ConfigError, Corrupt, RcigError

_DATA, _PART = "data", "train-00000-of-00001.parquet"
ROWS = f"{_DATA}/{_PART}"
"""The Parquet file in an exported folder."""

EXACT = "distilled.safetensors"
"""The file in an exported folder that has all arrays of a distilled set, unchanged."""

_COLUMNS = ("image", "img", "label", "soft_label", "whitened")
_ROWS = 100  # of a row group
# The most bytes that a file may unpack to: floats, and a picture of any kind for each row.
_PER_VALUE, _PER_ROW, _PER_FILE = 16, 2**16, 2**20


def recognize(path: Path, head: bytes) -> bool:
    """Whether a path is a Parquet file, or a folder with one under ``data`` or with all arrays."""
    if path.is_dir():
        return _has_exact(path) or bool(_parts(path))
    return head[:4] == b"PAR1" or path.suffix.lower() == ".parquet"


def _has_exact(folder: Path) -> bool:
    return (folder / EXACT).is_file()


def _parts(folder: Path) -> list[Path]:
    return sorted(part for part in (folder / _DATA).glob("*.parquet") if part.is_file())


def read_set(path: Path, dataset: DatasetInfo) -> SetFile:
    """Read a file that has no more rows and bytes than a distilled set of the data set; see `Format.read`."""
    if path.is_dir() and _has_exact(path):
        check_inside(path / EXACT, path)
        return safetensors.read_set(path / EXACT, dataset)
    file = _only_part(path) if path.is_dir() else path
    try:
        table = _read_table(file, dataset)
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        space, class_names, parametrization = read_metadata(file, metadata)
        class_names = class_names or class_labels(table.schema).get("label")
        arrays = {name: LazyArray.of(array) for name, array in _arrays(file, table, dataset).items()}
    except RcigError:
        raise
    except Exception as error:  # Arrow raises errors of many kinds on damaged files
        if isinstance(error, OSError) and error.errno:
            raise
        raise Corrupt(f"{file} is damaged, cut short or not a Parquet file: copy it again.") from error
    space = space if "whitened" in table.column_names else "pixels"
    files = (file,) if path.is_dir() else ()
    return SetFile(path, arrays, space, class_names, parametrization, files)


def _only_part(folder: Path) -> Path:
    parts = _parts(folder)
    if len(parts) != 1:
        raise ConfigError(
            f"{folder / _DATA} has {len(parts)} Parquet files, but a distilled set must be a single file."
        )
    check_inside(parts[0], folder)
    return parts[0]


def _read_table(file: Path, dataset: DatasetInfo) -> Any:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as parquet:
        rows, groups = parquet.metadata.num_rows, parquet.metadata.num_row_groups
        check_count(file, rows, dataset)
        size = sum(parquet.metadata.row_group(group).total_byte_size for group in range(groups))
        most = most_bytes(rows, dataset)
        if size > most:
            raise ConfigError(
                f"{file} unpacks to {size} bytes, but {rows} images of {dataset.name} take at most {most}: "
                "save only images and labels."
            )
        names = [name for name in parquet.schema_arrow.names if name in _COLUMNS]
        if "whitened" in names:
            names = [name for name in names if name not in ("image", "img")]
        return parquet.read(columns=names, use_threads=False)


def most_bytes(rows: int, dataset: DatasetInfo) -> int:
    """Return the most bytes that a file with so many images of a data set may unpack to."""
    values = math.prod(dataset.shape) + len(dataset.class_names)
    return rows * (_PER_VALUE * values + _PER_ROW) + _PER_FILE


def _arrays(file: Path, table: Any, dataset: DatasetInfo) -> dict[str, Array]:
    """Images, labels and, if it has soft labels too, classes."""
    arrays: dict[str, Array] = {}
    if "whitened" in table.column_names:
        arrays["images"] = _floats(file, table, "whitened", dataset.shape)
    elif name := next((name for name in ("image", "img") if name in table.column_names), None):
        rows = table.column(name).to_pylist()
        if not all(isinstance(row, dict) and isinstance(row.get("bytes"), bytes) for row in rows):
            raise ConfigError(f"{file}: its column {name!r} must hold {{bytes, path}}: see docs/exchange.md.")
        pictures = ((Path(f"{file}: picture {number}"), row["bytes"]) for number, row in enumerate(rows))
        arrays["images"] = decode_pictures(pictures, dataset)
    if "label" in table.column_names:
        arrays["labels"] = _labels(file, table)
    if "soft_label" in table.column_names:
        classes = {"classes": arrays["labels"]} if "labels" in arrays else {}
        arrays |= {**classes, "labels": _floats(file, table, "soft_label", (_length(table, "soft_label"),))}
    return arrays


def _labels(file: Path, table: Any) -> Array:
    """Class numbers, or the names of the classes."""
    import pyarrow

    kind = table.schema.field("label").type
    if pyarrow.types.is_dictionary(kind):  # as pandas writes categories
        kind = kind.value_type
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return np.array(_column(file, table, "label", "string").to_pylist(), dtype=np.str_)
    numbers: Array = _column(file, table, "label", "int64").to_numpy()
    return numbers


def _floats(file: Path, table: Any, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """A column of lists of floats, as ``[rows, *shape]``."""
    import pyarrow

    column = _column(file, table, name, pyarrow.list_(pyarrow.float32(), math.prod(shape)))
    return np.asarray(column.flatten().to_numpy()).reshape(len(column), *shape)


def _length(table: Any, name: str) -> int:
    """The length of the first list in a column; 1 if it has none."""
    rows = table.column(name).slice(0, 1).to_pylist()
    return len(rows[0]) if rows and isinstance(rows[0], list) else 1


def _column(file: Path, table: Any, name: str, kind: Any) -> Any:
    """A column without missing values, of an Arrow type."""
    import pyarrow

    column = table.column(name)
    try:
        if column.null_count:
            raise pyarrow.ArrowInvalid("missing values")
        return column.cast(kind).combine_chunks()
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, pyarrow.ArrowTypeError) as error:
        raise ConfigError(
            f"{file}: its column {name!r} must have the type {kind}, without missing values: see "
            "docs/exchange.md."
        ) from error


def write_set(folder: Path, exported: ExportedSet) -> None:
    """Write a distilled set into an empty folder."""
    _write_rows(folder, exported)
    safetensors.write_set(folder / EXACT, exported)


def _write_rows(folder: Path, exported: ExportedSet) -> None:
    """Write the Parquet file into the folder ``data`` of an empty folder."""
    import pyarrow
    import pyarrow.parquet

    pictures = [
        {"bytes": encode_png(pixels), "path": f"{row:05d}.png"}
        for row, pixels in enumerate(exported.pixels())
    ]
    picture_type = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    table = pyarrow.table(
        {
            "image": pyarrow.array(pictures, picture_type),
            "label": pyarrow.array(exported.classes.astype(np.int64)),
            "soft_label": _lists(exported.labels),
            "whitened": _lists(exported.images),
        }
    )
    features = json.dumps({"info": {"features": _features(exported)}})
    shape = json.dumps(exported.images.shape[1:])
    (folder / _DATA).mkdir()
    pyarrow.parquet.write_table(
        table.replace_schema_metadata({"huggingface": features, **exported.metadata(), "shape": shape}),
        folder / _DATA / _PART,
        row_group_size=_ROWS,
        compression="zstd",
        use_dictionary=False,  # a dictionary would store -0.0 as 0.0, because they compare equal
    )


def _lists(rows: npt.NDArray[np.float32]) -> Any:
    import pyarrow

    flat = np.ascontiguousarray(rows).reshape(len(rows), -1)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat.reshape(-1)), flat.shape[1])


def _features(exported: ExportedSet) -> dict[str, Any]:
    """The types of the columns, as the library ``datasets`` declares them."""

    def floats(length: int) -> dict[str, Any]:
        return {"feature": {"dtype": "float32", "_type": "Value"}, "length": length, "_type": "Sequence"}

    return {
        "image": {"_type": "Image"},
        "label": {"names": list(exported.class_names), "_type": "ClassLabel"},
        "soft_label": floats(exported.labels.shape[1]),
        "whitened": floats(exported.images[0].size),
    }


FORMAT = Format(
    "parquet", recognize, read_set, write_set, suffix="-parquet", endings=(".parquet",), is_folder=True
)
