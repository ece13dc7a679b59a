"""Tiny-ImageNet as its archive unpacks.

``wnids.txt`` lists the classes, ``words.txt`` has their names; training images lie in
``train/<wnid>/images``, validation images in ``val/images``, with their classes in
``val/val_annotations.txt``.  The validation images are the test split, since the test images have no
labels.  Classes are sorted by their codes; validation images are in the order of that list.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rcig_cli.data.layouts.files import present, read_lines
from rcig_cli.data.sources.class_names import is_synset, readable
from rcig_cli.data.sources.folder import FolderSource
from rcig_cli.data.sources.folder_layout import Files, Search, check_filled, folders
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.path_list import PathList
from rcig_cli.data.sources.source import ImageSource
from rcig_cli.errors import Corrupt

_VAL = Path("val")


def holds(folder: Path) -> bool:
    """Say whether a folder has the list of classes and that of the validation images."""
    return present(folder, "wnids.txt") and present(folder / _VAL, "val_annotations.txt")


def open_layout(name: str, folder: Path, resolution: int | None) -> ImageSource:
    """Open such a folder; only headers have been read.

    Raises
    ------
    NotFound, ConfigError, Corrupt, RcigError
        If a file is missing, can't be used, is damaged, or can't be read.
    """
    classes = _classes(folder)
    search = Search(folder)
    train = search.files(folder / "train", classes)
    check_filled(folder / "train", classes, train)
    return FolderSource(
        name,
        readable(classes, _words(folder, set(classes))),
        {"train": train, "test": _validation(folder, search, classes)},
        resolution=resolution,
        usual_side=KNOWN["tiny_imagenet"].shape[0],
        notes=search.notes(),
    )


def _classes(folder: Path) -> tuple[str, ...]:
    lines = read_lines(folder, "wnids.txt")
    found = set(lines)
    if len(found) < 2 or len(found) < len(lines) or not all(map(is_synset, found)):
        raise Corrupt(f"{folder / 'wnids.txt'} is no list of WordNet codes: unpack the download again.")
    stray = [entry.name for entry in folders(folder / "train") if entry.name not in found]
    if stray:
        raise Corrupt(f"{folder / 'train' / stray[0]} isn't in wnids.txt: unpack the download again.")
    return tuple(sorted(found))


def _words(folder: Path, classes: set[str]) -> dict[str, str]:
    if not present(folder, "words.txt"):
        return {}
    pairs = (line.partition("\t") for line in read_lines(folder, "words.txt"))
    return {code: text for code, _, text in pairs if code in classes and text.isprintable()}


def _validation(folder: Path, search: Search, classes: tuple[str, ...]) -> Files:
    where = folder / _VAL / "val_annotations.txt"
    numbers = {code: number for number, code in enumerate(classes)}
    paths, labels = [], []
    for line in read_lines(folder / _VAL, "val_annotations.txt"):
        image, code, *_ = [*line.split("\t"), ""]
        if code not in numbers:
            raise Corrupt(f"{where} gives {image[:80]!r} a class that isn't in wnids.txt: unpack it again.")
        path = folder / _VAL / "images" / image
        if not _is_file_name(image) or not search.takes(path):
            raise Corrupt(f"{where} names {image[:80]!r}, which is no file in val/images: unpack it again.")
        paths.append(path)
        labels.append(numbers[code])
    if not paths:
        raise Corrupt(f"{where} names no images: unpack the download again.")
    return Files(PathList(folder, paths), np.array(labels, dtype=np.int32))


def _is_file_name(text: str) -> bool:
    return text.isprintable() and Path(text).name == text and len(text) < 256
