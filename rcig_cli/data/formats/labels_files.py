"""Text files that list images and their classes: CSV, or JSON lines.

The cells of a CSV file are separated by commas, semicolons or tabs, or the last one by spaces.  The column of
files is the one whose values are names of images that are there, with or without folders and suffix.  The
column of classes is called ``label``, or has another usual name, or is the only other one; or each class has
a column of 0 and 1.  A column with words for splits only says which images train and which test.  Without a
header there must be two columns.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rcig_cli.data.files import open_file
from rcig_cli.data.formats.split_names import Kind, names_splits, split_kinds
from rcig_cli.data.sources.image_search import Folder, named
from rcig_cli.data.sources.source import Note
from rcig_cli.errors import ConfigError, Corrupt, shorten

_LARGEST = 2**26  # bytes
_SAMPLE = 1000  # rows that decide what a column is
_USUAL = {"label", "labels", "class", "classid", "classname", "category", "target"}
_BETWEEN_CLASSES = re.compile(r"[|;,& ]+")


@dataclass(eq=False)
class LabelsFile:
    """The rows of a labels file that list images of a folder.

    Attributes
    ----------
    classes
        The name of each image's class, by the path of the image.
    kinds
        The split that the file gives each image; empty if it has no such column.
    notes
        How the file was read.
    """

    classes: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, Kind] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class _Columns:
    """Which columns have what.

    ``header`` is None if the first row is none.  ``classes`` is one column, or one of 0 and 1 for each class.
    """

    header: Sequence[str] | None
    file: int
    classes: Sequence[int]
    split: int | None = None

    def class_of(self, row: Sequence[str]) -> str | None:
        """The name of the class in a row, or None if it has not exactly one."""
        if len(self.classes) == 1:
            return row[self.classes[0]] or None
        values = [row[column].removesuffix(".0") for column in self.classes]
        if self.header is None or Counter(values) != {"1": 1, "0": len(values) - 1}:
            return None
        return self.header[self.classes[values.index("1")]]

    def note(self) -> str:
        """Where the classes are read from."""
        if self.header is None:
            return f"column {self.classes[0] + 1}"
        if len(self.classes) > 1:
            return "the columns of 0 and 1"
        used = {self.file, self.split, *self.classes}
        others = [repr(name) for column, name in enumerate(self.header) if column not in used and name]
        unused = f", without its other columns, {named(others)}," if others else ""
        return f"the column {self.header[self.classes[0]]!r}{unused}"


def read_labels(path: Path, images: Folder, *, optional: bool = False) -> LabelsFile | None:
    """Read which classes the images of a folder have.

    Parameters
    ----------
    path
        The labels file.
    images
        The folder.
    optional
        Whether to return None if the file has no column of classes, by their usual names.

    Raises
    ------
    ConfigError
        If it isn't clear which columns to use, most rows have no image, most images no row, or images have
        several classes or nearly all a class of their own.
    Corrupt
        If the file isn't a table in UTF-8.
    NotFound, RcigError
        As `open_file`.
    """
    index = _Index(images)
    with open_file(path, most=_LARGEST) as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        try:
            with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as lines:
                rows = _rows(path, lines)
                sample = list(itertools.islice(rows, _SAMPLE))
                try:
                    columns = _columns(path, sample, index, by_name=optional)
                except ConfigError:
                    if optional and sample and not any(_plain(name) in _USUAL for name in sample[0]):
                        return None
                    raise
                found, unused = _match(path, itertools.chain(sample, rows), columns, index)
        except (UnicodeDecodeError, csv.Error, json.JSONDecodeError, RecursionError) as error:
            raise Corrupt(
                f"{path} is not a table in UTF-8 ({error}): save it as CSV or JSON lines."
            ) from error
    used = {posixpath.dirname(name) for name in found.classes}
    extra = sum(posixpath.dirname(name) in used for name in images.files()) - len(found.classes)
    if extra > len(found.classes):
        raise ConfigError(
            f"{path} has no row for {extra} images beside the {len(found.classes)} that it lists."
        )
    _check_classes(path, found)
    found.notes = (
        Note("labels", f"Classes are read from {columns.note()} of {path} (SHA-256 {checksum[:12]})."),
    )
    if unused or extra:
        text = (
            f"Rows of {path} without an image or a class: {unused}. Images without a row, not used: {extra}."
        )
        found.notes += (Note("skipped", text),)
    return found


class _Index:
    """The images of a folder by their names and by their names without suffix."""

    def __init__(self, images: Folder) -> None:
        self._paths: dict[str, list[str]] = {}
        for path in images.files():
            name = _composed(posixpath.basename(path))
            for key in {name, posixpath.splitext(name)[0]}:
                self._paths.setdefault(key, []).append(path)
        self.example = next(images.files(), "")

    def find(self, value: str) -> list[str]:
        """Return the images that a value may mean; folders are compared from the right."""
        value = _composed(value.strip().replace("\\", "/")).removeprefix("./").strip("/")
        *folders, name = value.split("/")
        return [
            path for path in self._paths.get(name, []) if _agree(_composed(path).split("/")[:-1], folders)
        ]


def _composed(text: str) -> str:
    """Return a text in which an accented letter is one character, whichever system wrote it."""
    return unicodedata.normalize("NFC", text)


def _agree(folders: list[str], given: list[str]) -> bool:
    """Whether the shorter list of folders is the end of the longer one."""
    count = min(len(folders), len(given))
    return count == 0 or folders[-count:] == given[-count:]


def _rows(path: Path, text: io.TextIOWrapper) -> Iterator[list[str]]:
    """Yield the rows of a file, without empty ones."""
    if path.suffix.lower() == ".jsonl":
        yield from _json_rows(path, text)
        return
    first = next((line for line in text if line.strip()), "")
    mark = max(",;\t", key=first.count)
    lines = itertools.chain([first], text)
    table: Iterator[list[str]] = csv.reader(lines, delimiter=mark)
    if mark not in first:
        table = (line.strip().rsplit(None, 1) for line in lines)
    width = None
    for number, row in enumerate(table, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        width = width or len(cells)
        if len(cells) != width:
            raise Corrupt(f"{path}: row {number} has {len(cells)} columns, and the first has {width}.")
        yield cells


def _json_rows(path: Path, text: io.TextIOWrapper) -> Iterator[list[str]]:
    """Yield the keys of the first object, and the values that each object has for them."""
    keys: list[str] = []
    for number, line in enumerate(filter(str.strip, text), start=1):
        row = json.loads(line)
        if not isinstance(row, dict):
            raise Corrupt(f"{path}: object {number} is not a JSON object in a line of its own.")
        if not keys:
            keys = list(row)
            yield keys
        values = (row.get(key) for key in keys)
        yield [str(value).strip() if isinstance(value, str | int | float) else "" for value in values]


def _columns(path: Path, sample: list[list[str]], index: _Index, *, by_name: bool) -> _Columns:
    """Decide what the columns are, from the first rows.

    With ``by_name`` the column of classes must have one of the usual names if the file has a header.
    """
    header, rows = sample[:1], sample[1:]
    if not rows or len(header[0]) < 2:
        raise ConfigError(
            f"{path} is not a CSV or JSON lines file with a column of image files and one of classes."
        )
    (names,) = header
    file = _file_column(path, names, rows, index)
    if index.find(names[file]):  # the first row is no header
        if len(names) != 2:
            raise ConfigError(
                f"{path} has {len(names)} columns and no header: name their columns file and label."
            )
        return _Columns(None, file, [1 - file])
    plain = [_plain(name) for name in names]
    usual = [column for column, name in enumerate(plain) if name in _USUAL and column != file]
    others = [column for column in range(len(names)) if column != file and column not in usual]
    split = next((c for c in others if names_splits(names[c]) or _has_splits({row[c] for row in rows})), None)
    rest = [column for column in others if column != split]
    if "label" in plain:
        return _Columns(names, file, [plain.index("label")], split)
    if len(usual) == 1:
        return _Columns(names, file, usual, split)
    columns = _Columns(names, file, rest, split)
    if not usual and not by_name and rest and all(columns.class_of(row) for row in rows if len(rest) > 1):
        return columns
    raise ConfigError(
        f"{path} has the columns {', '.join(map(repr, names))}: name the one with the classes 'label'."
    )


def _plain(name: str) -> str:
    """The name of a column without case, spaces and punctuation."""
    return "".join(filter(str.isalnum, name.lower()))


def _file_column(path: Path, names: list[str], rows: list[list[str]], index: _Index) -> int:
    """Return the column with the names of images; of several, the one with the most different values."""
    found = {column: [index.find(row[column]) for row in rows] for column in range(len(names))}
    matches = {column: sum(map(bool, images)) for column, images in found.items()}
    distinct = {column: len({row[column] for row in rows}) for column in found}
    if 2 * max(matches.values()) <= len(rows):
        nearest = max(found, key=lambda column: matches[column])
        raise ConfigError(
            f"No column of {path} has the names of the images, such as {index.example!r}: the nearest has "
            f"{shorten(rows[0][nearest])}. Correct the names, or pass the folder that has these images with "
            "--from."
        )
    files = [column for column in found if 2 * matches[column] > len(rows)]
    file = max(files, key=lambda column: distinct[column])
    for other in files:
        if distinct[other] == distinct[file] and found[other] != found[file]:
            raise ConfigError(
                f"{path} has two columns that may name the images, {names[file]!r} and {names[other]!r}: "
                "remove the other one."
            )
    return file


def _has_splits(values: set[str]) -> bool:
    return split_kinds(values).keys() == values


def _match(path: Path, rows: Iterable[list[str]], columns: _Columns, index: _Index) -> tuple[LabelsFile, int]:
    """Find the image and the class of each row; also return how many rows have none."""
    result, unused, total = LabelsFile(), 0, 0
    kinds: dict[str, Kind] = {}
    for row in itertools.islice(rows, 1 if columns.header else 0, None):
        total += 1
        found, name = index.find(row[columns.file]), columns.class_of(row)
        if not found or not name:
            unused += 1
            continue
        if len(found) > 1:
            raise ConfigError(
                f"{path} lists {shorten(row[columns.file])}, which may be {found[0]} or {found[1]}: "
                "write the folder before the names, or pass the folder of the listed images with --from."
            )
        if result.classes.setdefault(found[0], name) != name:
            raise ConfigError(f"{path} gives {found[0]} two classes: {shorten(name)} is the second.")
        if columns.split is not None and columns.header:
            value = row[columns.split]
            if value not in kinds:
                kinds |= split_kinds([value])
            if value not in kinds:
                raise ConfigError(
                    f"{path} has {shorten(value)} in the column {columns.header[columns.split]!r}: "
                    "write train, val or test for each image, or remove the column."
                )
            result.kinds[found[0]] = kinds[value]
    if 2 * unused > total:
        raise ConfigError(
            f"{path} has {total} rows, of which {unused} name no image or no single class: correct them."
        )
    return result, unused


def _check_classes(path: Path, found: LabelsFile) -> None:
    """Refuse values that are no classes, such as captions, or lists of classes."""
    names = set(found.classes.values())
    if 2 * len(names) > len(found.classes):
        raise ConfigError(
            f"{path} has nearly as many classes ({len(names)}) as images: name the column of classes 'label'."
        )
    several = [
        name for name in names if len(parts := _BETWEEN_CLASSES.split(name)) > 1 and names.issuperset(parts)
    ]
    if several:
        raise ConfigError(
            f"{path} gives images several classes at once, such as {shorten(min(several))}: give each one."
        )
