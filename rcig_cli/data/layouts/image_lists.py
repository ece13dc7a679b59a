"""Data sets whose image files are listed in text files: Tiny-ImageNet and CUB-200-2011.

Tiny-ImageNet: ``wnids.txt`` lists the classes, ``words.txt`` has their names; training images are in
``train/<wnid>/images``, validation images in ``val/images``, with their classes in
``val/val_annotations.txt``.  The validation images are the test split, since the test images have no
labels.  Classes are sorted by their codes; validation images are in the order of that list.

CUB-200-2011 (Caltech-UCSD Birds): ``images.txt``, ``image_class_labels.txt``, ``train_test_split.txt`` and
``classes.txt`` list numbers, from 1, and a value for each; the images are in ``images``, in the order of the
list.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path

import numpy as np

from rcig_cli.data.files import present, read_lines
from rcig_cli.data.sources.class_names import check_every_class, check_names, is_synset, readable
from rcig_cli.data.sources.folder import Files, FolderSource, ImageSearch, check_filled, folders
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.source import ImageSource
from rcig_cli.errors import Corrupt

_IMAGES, _CLASSES = "images.txt", "classes.txt"
_LABELS, _SPLIT = "image_class_labels.txt", "train_test_split.txt"


def holds_tiny_imagenet(folder: Path) -> bool:
    """Whether a folder has Tiny-ImageNet's list of classes and that of the validation images."""
    return present(folder, "wnids.txt") and present(folder / "val", "val_annotations.txt")


def open_tiny_imagenet(name: str, folder: Path, resolution: int | None) -> ImageSource:
    """Open Tiny-ImageNet's folder; see `recognize.Layout.open`."""
    codes = _tiny_codes(folder)
    search = ImageSearch(folder)
    train = search.files(folder / "train", codes)
    check_filled(folder / "train", codes, train)
    return FolderSource(
        name,
        readable(codes, _tiny_words(folder, set(codes))),
        {"train": train, "test": _tiny_validation(folder, search, codes)},
        resolution=resolution,
        usual_side=KNOWN["tiny_imagenet"].shape[0],
        notes=search.notes(),
    )


def _tiny_codes(folder: Path) -> tuple[str, ...]:
    lines = read_lines(folder, "wnids.txt")
    found = set(lines)
    if len(found) < 2 or len(found) < len(lines) or not all(map(is_synset, found)):
        raise Corrupt(f"{folder / 'wnids.txt'} is not a list of WordNet codes: unpack the download again.")
    unlisted = [entry.name for entry in folders(folder / "train") if entry.name not in found]
    if unlisted:
        raise Corrupt(f"{folder / 'train' / unlisted[0]} isn't in wnids.txt: unpack the download again.")
    return tuple(sorted(found))


def _tiny_words(folder: Path, codes: set[str]) -> dict[str, str]:
    if not present(folder, "words.txt"):
        return {}
    pairs = (line.partition("\t") for line in read_lines(folder, "words.txt"))
    return {code: text for code, _, text in pairs if code in codes and text.isprintable()}


def _tiny_validation(folder: Path, search: ImageSearch, codes: tuple[str, ...]) -> Files:
    where = folder / "val" / "val_annotations.txt"
    numbers = {code: number for number, code in enumerate(codes)}
    names, labels = [], []
    for line in read_lines(folder / "val", "val_annotations.txt"):
        image, code, *_ = [*line.split("\t"), ""]
        if code not in numbers:
            raise Corrupt(f"{where} gives {image[:80]!r} a class that isn't in wnids.txt: unpack it again.")
        if not search.contains(folder / f"val/images/{image}"):
            raise Corrupt(f"{where} names {image[:80]!r}, which is not in val/images: unpack it again.")
        names.append(f"val/images/{image}")
        labels.append(numbers[code])
    if not names:
        raise Corrupt(f"{where} names no images: unpack the download again.")
    return Files(folder, names, np.array(labels, dtype=np.int32))


def holds_cub200(folder: Path) -> bool:
    """Whether a folder has CUB-200-2011's four lists."""
    return present(folder, _IMAGES, _LABELS, _SPLIT, _CLASSES)


def open_cub200(name: str, folder: Path, resolution: int | None) -> ImageSource:
    """Open CUB-200-2011's folder; see `recognize.Layout.open`."""
    class_names = readable(_cub_class_names(folder))
    images, labels, training = (_cub_table(folder, file) for file in (_IMAGES, _LABELS, _SPLIT))
    if not images or not images.keys() == labels.keys() == training.keys():
        raise Corrupt(f"{folder}: its lists don't have the same images: unpack the download again.")
    numbers = {str(number + 1): number for number in range(len(class_names))}
    _check_values(folder / _LABELS, labels, numbers.keys())
    _check_values(folder / _SPLIT, training, {"0", "1"})
    search = ImageSearch(folder)
    for text in images.values():
        if not search.contains(folder / f"images/{text}"):
            raise Corrupt(f"{folder / _IMAGES} names {text[:80]!r}, which is not in images: unpack it again.")
    every = Files(
        folder,
        [f"images/{text}" for text in images.values()],
        np.array([numbers[labels[key]] for key in images], dtype=np.int32),
    )
    split = np.array([training[key] == "1" for key in images])
    train, test = every.select(np.flatnonzero(split)), every.select(np.flatnonzero(~split))
    if not len(test):
        raise Corrupt(f"{folder / _SPLIT} has no test image: unpack the download again.")
    check_every_class(folder, train.labels, len(class_names))
    side = KNOWN["cub200"].shape[0]
    return FolderSource(
        name, class_names, {"train": train, "test": test}, resolution=resolution, usual_side=side
    )


def _cub_class_names(folder: Path) -> tuple[str, ...]:
    found = _cub_table(folder, _CLASSES)
    if len(found) < 2 or list(found) != [str(number + 1) for number in range(len(found))]:
        raise Corrupt(f"{folder / _CLASSES} doesn't number its classes from 1: unpack the download again.")
    return check_names(folder / _CLASSES, list(found.values()), len(found))


def _cub_table(folder: Path, name: str) -> dict[str, str]:
    """Read lines of a number, a space and a word, in their order."""
    lines = read_lines(folder, name)
    found = dict(line.partition(" ")[::2] for line in lines)
    if len(found) < len(lines):
        raise Corrupt(f"{folder / name} has the same number twice: unpack the download again.")
    return found


def _check_values(where: Path, table: Mapping[str, str], allowed: Set[str]) -> None:
    wrong = next((key for key, value in table.items() if value not in allowed), None)
    if wrong is not None:
        raise Corrupt(f"{where} has {table[wrong][:80]!r} for {wrong[:80]!r}: unpack the download again.")
