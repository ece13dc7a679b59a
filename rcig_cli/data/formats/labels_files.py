"""Text files that list images and their classes: tables such as CSV, or JSON lines.

The columns of a table are separated by commas, semicolons, tabs, bars, or spaces.

The column of files is the one whose values are names of images that are there, with or without folders and
suffix.  The column of classes has a usual name, such as ``label`` or ``ClassId``, or is the only other one;
several columns of 0 and 1 of which each row has a single 1 are classes too.  A column ``split`` says which
images train and which test.  Without a header there must be two columns.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rcig_cli.data.files import open_file
from rcig_cli.data.formats.split_names import Kind, split_kinds
from rcig_cli.data.sources.image_search import Folder, named
from rcig_cli.data.sources.source import Note
from rcig_cli.errors import ConfigError, Corrupt, shorten

_LARGEST = 2**26  # bytes
_SAMPLE = 1000  # rows that decide what a column is
_FEW = 5  # rows that may be all there are, each with a class of its own

_FILES = {"file", "filename", "filepath", "path", "image", "img", "imageid", "imagename", "imagepath", "id"}
_FILES |= {"fname", "name", "picture", "photo", "imgname", "imgpath", "imageurl", "idcode"}
_CLASSES = {"label", "labels", "class", "classid", "classname", "classlabel", "category", "categoryid"}
_CLASSES |= {"categoryname", "target", "breed", "species", "labelname", "labelid", "y", "diagnosis", "level"}
_SEVERAL = re.compile(r"[|;,& ]+")
_WHOLE = re.compile(r"\d+\.0+")
_LABELS_WORD = re.compile("labels?", re.IGNORECASE)
_SPLITS = {"split", "set", "subset", "partition", "phase"}


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
    """Where rows have what: ``choose`` takes the name of the class from a row."""

    file: int
    choose: Callable[[Sequence[str]], str]
    split: int | None
    header: tuple[str, ...] | None
    text: str
    unused: str = ""
    usual: bool = False  # the column of classes has a usual name


def read_labels(path: Path, images: Folder, *, optional: bool = False) -> LabelsFile | None:
    """Read which classes the images of a folder have.

    Parameters
    ----------
    path
        The labels file.
    images
        The folder.
    optional
        Whether to return None if the file may have no column of classes: if there is none, or with folders
        in the folder, which may be the classes, none with a usual name.

    Raises
    ------
    ConfigError
        If it isn't clear which columns to use, or most rows have no image, or most images no row.
    Corrupt
        If the file isn't a table in UTF-8.
    NotFound, RcigError
        As `open_file`.
    """
    index = _Index(images, path)
    with _open(path) as (rows, _):
        sample = list(itertools.islice(rows, _SAMPLE))
    columns = _columns(path, sample, index, optional=optional)
    if columns is None or (optional and images.filled and not columns.usual):
        return None
    with _open(path) as (rows, digest):
        found, without_image, total = _match(path, rows, columns, index)
    if 2 * without_image > total:
        raise ConfigError(
            f"{path} has {total} rows, of which {without_image} name no image: check their files."
        )
    used = {posixpath.dirname(name) for name in found.classes}
    extra = sum(posixpath.dirname(name) in used for name in images.files()) - len(found.classes)
    if extra > len(found.classes):
        raise ConfigError(
            f"{path} has no row for {extra} images beside the {len(found.classes)} that it lists."
        )
    if 2 * len(set(found.classes.values())) > max(len(found.classes), _FEW):
        if optional:
            return None
        raise ConfigError(f"{path} has nearly as many classes as images: name the column of classes 'label'.")
    names = set(found.classes.values())
    if several := [
        name for name in names if len(parts := _SEVERAL.split(name)) > 1 and names.issuperset(parts)
    ]:
        raise ConfigError(
            f"{path} gives images several classes at once, such as {shorten(min(several))}: give each one."
        )
    whole = {name: name.partition(".")[0] for name in set(found.classes.values()) if _WHOLE.fullmatch(name)}
    if whole.keys() == set(found.classes.values()):  # as pandas writes whole numbers beside missing ones
        found.classes = {image: whole[name] for image, name in found.classes.items()}
    text = f"Classes are read from {columns.text} of {path} (SHA-256 {digest()[:12]})."
    found.notes = (Note("labels", text + columns.unused),)
    if without_image or extra:
        text = (
            f"Rows of {path} without an image or a class: {without_image}. Images without a row, not used: "
        )
        found.notes += (Note("skipped", f"{text}{extra}."),)
    return found


class _Index:
    """The images of a folder by their names and by their names without suffix."""

    def __init__(self, images: Folder, labels: Path) -> None:
        self._paths: dict[str, list[str]] = {}
        for path in images.files():
            name = unicodedata.normalize("NFC", posixpath.basename(path))
            for key in {name, posixpath.splitext(name)[0]}:
                self._paths.setdefault(key, []).append(path)
        self.example = next(images.files(), "")
        self._kinds = split_kinds(images.filled)
        self._start = images.path + "/" if images.path else ""
        hint = split_kinds([_LABELS_WORD.sub(" ", labels.stem)]) or split_kinds([labels.parent.name])
        self._hint = next(iter(hint.values()), None)  # of "train_labels.csv", or of its folder

    def find(self, value: str, kind: Kind | None = None) -> list[str]:
        """Return the images that a value may mean; ``kind`` is the split that the row has."""
        value = unicodedata.normalize("NFC", value.strip().replace("\\", "/")).removeprefix("./").strip("/")
        found = self._paths.get(posixpath.basename(value), [])
        parts = value.split("/")
        if len(parts) > 1:
            found = [path for path in found if _agree(path.split("/")[:-1], parts[:-1])]
        if len(found) > 1 and (kind or self._hint):
            chosen = [path for path in found if self._kind_of(path) == (kind or self._hint)]
            found = chosen or found
        return found

    def _kind_of(self, path: str) -> Kind | None:
        return self._kinds.get(path.removeprefix(self._start).split("/")[0])


def _agree(folders: list[str], given: list[str]) -> bool:
    """Whether the shorter list of folders is the end of the longer one."""
    count = min(len(folders), len(given))
    return count == 0 or folders[-count:] == given[-count:]


@contextmanager
def _open(path: Path) -> Iterator[tuple[Iterator[list[str]], Callable[[], str]]]:
    """Open a labels file; yield its rows, without empty ones, and a function that returns its SHA-256."""
    with open_file(path, most=_LARGEST) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        try:
            yield _rows(path, text), lambda: digest
        except (UnicodeDecodeError, csv.Error, json.JSONDecodeError, RecursionError) as error:
            raise Corrupt(
                f"{path} is not a table in UTF-8 ({error}): save it as CSV or JSON lines."
            ) from error
        finally:
            text.detach()


def _rows(path: Path, text: io.TextIOWrapper) -> Iterator[list[str]]:
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        yield from _json_rows(path, text)
        return
    first = next((line for line in text if line.strip()), "")
    counts = {mark: first.count(mark) for mark in ",;\t|"}
    mark = max(counts, key=lambda each: counts[each])
    lines = itertools.chain([first], text)
    table: Iterator[list[str]] = csv.reader(lines, delimiter=mark)
    if not counts[mark]:
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
    keys: list[str] = []
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        row = json.loads(line)
        if not isinstance(row, dict) or not row or (keys and not row.keys() >= set(keys)):
            raise Corrupt(f"{path}: line {number} is no JSON object with the keys of the first line.")
        if not keys:
            keys = list(row)
            yield keys
        yield [_text(row[key]) for key in keys]


def _text(value: object) -> str:
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _columns(path: Path, sample: list[list[str]], index: _Index, *, optional: bool) -> _Columns | None:
    """Decide what the columns are, from the first rows."""
    rows = sample[1:]
    if not rows or len(sample[0]) < 2:
        raise ConfigError(
            f"{path} is not a CSV or JSON lines file with a column of image files and one of classes."
        )
    width = range(len(sample[0]))
    matches = {column: sum(bool(index.find(row[column])) for row in rows) for column in width}
    files = [column for column in width if 2 * matches[column] > len(rows)]
    if not files:
        most = max(width, key=lambda column: matches[column])
        raise ConfigError(
            f"No column of {path} has the names of the images, such as {index.example!r}: the nearest has "
            f"{shorten(rows[0][most])}. Pass the folder of these images with --from."
        )
    names = [_plain(name) for name in sample[0]]
    distinct = {column: len({row[column] for row in rows}) for column in width}
    file = max(files, key=lambda column: (names[column] in _FILES, distinct[column], -column))
    if index.find(sample[0][file]):  # the first row is no header
        if len(width) != 2:
            raise ConfigError(
                f"{path} has {len(width)} columns and no header: name their columns file and label."
            )
        other = 1 - file
        return _Columns(file, lambda row: row[other], None, None, f"column {other + 1}")
    header = tuple(sample[0])
    split = _split_column(path, header, names, rows)
    rest = [column for column in width if column not in (file, split)]
    usual = [column for column in rest if names[column] in _CLASSES]
    chosen = _one_of(usual, rows) if usual else rest
    if len(chosen) == 1:
        label = chosen[0]
        unused = [repr(header[column]) for column in rest if column != label and header[column]]
        note = f" Its other columns are not used: {named(unused)}." if unused else ""
        text = f"the column {header[label]!r}"
        return _Columns(file, lambda row: row[label], split, header, text, note, usual=bool(usual))
    if not usual and len(rest) > 1 and all(_single(row, rest) is not None for row in rows):
        return _Columns(
            file, lambda row: _class_of(path, row, rest, header), split, header, "the 0/1 columns"
        )
    if optional:
        return None
    raise ConfigError(
        f"{path} has the columns {', '.join(map(repr, header))}: name the one with the classes 'label'."
    )


def _split_column(path: Path, header: tuple[str, ...], names: list[str], rows: list[list[str]]) -> int | None:
    for column in (column for column, name in enumerate(names) if name in _SPLITS):
        values = {row[column] for row in rows}
        if split_kinds(values).keys() == values:
            return column
        if names[column] == "split":
            raise ConfigError(f"{path} has splits other than train, val and test: {named(sorted(values))}.")
    odd = [name for name in header if split_kinds([name.lower().removeprefix("is_").removeprefix("is")])]
    if odd:
        raise ConfigError(
            f"{path} has the column {odd[0]!r}: write a column 'split' with train and test instead."
        )
    return None


def _one_of(columns: list[int], rows: list[list[str]]) -> list[int]:
    """If columns say the same in other words, return the first that has names instead of numbers."""
    pairs = {tuple(row[column] for column in columns) for row in rows}
    if any(len({pair[place] for pair in pairs}) < len(pairs) for place in range(len(columns))):
        return columns
    words = [column for column in columns if not all(row[column].isdecimal() for row in rows)]
    return [(words or columns)[0]]


def _single(row: Sequence[str], columns: list[int]) -> int | None:
    """The only one of the columns of a row that is 1, if the others are 0."""
    values = [row[column].removesuffix(".0") for column in columns]
    return columns[values.index("1")] if Counter(values) == {"1": 1, "0": len(columns) - 1} else None


def _class_of(path: Path, row: Sequence[str], columns: list[int], header: tuple[str, ...]) -> str:
    column = _single(row, columns)
    if column is None:
        raise ConfigError(f"{path} has a row without a single class: {shorten(', '.join(row))}.")
    return header[column]


def _match(
    path: Path, rows: Iterable[list[str]], columns: _Columns, index: _Index
) -> tuple[LabelsFile, int, int]:
    """Find the image of each row; also return how many rows have none, and how many there are."""
    result, without, total = LabelsFile(), 0, 0
    kinds = split_kinds(("train", "test"))
    for row in itertools.islice(rows, 1 if columns.header else 0, None):
        total += 1
        kind = None
        if columns.split is not None:
            value = row[columns.split]
            if value not in kinds:
                kinds |= split_kinds([value])
            kind = kinds.get(value)
            if kind is None:
                raise ConfigError(f"{path} has the split {shorten(value)}: use train, val and test.")
        found = index.find(row[columns.file], kind)
        name = columns.choose(row)
        if not found or not name:
            without += 1
            continue
        if len(found) > 1:
            raise ConfigError(
                f"{path} lists {shorten(row[columns.file])}, which may be {found[0]} or {found[1]}: "
                "write the folder before the names."
            )
        if result.classes.setdefault(found[0], name) != name:
            raise ConfigError(f"{path} gives {found[0]} two classes: {shorten(name)} is the second.")
        if kind is not None:
            result.kinds[found[0]] = kind
    return result, without, total
