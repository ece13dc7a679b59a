"""Caltech-UCSD Birds 200-2011 as its archive unpacks.

``images.txt``, ``image_class_labels.txt``, ``train_test_split.txt`` and ``classes.txt`` are lists of
numbers, from 1, and what belongs to them; the images lie in ``images``, and are in the order of the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from rcig_cli.data.layouts.files import present, read_lines
from rcig_cli.data.sources.class_names import check_every_class, check_names, readable
from rcig_cli.data.sources.folder import FolderSource
from rcig_cli.data.sources.folder_layout import Files, Search
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.path_list import PathList
from rcig_cli.data.sources.source import ImageSource
from rcig_cli.errors import Corrupt

_IMAGES, _CLASSES = "images.txt", "classes.txt"
_LABELS, _SPLIT = "image_class_labels.txt", "train_test_split.txt"


def holds(folder: Path) -> bool:
    """Say whether a folder has the four lists."""
    return present(folder, _IMAGES, _LABELS, _SPLIT, _CLASSES)


def open_layout(name: str, folder: Path, resolution: int | None) -> ImageSource:
    """Open such a folder; only headers have been read.

    Raises
    ------
    NotFound, ConfigError, Corrupt, RcigError
        If a file is missing, can't be used, is damaged, or can't be read.
    """
    class_names = readable(_class_names(folder))
    images, labels = _table(folder, _IMAGES), _table(folder, _LABELS)
    training = _table(folder, _SPLIT)
    if not images or not images.keys() == labels.keys() == training.keys():
        raise Corrupt(f"{folder}: its lists don't number the same images: unpack the download again.")
    numbers = {str(number + 1): number for number in range(len(class_names))}
    _check_values(folder / _LABELS, labels, set(numbers))
    _check_values(folder / _SPLIT, training, {"0", "1"})
    search = Search(folder)
    split = np.array([training[key] == "1" for key in images])
    every = Files(
        PathList(folder, (_path(folder, search, text) for text in images.values())),
        np.array([numbers[labels[key]] for key in images], dtype=np.int32),
    )
    train, test = every.select(np.flatnonzero(split)), every.select(np.flatnonzero(~split))
    if not len(test):
        raise Corrupt(f"{folder / _SPLIT} has no test image: unpack the download again.")
    check_every_class(folder, train.labels, len(class_names))
    side = KNOWN["cub200"].shape[0]
    return FolderSource(
        name, class_names, {"train": train, "test": test}, resolution=resolution, usual_side=side
    )


def _class_names(folder: Path) -> tuple[str, ...]:
    found = _table(folder, _CLASSES)
    if len(found) < 2 or list(found) != [str(number + 1) for number in range(len(found))]:
        raise Corrupt(f"{folder / _CLASSES} doesn't number its classes from 1: unpack the download again.")
    return check_names(folder / _CLASSES, list(found.values()), len(found))


def _table(folder: Path, name: str) -> dict[str, str]:
    """Read lines of a number, a space and a word, in their order."""
    lines = read_lines(folder, name)
    found = dict(line.partition(" ")[::2] for line in lines)
    if len(found) < len(lines):
        raise Corrupt(f"{folder / name} has a number twice: unpack the download again.")
    return found


def _check_values(where: Path, table: Mapping[str, str], allowed: set[str]) -> None:
    wrong = next((key for key, value in table.items() if value not in allowed), None)
    if wrong is not None:
        raise Corrupt(f"{where} says {table[wrong][:80]!r} of {wrong[:80]!r}: unpack the download again.")


def _path(folder: Path, search: Search, text: str) -> Path:
    relative = PurePosixPath(text)
    path = folder / "images" / relative
    plain = (
        text.isprintable() and len(text) < 1024 and not relative.is_absolute() and ".." not in relative.parts
    )
    if not plain or not search.takes(path):
        raise Corrupt(f"{folder / _IMAGES} names {text[:80]!r}, which is no file in images: unpack it again.")
    return path
