"""The columns of a data set's tables: which of them are the images and the classes, and the labels.

Hugging Face's libraries write into the file what a column means: ``Image``, or ``ClassLabel`` with the names
of the classes.  Otherwise columns are recognized by their types and names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rcig_cli.data.arrays.labels import Labels
from rcig_cli.data.formats.split_names import names_splits
from rcig_cli.data.sources.class_names import MOST_CLASSES
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.source import Note
from rcig_cli.data.tables import Table, class_labels, reading
from rcig_cli.errors import ConfigError, Corrupt, listed, shorten

_IMAGES, _PIXELS = ("image", "img"), ("pixels", "pixel_values")
_LABELS = ("label", "labels", "class", "target", "y", "cls")
_LONGEST_TEXT = 1000  # characters


@dataclass(frozen=True)
class Columns:
    """The columns of images and of classes.

    Attributes
    ----------
    images
        Name of the column of images.
    encoded
        Whether they are files such as PNG; otherwise they are lists of numbers.
    labels
        Name of the column of classes.
    class_names
        Their names by number, or None if the files don't have them.
    notes
        What was chosen where there was a choice.
    """

    images: str
    encoded: bool
    labels: str
    class_names: tuple[str, ...] | None
    notes: tuple[Note, ...]


def find_columns(dataset: str, where: object, table: Table, labels: str | None) -> Columns:
    """Find the columns of images and classes.

    Parameters
    ----------
    dataset
        The data set's name in the store.
    where
        Begins the sentence of an error.
    table
        One of its tables.
    labels
        The column of classes that the user asked for.

    Raises
    ------
    ConfigError
        If a column is missing, or several may be meant.
    """
    images, others, encoded = _find_images(where, table)
    name, choices = _find_labels(dataset, where, table, labels)
    notes = []
    if others:
        notes.append(Note("format", f"The images are in the column {images!r}; not used: {_listed(others)}."))
    if len(choices) > 1:
        rest = [choice for choice in choices if choice != name]
        notes.append(Note("labels", f"The classes are the column {name!r}; not used: {_listed(rest)}."))
    return Columns(images, encoded, name, class_labels(table.schema).get(name), tuple(notes))


def _find_images(where: object, table: Table) -> tuple[str, list[str], bool]:
    """The column of images, other columns that may hold images, and whether they are encoded."""
    encoded = [field.name for field in table.schema if _is_encoded(field.type)]
    found = encoded + [field.name for field in table.schema if _is_pixels(field.name, field.type)]
    if not found:
        columns = ", ".join(f"{field.name} ({field.type})" for field in table.schema)
        raise ConfigError(
            f"{where} has no column of images, such as the datasets library writes for its feature Image; "
            f"its columns are {columns[:300]}."
        )
    usual = [name for name in found if name.lower() in _IMAGES] or encoded or found
    if len(usual) != 1:
        raise ConfigError(
            f"{where} has several columns of images, {_listed(found)}: name the one to read 'image', or "
            "remove the others."
        )
    return usual[0], [name for name in found if name != usual[0]], usual[0] in encoded


def has_images(table: Table) -> bool:
    """Whether a table has a column that may be images."""
    return any(_is_encoded(field.type) or _is_pixels(field.name, field.type) for field in table.schema)


def _is_encoded(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_encoded(kind.field("bytes").type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_pixels(name: str, kind: Any) -> bool:
    """Whether a column has lists of lists of numbers, or lists of numbers and a name that says pixels."""
    from pyarrow import types

    depth = 0
    while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        kind, depth = kind.value_type, depth + 1
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return numbers and depth > (0 if name.lower() in _IMAGES + _PIXELS else 1)


def _find_labels(dataset: str, where: object, table: Table, asked: str | None) -> tuple[str, list[str]]:
    """The column of classes, and all that may be it."""
    names = [field.name for field in table.schema]
    if asked is not None:
        if asked not in names:
            raise ConfigError(f"{where} has no column {asked!r}: pass one of {_listed(names)} with --labels.")
        return asked, [asked]
    classes = class_labels(table.schema)
    choices = [name for name in names if name in classes or name.lower() in _LABELS]
    if len(choices) > 1 and dataset in KNOWN:
        # CIFAR-100 has coarse classes too.
        found = [name for name in choices if len(classes.get(name, ())) == KNOWN[dataset].classes]
        if len(found) == 1:
            return found[0], choices
    if len(choices) != 1:
        several = f"several columns of classes, {_listed(choices)}" if choices else "no column named 'label'"
        raise ConfigError(
            f"{where} has {several}: pass the column of classes with --labels, one of {_listed(names)}."
        )
    return choices[0], choices


def check_unsplit(columns: Columns, table: Table) -> None:
    """Check that a table of the only split has no column that may divide it into splits.

    Raises
    ------
    ConfigError
        If a column has such a name, as ``split`` or ``is_test``.
    """
    for name in table.schema.names:
        if names_splits(name) and name not in (columns.images, columns.labels):
            raise ConfigError(
                f"{table.path} has the column {name!r}, which may tell training from test images: save each "
                "split as a file of its own, such as train.parquet and test.parquet, or remove the column."
            )


def read_labels(columns: Columns, tables: Sequence[Table]) -> Labels:
    """Read the labels of a split; -1 in a column of the type ``ClassLabel`` says that there is none.

    Raises
    ------
    ConfigError
        If they are neither numbers nor texts, or the tables differ in their classes.
    Corrupt
        If a ``ClassLabel`` has no name for a number.
    """
    places: dict[Any, int] = {}  # of the different labels, in the order in which they first appear
    parts = [np.empty(0, np.int32)]
    for table in tables:
        _check_columns(columns, table)
        for block in table.blocks(columns.labels):
            with reading(table.path):
                found = _values(table, columns.labels, block)
            parts.append(
                np.array([-1 if each is None else places.setdefault(each, len(places)) for each in found])
            )
            if len(places) > MOST_CLASSES:
                raise ConfigError(
                    f"{table.path} has more than {MOST_CLASSES} different labels in its column "
                    f"{columns.labels!r}: these aren't classes. Pass another column with --labels."
                )
    numbers, names = np.concatenate(parts).astype(np.int32), columns.class_names
    if names is None or any(isinstance(value, str) for value in places):
        return Labels([*places], numbers)
    wrong = [value for value in places if value not in range(-1, len(names))]
    if wrong:
        raise Corrupt(f"{tables[0].path} has the label {wrong[0]}, but {len(names)} classes from 0.")
    numbers[numbers == places.get(-1)] = -1
    return Labels([names[int(value)] for value in places], numbers)


def _check_columns(columns: Columns, table: Table) -> None:
    """Check that a table has the same columns and classes as the one in which they were found."""
    from pyarrow import types

    for name in (columns.images, columns.labels):
        if name not in table.schema.names:
            raise ConfigError(f"{table.path} has no column {name!r}, unlike other files of the data set.")
    if class_labels(table.schema).get(columns.labels) != columns.class_names:
        raise ConfigError(
            f"{table.path} has other classes in its column {columns.labels!r} than the files beside it, or "
            "the same in another order: save all files with the same classes."
        )
    kind = table.schema.field(columns.labels).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    text = types.is_string(kind) or types.is_large_string(kind)
    if not (text or types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise ConfigError(
            f"{table.path} has values of the type {kind} in its column {columns.labels!r}: each image needs "
            "one class, a number or a text."
        )


def _values(table: Table, column: str, block: Any) -> list[Any]:
    import pyarrow.compute as pc
    from pyarrow import types

    values = block.dictionary if types.is_dictionary(block.type) else block
    if types.is_string(values.type) or types.is_large_string(values.type):
        longest = pc.max(pc.utf8_length(values)).as_py() or 0
        if longest > _LONGEST_TEXT:
            raise ConfigError(
                f"{table.path} has texts as labels in {column!r} that are too long to be classes."
            )
    return list(block.to_pylist())


def _listed(names: Sequence[str]) -> str:
    return listed([*map(shorten, names)], 20)
