"""Data sets of Hugging Face: Parquet files as they are on the Hub, and folders of ``save_to_disk``.

`table_files` finds the files, `table_columns` the columns and classes, and `table_images` reads the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.arrays.opening import Pair, open_arrays
from rcig_cli.data.formats.table_columns import (
    Columns,
    Labels,
    check_unsplit,
    find_classes,
    find_columns,
    has_images,
    read_labels,
)
from rcig_cli.data.formats.table_files import find_tables, first_table, is_saved
from rcig_cli.data.formats.table_images import EncodedImages, ListImages
from rcig_cli.data.sources.image_files import FileSource
from rcig_cli.data.sources.image_search import search
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource, Note, Split
from rcig_cli.data.sources.subset import hold_out_fifth
from rcig_cli.data.tables import Table, open_table
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
        check_unsplit(columns, tables["train"])
    labels = {split: read_labels(columns, some) for split, some in tables.items()}
    test, notes = _test_split(labels)
    notes = [*files.notes, *columns.notes, *notes]
    sources: dict[Split, str] = {"train": "train"} if test is None else {"train": "train", "test": test}
    rows = {}
    for split, source in sources.items():
        rows[split], more = _usable(path, source, tables[source], columns, labels[source], options)
        notes += more
    usable = {split: labels[source].select(rows[split]) for split, source in sources.items()}
    class_names, numbers, of_classes = find_classes(name, path, columns, usable)
    notes += of_classes
    if not columns.encoded:
        pairs = {
            split: Pair(ListImages(tables[source], columns.images, rows[split]), numbers[split], path)
            for split, source in sources.items()
        }
        return open_arrays(name, path, pairs, options, class_names=class_names, notes=tuple(notes))
    options.check_used({"range", "labels", "skip_damaged"}, f"{path}, whose images are encoded")
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


def _usable(
    where: object, split: str, tables: Sequence[Table], columns: Columns, labels: Labels, options: ReadOptions
) -> tuple[npt.NDArray[np.bool_], list[Note]]:
    """Which rows of a split have a label and, if images are lists, an image."""
    missing = labels.missing
    if not columns.encoded:
        images = [block.is_null() for table in tables for block in table.blocks(columns.images)]
        missing = missing | np.concatenate([np.asarray(each) for each in images])
    if missing.all():
        raise ConfigError(f"{where} has no images with labels in its {split} split.")
    count = int(missing.sum())
    if not count:
        return ~missing, []
    text = f"{count} rows of the {split} split have no image or no label"
    if not options.skip_damaged:
        raise ConfigError(f"{where}: {text}. Remove them, or leave them out with --skip-damaged.")
    return ~missing, [Note("skipped", f"{text}, and are left out.")]


def _test_split(found: Mapping[str, Labels]) -> tuple[str | None, list[Note]]:
    """Choose the test split: the first of test and validation that has labels."""
    notes: list[Note] = []
    test = None
    for split, title in (("test", "test"), ("val", "validation")):
        if split not in found:
            continue
        labels = found[split]
        if labels.missing.all() or (labels.texts is None and (labels.values == -1).all()):
            notes.append(Note("splits", f"Its {title} split has no labels and is not used."))
        elif test is None:
            test = split
            if split == "val":
                notes.append(Note("splits", "Its validation split is used for testing."))
        else:
            rows = len(labels.missing)
            notes.append(Note("splits", f"Its {title} split, {rows} rows, is not used."))
    return test, notes
