"""Data sets of Hugging Face: Parquet files as they are on the Hub, and folders of ``save_to_disk``.

`table_files` finds the files, `table_columns` the columns and classes, and `table_images` reads the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.arrays.labels import Labels, classes_of
from rcig_cli.data.arrays.opening import Pair, open_arrays
from rcig_cli.data.formats.table_columns import (
    Columns,
    check_unsplit,
    find_columns,
    has_images,
    read_labels,
)
from rcig_cli.data.formats.table_files import find_tables, first_table, is_saved
from rcig_cli.data.formats.table_images import EncodedImages, list_images
from rcig_cli.data.sources.image_files import FileSource
from rcig_cli.data.sources.image_search import search
from rcig_cli.data.sources.known import KNOWN, published_order
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource, Note, Split
from rcig_cli.data.sources.subset import hold_out_fifth
from rcig_cli.data.tables import open_table
from rcig_cli.errors import ConfigError, RcigError


def holds(path: Path) -> bool:
    """Whether a path is a table or a folder of tables; tables without images may be beside image files."""
    first = first_table(path)
    if is_saved(path) or first is None or path.is_file():
        return is_saved(path) or first is not None
    try:
        return has_images(open_table(first, first.parent)) or not search(path).found.count
    except RcigError:  # opening it reports what is wrong
        return True


def open_hugging_face(name: str, path: Path, options: ReadOptions) -> ImageSource:
    """Open such a path; see `registry.DatasetFormat.open`."""
    files = find_tables(path)
    tables = {
        split: [open_table(file, files.inside) for file in some] for split, some in files.splits.items()
    }
    columns = find_columns(name, path, tables["train"][0], options.labels)
    if len(tables) == 1:
        check_unsplit(columns, tables["train"][0])
    labels = {split: read_labels(columns, some) for split, some in tables.items()}
    test, notes = _test_split(labels)
    names, more = _class_names(name, columns)
    notes = [*files.notes, *columns.notes, *notes, *more]
    sources: dict[Split, str] = {"train": "train"} if test is None else {"train": "train", "test": test}
    if columns.encoded:
        options.check_used({"range", "labels", "skip_damaged"}, f"{path}, whose images are encoded")
    else:
        options.check_used({"range", "labels", "layout"}, f"{path}, whose images are lists of numbers")
    rows = {}
    for split, source in sources.items():
        rows[split], more = _with_labels(path, source, labels[source], options.skip_damaged)
        notes += more
    if not columns.encoded:
        pairs = {
            split: Pair(list_images(tables[source], columns.images), labels[source], path)
            for split, source in sources.items()
        }
        return open_arrays(name, path, pairs, options, class_names=names, notes=tuple(notes))
    usable = {split: labels[source].select(rows[split]) for split, source in sources.items()}
    class_names, numbers, of_classes = classes_of(name, path, usable, names)
    notes += of_classes
    images = {
        split: EncodedImages(tables[source], columns.images, rows[split], numbers[split])
        for split, source in sources.items()
    }
    if test is None:
        chosen, note = hold_out_fifth(path, numbers["train"])
        images = {"train": images["train"].select(~chosen), "test": images["train"].select(chosen)}
        notes.append(note)
    side = KNOWN[name].shape[0] if name in KNOWN else None
    return FileSource(name, path, class_names, images, options, usual_side=side, notes=tuple(notes))


def _class_names(name: str, columns: Columns) -> tuple[tuple[str, ...] | None, list[Note]]:
    """The names of the classes in the order of the files; None if another order or no names are known."""
    if columns.class_names is None:
        text = f"The files don't name the classes; numbers are taken for those of {name}."
        return None, [Note("classes", text)] if name in KNOWN else []
    if published_order(name):
        return None, []
    text = f"Classes have the names and the order that the column {columns.labels!r} gives them."
    return columns.class_names, [Note("classes", text)]


def _with_labels(
    where: object, split: str, labels: Labels, skip: bool
) -> tuple[npt.NDArray[np.bool_], list[Note]]:
    """Which rows of a split have a label; raises ConfigError if some don't, and they aren't to be skipped."""
    rows = labels.numbers >= 0
    if not rows.any():
        raise ConfigError(f"{where} has no images with labels in its {split} split.")
    count = int((~rows).sum())
    if count and not skip:
        raise ConfigError(
            f"{where} has {count} rows without a label in its {split} split: remove them, or if the images "
            "are encoded, leave them out with --skip-damaged."
        )
    text = f"{count} rows of the {split} split have no label, and are left out."
    return rows, [Note("skipped", text)] if count else []


def _test_split(found: Mapping[str, Labels]) -> tuple[str | None, list[Note]]:
    """Choose the test split: the first of test and validation that has labels."""
    notes: list[Note] = []
    test = None
    for split, title in (("test", "test"), ("val", "validation")):
        if split not in found:
            continue
        labels = found[split]
        if (labels.numbers < 0).all() or [*labels.values] == [-1]:
            notes.append(Note("splits", f"Its {title} split has no labels and is not used."))
        elif test is None:
            test = split
            if split == "val":
                notes.append(Note("splits", "Its validation split is used for testing."))
        else:
            rows = len(labels.numbers)
            notes.append(Note("splits", f"Its {title} split, {rows} rows, is not used."))
    return test, notes
