"""The columns of a data set's tables: which of them are the images and the classes, and the labels.

Hugging Face's libraries write into the file what a column means: ``Image``, or ``ClassLabel`` with the names
of the classes.  Otherwise columns are recognized by their types and names.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.arrays.labels import classes_of
from rcig_cli.data.formats.split_names import names_splits
from rcig_cli.data.sources.class_names import MOST_CLASSES, Classes, ordered_classes, readable
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.source import Note, Split
from rcig_cli.data.tables import Table, reading
from rcig_cli.errors import ConfigError, Corrupt

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
        notes.append(Note("format", f"The images are in the column {images!r}; not used: {_list(others)}."))
    if len(choices) > 1:
        rest = [choice for choice in choices if choice != name]
        notes.append(Note("labels", f"The classes are the column {name!r}; not used: {_list(rest)}."))
    return Columns(images, encoded, name, class_labels(table).get(name), tuple(notes))


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
            f"{where} has several columns of images, {_list(found)}: name the one to read 'image', or remove "
            "the others."
        )
    return usual[0], [name for name in found if name != usual[0]], usual[0] in encoded


def has_images(table: Table) -> bool:
    """Whether a table has a column that may be images."""
    return any(_is_encoded(field.type) or _is_pixels(field.name, field.type) for field in table.schema)


def _is_encoded(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_encoded(kind.field("bytes").type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_pixels(name: str, kind: Any) -> bool:
    """Whether a column has lists of lists of numbers, or lists of numbers and a name that says pixels."""
    from pyarrow import FixedShapeTensorType, types

    depth = len(kind.shape) - 1 if isinstance(kind, FixedShapeTensorType) else 0
    kind = getattr(kind, "storage_type", kind)
    while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        kind, depth = kind.value_type, depth + 1
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return numbers and depth > (0 if name.lower() in _IMAGES + _PIXELS else 1)


def _find_labels(dataset: str, where: object, table: Table, asked: str | None) -> tuple[str, list[str]]:
    """The column of classes, and all that may be it."""
    names = [field.name for field in table.schema]
    if asked is not None:
        if asked not in names:
            raise ConfigError(f"{where} has no column {asked!r}: pass one of {_list(names)} with --labels.")
        return asked, [asked]
    classes = class_labels(table)
    choices = [name for name in names if name in classes or name.lower() in _LABELS]
    if len(choices) > 1 and dataset in KNOWN:
        # CIFAR-100 has coarse classes too.
        found = [name for name in choices if len(classes.get(name, ())) == KNOWN[dataset].classes]
        if len(found) == 1:
            return found[0], choices
    if len(choices) != 1:
        several = f"several columns of classes, {_list(choices)}" if choices else "no column named 'label'"
        raise ConfigError(
            f"{where} has {several}: pass the column of classes with --labels, one of {_list(names)}."
        )
    return choices[0], choices


def class_labels(table: Table) -> dict[str, tuple[str, ...]]:
    """Return the names of classes of the columns of the type ``ClassLabel``."""
    content = (table.schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(content)["info"]["features"].items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # another program wrote the file
    return {
        name: tuple(map(str, kind["names"]))
        for name, kind in features
        if name in table.schema.names and isinstance(kind, dict) and isinstance(kind.get("names"), list)
    }


def check_unsplit(columns: Columns, tables: Sequence[Table]) -> None:
    """Check that the tables of the only split have no column that divides them into splits.

    Raises
    ------
    ConfigError
        If a column has the name of one, such as ``split`` or ``is_test``, and several values.
    """
    for name in tables[0].schema.names:
        if name in (columns.images, columns.labels) or not names_splits(name):
            continue
        values: set[Any] = set()
        for block in itertools.chain.from_iterable(table.blocks(name) for table in tables):
            with reading(tables[0].path):
                values.update(map(str, block.to_pylist()))
            if len(values) > 1:
                raise ConfigError(
                    f"{tables[0].path} has the column {name!r}, which may tell training from test images: "
                    "save each split as a file of its own, such as train.parquet and test.parquet."
                )


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a split.

    Attributes
    ----------
    values
        ``[rows]``: whole numbers, floats or truth values; for texts, their numbers in ``texts``.
    missing
        bool ``[rows]``: whether a row has no label.
    texts
        The different texts; None if the labels are no texts.
    """

    values: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_]
    texts: tuple[str, ...] | None

    def select(self, rows: npt.NDArray[np.bool_]) -> Labels:
        """Return the labels of ``rows``, bool ``[rows]``."""
        return Labels(self.values[rows], self.missing[rows], self.texts)


