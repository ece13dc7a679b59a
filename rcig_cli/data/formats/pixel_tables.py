"""Images in CSV files, as Kaggle has MNIST: a row is a label and the values of the pixels of a square image.

The first row may have names of columns: ``label`` (or ``class``, ``target``, ``y``; ``--labels`` names
another) and ``pixel0, pixel1, ...``, ``1x1, 1x2, ...`` or just numbers.  Without it, the first column has the
labels.  In a folder, names of files tell the splits: ``train.csv``, ``mnist_test.csv``.  Files are read
in pieces.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.arrays.labels import Labels
from rcig_cli.data.arrays.layout import TRANSPOSED, square_of, transposed
from rcig_cli.data.arrays.opening import Pair, open_arrays
from rcig_cli.data.arrays.pairs import read_key
from rcig_cli.data.arrays.stored import ArrayFile
from rcig_cli.data.files import files_with, open_file
from rcig_cli.data.sources.class_names import MOST_CLASSES
from rcig_cli.data.sources.image_search import may_be_classes
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import SPLITS, ImageSource, Note, Split
from rcig_cli.errors import ConfigError, Corrupt, RcigError

_SUFFIX = ".csv"
_LARGEST_ROW = 2**20  # bytes
_PIECE = 2**22  # bytes of a file that are parsed at a time
_MOST_ROWS = 2**24
_LONGEST_LABEL = 100  # characters
_FEWEST_PIXELS = 16
_LABELS = ("label", "labels", "class", "target", "y")
_PIXEL = re.compile(r"([a-z]*[ _.-]?)(\d+)(?:x(\d+))?", re.IGNORECASE)


@dataclass(frozen=True)
class _Table:
    """A CSV file of images.

    Attributes
    ----------
    path
        The file.
    names
        The names of its columns; "0", "1" and so on if they have none.
    named
        Whether the first row has these names.
    pixels
        The columns of the pixels.
    label
        The column of the labels, if there is one.
    """

    path: Path
    names: tuple[str, ...]
    named: bool
    pixels: tuple[str, ...]
    label: str | None

    def batches(self, columns: tuple[str, ...], kind: str) -> Iterator[list[npt.NDArray[Any]]]:
        """Yield some columns in pieces, as texts or as numbers; missing numbers are NaN."""
        import pyarrow
        from pyarrow import csv as reader

        options = reader.ReadOptions(
            use_threads=False, block_size=_PIECE, column_names=self.names, skip_rows=int(self.named)
        )
        types = dict.fromkeys(columns, getattr(pyarrow, kind)())
        convert = reader.ConvertOptions(column_types=types, include_columns=list(columns))
        try:
            with open_file(self.path, inside=self.path.parent) as file:
                for batch in reader.open_csv(file, options, convert_options=convert):
                    yield [column.to_numpy(zero_copy_only=False) for column in batch.columns]
        except pyarrow.ArrowInvalid as error:
            raise Corrupt(
                f"{self.path} isn't a table of numbers: {str(error).splitlines()[0][:200]}"
            ) from error


def holds(path: Path) -> bool:
    """Whether a path is such a file, or a folder with one for training or only one."""
    if not path.is_dir():
        return path.suffix.lower() == _SUFFIX and path.is_file() and _table(path, None) is not None
    if may_be_classes(path):
        return False
    tables = []
    for file in files_with(path, _SUFFIX):
        with suppress(RcigError):  # a link out of the folder, or a file that can't be read
            tables += [file] if _table(file, None) else []
    return len(tables) == 1 or any(read_key(file.stem).split == "train" for file in tables)


def open_pixel_tables(name: str, path: Path, options: ReadOptions) -> ImageSource:
    """Open such a file or folder; see `registry.DatasetFormat.open`."""
    files = files_with(path, _SUFFIX) if path.is_dir() else [path]
    tables = {file: _table(file, options.labels) for file in files}
    labelled = {file: table for file, table in tables.items() if table is not None and table.label}
    if not labelled:
        wanted = options.labels or "label"
        raise ConfigError(
            f"{path} has no column {wanted!r}: pass the name of the labels' column with --labels."
        )
    splits = _splits(path, labelled)
    for table in splits.values():
        if list(table.pixels) != sorted(table.pixels, key=_numbers):
            raise ConfigError(
                f"{table.path} has the columns of its pixels in another order than that of the numbers in "
                "their names: sort them."
            )
        if table.label == "0" and not _counts(table, "0") and _counts(table, table.names[-1]):
            raise ConfigError(
                f"{table.path} seems to have the labels in its last column, not in the first: write names of "
                "columns into the first row, such as pixel0, pixel1 and so on, and label."
            )
    column = "first column" if splits["train"].label == "0" else f"column {splits['train'].label!r}"
    notes = [Note("labels", f"The labels are in the {column}.")]
    if len(splits) > 1:
        train, test = (splits[split].path.name for split in SPLITS)
        notes.append(Note("splits", f"The training images are in {train}, the test images in {test}."))
    used = [table.path for table in splits.values()]
    for file in files:
        if file not in used:
            reason = "" if tables[file] is None or file in labelled else " because it has no labels"
            notes.append(Note("skipped", f"Not used{reason}: {file.name}."))
    layout = None
    if splits["train"].path.name.lower().startswith("emnist"):
        layout = transposed
        notes.append(TRANSPOSED)
    pairs = {split: _pair(table) for split, table in splits.items()}
    return open_arrays(name, path, pairs, options, layout=layout, notes=tuple(notes))


def _splits(path: Path, labelled: dict[Path, _Table]) -> dict[Split, _Table]:
    """Return the tables for training, and for testing if there is one."""
    if len(labelled) == 1:
        return {"train": next(iter(labelled.values()))}
    found = {read_key(file.stem).split or "train": table for file, table in labelled.items()}
    data_sets = {read_key(file.stem).rest for file in labelled}
    if len(data_sets) > 1 or len(found) < len(labelled) or "train" not in found:
        names = ", ".join(file.name for file in labelled)
        raise ConfigError(f"{path} has the tables {names}: leave one for training, and one for testing.")
    splits: dict[Split, _Table] = {"train": found["train"]}
    test = found.get("test") or found.get("val")
    return splits if test is None else {**splits, "test": test}


def _pair(table: _Table) -> Pair:
    assert table.label is not None
    places: dict[str, int] = {}  # of texts, in the order in which they first appear
    parts, count = [np.empty(0, np.int32)], 0
    for (texts,) in table.batches((table.label,), "string"):
        parts.append(
            np.fromiter((places.setdefault(text, len(places)) for text in texts), np.int32, len(texts))
        )
        count += len(texts)
        if count > _MOST_ROWS or len(places) > MOST_CLASSES or max(map(len, places)) > _LONGEST_LABEL:
            raise ConfigError(
                f"{table.path} is too large: the limits are {_MOST_ROWS} rows and {MOST_CLASSES} labels of "
                f"{_LONGEST_LABEL} characters."
            )
    values: list[str] | list[float] = [*places]
    with suppress(ValueError):  # texts
        values = [float(text) for text in places]
    labels = Labels(values, np.concatenate(parts))
    return Pair(_images(table, count), labels, table.path)


def _images(table: _Table, count: int) -> ArrayFile:
    """The images of a table, float32 ``[n, pixels]``."""

    def blocks(rows: int) -> Iterator[npt.NDArray[np.float32]]:
        for columns in table.batches(table.pixels, "float32"):
            block = np.stack(columns, axis=1)
            yield from (block[start : start + rows] for start in range(0, len(block), rows))

    return ArrayFile(str(table.path), (count, len(table.pixels)), np.dtype(np.float32), blocks)


def _counts(table: _Table, column: str) -> bool:
    """Whether a column has two or more values, from 0 or 1 on and without a gap, as labels often are."""
    found: set[str] = set()
    for (texts,) in table.batches((column,), "string"):
        found.update(texts)
    return len(found) > 1 and found in ({str(n + first) for n in range(len(found))} for first in (0, 1))


def _table(path: Path, label: str | None) -> _Table | None:
    """Find the columns of a table of images; return None if it isn't one."""
    with open_file(path, inside=path.parent) as file:
        line = file.readline(_LARGEST_ROW)
    try:
        (cells,) = csv.reader([line.decode("utf-8-sig")])
    except (UnicodeDecodeError, ValueError, csv.Error):
        return None
    names = tuple(cell.strip() for cell in cells)
    if names and all(map(_is_number, names)) and label is None:
        numbered = tuple(map(str, range(len(names))))
        first = 0 if _is_image(len(names)) else 1
        # Names "0", "1" and so on are those that pandas makes.
        found = _Table(path, numbered, names == numbered, numbered[first:], numbered[0] if first else None)
    else:
        label = next(
            (each for each in names if each == label or (label is None and each.lower() in _LABELS)), None
        )
        found = _Table(path, names, True, _pixels([each for each in names if each != label]), label)
    distinct = len(set(found.names)) == len(found.names)
    return found if distinct and _is_image(len(found.pixels)) else None


def _pixels(names: list[str]) -> tuple[str, ...]:
    """Return the largest group of names that differ only in their numbers."""
    groups: dict[str, list[str]] = {}
    for each in names:
        match = _PIXEL.fullmatch(each)
        if match:
            groups.setdefault(match[1], []).append(each)
    longest: list[str] = max(groups.values(), key=len, default=[])
    return tuple(longest)


def _numbers(name: str) -> tuple[int, ...]:
    match = _PIXEL.fullmatch(name)
    assert match
    return int(match[2]), int(match[3] or 0)


def _is_image(count: int) -> bool:
    return count >= _FEWEST_PIXELS and square_of(count) is not None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
