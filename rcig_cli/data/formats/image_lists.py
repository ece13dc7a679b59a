"""Data sets whose image files are listed in text files: Tiny-ImageNet and CUB-200-2011.

Tiny-ImageNet: training images are in ``train/<wnid>/images``, validation images in ``val/images``, with their
classes in ``val/val_annotations.txt``; ``words.txt`` has the names of the classes.  The validation images are
the test split, since the test images have no labels.  Classes are sorted by their codes; validation images
are in the order of that list.

CUB-200-2011 (Caltech-UCSD Birds): ``images.txt``, ``image_class_labels.txt``, ``train_test_split.txt`` and
``classes.txt`` list numbers, from 1, and a value for each; the images are in ``images``, in the order of the
list.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from rcig_cli.data.files import has_files, read_lines
from rcig_cli.data.sources.class_names import readable
from rcig_cli.data.sources.image_files import Files, FileSource
from rcig_cli.data.sources.image_search import folders, is_inside, search
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource
from rcig_cli.errors import Corrupt

_CUB_LISTS = ("classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt")


def holds_tiny_imagenet(folder: Path) -> bool:
    """Whether a folder has Tiny-ImageNet's list of classes and that of the validation images."""
    return has_files(folder, "wnids.txt") and has_files(folder / "val", "val_annotations.txt")


def open_tiny_imagenet(name: str, folder: Path, options: ReadOptions) -> ImageSource:
    """Open Tiny-ImageNet's folder; see `registry.DatasetFormat.open`."""
    codes = tuple(entry.name for entry in folders(folder / "train"))
    rows = [line.split("\t") for line in read_lines(folder / "val", "val_annotations.txt")]
    numbers = {code: number for number, code in enumerate(codes)}
    if not all(len(row) > 1 and row[1] in numbers for row in rows):
        raise Corrupt(
            f"{folder / 'val' / 'val_annotations.txt'} has an image without a class in {folder / 'train'}: "
            "unpack the download again."
        )
    test = _listed(folder, "val/images", [row[0] for row in rows], [numbers[row[1]] for row in rows])
    words = {}
    if has_files(folder, "words.txt"):
        pairs = (line.partition("\t") for line in read_lines(folder, "words.txt"))
        words = {code: text for code, _, text in pairs if code in numbers and text.isprintable()}
    training = search(folder / "train", within=folder)
    train = {code: list(images.files()) for code, images in training.found.folders.items()}
    return FileSource(
        name,
        folder,
        readable(codes, words),
        {"train": Files.by_class(folder / "train", train, codes), "test": test},
        options,
        usual_side=KNOWN["tiny_imagenet"].shape[0],
        notes=training.notes(others=False),
    )


def holds_cub200(folder: Path) -> bool:
    """Whether a folder has CUB-200-2011's four lists."""
    return has_files(folder, *_CUB_LISTS)


def open_cub200(name: str, folder: Path, options: ReadOptions) -> ImageSource:
    """Open CUB-200-2011's folder; see `registry.DatasetFormat.open`."""
    # Each line is a number, a space and a word.
    lists = [dict(line.partition(" ")[::2] for line in read_lines(folder, file)) for file in _CUB_LISTS]
    names, images, classes, training = lists
    numbers = {key: number for number, key in enumerate(names)}
    if (
        not images.keys() == classes.keys() == training.keys()
        or not set(classes.values()) <= numbers.keys()
        or not set(training.values()) <= {"0", "1"}
    ):
        raise Corrupt(f"{folder}: its lists don't agree with each other: unpack the download again.")
    labels = [numbers[classes[key]] for key in images]
    every = _listed(folder, "images", list(images.values()), labels)
    split = np.array([training[key] == "1" for key in images], dtype=np.bool_)
    return FileSource(
        name,
        folder,
        readable(tuple(names.values())),
        {"train": every.select(split), "test": every.select(~split)},
        options,
        usual_side=KNOWN["cub200"].shape[0],
    )


def _listed(folder: Path, inner: str, names: list[str], labels: list[int]) -> Files:
    """Return the files of these names in ``folder / inner``, if all are inside ``folder``."""
    paths, root = [f"{inner}/{name}" for name in names], os.path.realpath(folder)
    for path in paths:
        file = folder / path
        if not (file.is_file() and is_inside(file, root)):
            raise Corrupt(f"{folder} lists {path[:80]!r}, which is not in it: unpack the download again.")
    return Files(folder, paths, np.array(labels, dtype=np.int32))