def read_labels(columns: Columns, tables: Sequence[Table]) -> Labels:
    """Read the labels of a split; -1 in a column of the type ``ClassLabel`` says that there is none.

    Raises
    ------
    ConfigError
        If they are neither numbers nor texts, or the tables differ in their classes.
    Corrupt
        If a ``ClassLabel`` has no name for a number.
    """
    texts: dict[str, int] = {}
    parts, missing, kinds = [], [], set()
    for table in tables:
        for name in (columns.images, columns.labels):
            if name not in table.schema.names:
                raise ConfigError(f"{table.path} has no column {name!r}, unlike other files of the data set.")
        order = _order(columns, table)
        for block in table.blocks(columns.labels):
            empty = np.asarray(block.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
            with reading(table.path):
                values, is_text = _values(table, columns.labels, block, texts)
            kinds.add("text" if is_text else values.dtype.kind)
            if order is not None and not is_text:
                empty |= values == -1
                wrong = values[(values < -1) | (values >= len(order))]
                if len(wrong):
                    raise Corrupt(f"{table.path} has the label {wrong[0]}, but {len(order)} classes from 0.")
                values = order[np.maximum(values, 0)]
            parts.append(values)
            missing.append(empty)
            if len(texts) > MOST_CLASSES:
                raise ConfigError(
                    f"{table.path} has more than {MOST_CLASSES} different texts in its column "
                    f"{columns.labels!r}: these aren't classes. Pass another column with --labels."
                )
    if len(kinds) > 1:
        raise ConfigError(f"{tables[0].path} and the files beside it have labels of several types.")
    if not parts:
        return Labels(np.empty(0, np.int64), np.empty(0, np.bool_), None)
    return Labels(np.concatenate(parts), np.concatenate(missing), tuple(texts) or None)


def _order(columns: Columns, table: Table) -> npt.NDArray[np.int64] | None:
    """The numbers in ``columns.class_names`` of a table's classes, which may be in another order."""
    names = class_labels(table).get(columns.labels)
    if names is None and columns.class_names is None:
        return None
    if sorted(names or ()) != sorted(columns.class_names or ()):
        raise ConfigError(
            f"{table.path} has other classes in its column {columns.labels!r} than the files beside it."
        )
    return np.array([(columns.class_names or ()).index(name) for name in names or ()])


def _values(table: Table, column: str, block: Any, texts: dict[str, int]) -> tuple[npt.NDArray[Any], bool]:
    """Numbers as they are, or the numbers of texts in ``texts``, which grows; and whether they are texts."""
    import pyarrow
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_string_view(block.type):
        block = block.cast(pyarrow.large_string())
    kind = block.type.value_type if types.is_dictionary(block.type) else block.type
    if types.is_string(kind) or types.is_large_string(kind):
        longest = pc.max(pc.utf8_length(block.dictionary if types.is_dictionary(block.type) else block))
        if (longest.as_py() or 0) > _LONGEST_TEXT:
            raise ConfigError(
                f"{table.path} has texts as labels in {column!r} that are too long to be classes."
            )
        found = block.to_pylist()
        numbers = [0 if text is None else texts.setdefault(text, len(texts)) for text in found]
        return np.array(numbers, dtype=np.int64), True
    if types.is_dictionary(block.type):
        block = block.dictionary_decode()
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise ConfigError(
            f"{table.path} has values of the type {kind} in its column {column!r}: each image needs one "
            "class, a number or a text."
        )
    zero = pyarrow.scalar(0).cast(kind)
    return np.asarray(pc.fill_null(block, zero).to_numpy(zero_copy_only=False)), False


def find_classes(
    dataset: str, where: object, columns: Columns, labels: Mapping[Split, Labels]
) -> tuple[tuple[str, ...], dict[Split, npt.NDArray[np.int32]], tuple[Note, ...]]:
    """Find the classes of labels none of which is missing.

    The classes of a known data set have their published order: those with names are matched by them.

    Returns
    -------
    class_names : tuple of str
    labels : dict
        int32 ``[n]`` for each split.
    notes : tuple of Note

    Raises
    ------
    ConfigError
        If names are none of a known data set's, or the labels don't name classes.
    """
    if len({some.texts is None for some in labels.values()}) > 1:
        raise ConfigError(f"{where} has texts as labels in one split and numbers in another: save one type.")
    numbers = {split: some.values for split, some in labels.items()}
    texts = list(dict.fromkeys(text for some in labels.values() for text in some.texts or ()))
    if texts:
        places = {text: place for place, text in enumerate(texts)}
        for split, some in labels.items():
            numbers[split] = np.array([places[text] for text in some.texts or ()])[some.values]
    elif columns.class_names is None:
        return _unnamed(dataset, where, numbers)
    named = texts or list(columns.class_names or ())
    used = np.unique(np.concatenate(list(numbers.values()))).tolist()
    names = tuple(named[number] for number in used)
    if texts or (dataset in KNOWN and (KNOWN[dataset].class_names or KNOWN[dataset].synsets)):
        classes = ordered_classes(where, dataset, names)
    else:
        text = f"Classes have the names and the order that the column {columns.labels!r} gives them."
        classes = Classes(names, readable(names), (Note("classes", text),))
    notes = classes.notes
    if len(used) < len(named) and not texts:
        unused = sorted(set(named) - set(names))
        notes += (Note("classes", f"Classes without images, left out: {_list(unused)}."),)
    if classes.found != names and not texts:
        text = "The files number the classes in another order; labels are matched by name."
        notes += (Note("labels", text),)
    order = np.zeros(len(named), np.int32)
    order[used] = [classes.found.index(name) for name in names]
    return classes.names, {split: order[some] for split, some in numbers.items()}, notes


def _unnamed(
    dataset: str, where: object, numbers: dict[Split, npt.NDArray[Any]]
) -> tuple[tuple[str, ...], dict[Split, npt.NDArray[np.int32]], tuple[Note, ...]]:
    names, found, notes = classes_of(dataset, where, numbers)
    if dataset in KNOWN:
        text = f"The files don't name the classes; their numbers are taken for those of {dataset}."
        notes += (Note("classes", text),)
    return names, found, notes


def _list(names: Sequence[str]) -> str:
    text = ", ".join(map(repr, names[:20]))
    return f"{text}, ..." if len(names) > 20 else text
