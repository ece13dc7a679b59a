"""CIFAR-10 and CIFAR-100 as their "python version": pickled dictionaries of an array and a list of labels.

CIFAR-10 has ``data_batch_1`` to ``data_batch_5``, ``test_batch`` and ``batches.meta``; CIFAR-100 ``train``,
``test`` and ``meta``.  They are read as plain numbers (``plain_pickle``), never unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.layouts.cifar import BATCHES, CLASSES, IMAGE_BYTES, cifar_source, to_images
from rcig_cli.data.layouts.files import opened, present, read_exactly
from rcig_cli.data.layouts.plain_pickle import PlainArray, read_plain_pickle
from rcig_cli.data.layouts.records import Records, checked_labels
from rcig_cli.data.sources.class_names import check_names, published_names
from rcig_cli.data.sources.source import SPLITS, ImageSource, Split
from rcig_cli.errors import Corrupt


@dataclass(frozen=True)
class Form:
    """One of the two data sets in this form."""

    dataset: str
    files: dict[Split, tuple[str, ...]]
    labels: str
    names: tuple[str, str]


TEN = Form("cifar10", {"train": BATCHES, "test": ("test_batch",)}, "labels", ("batches.meta", "label_names"))
HUNDRED = Form(
    "cifar100", {"train": ("train",), "test": ("test",)}, "fine_labels", ("meta", "fine_label_names")
)


def holds_ten(folder: Path) -> bool:
    """Say whether a folder has the first batch of CIFAR-10."""
    return present(folder, "data_batch_1") and not (folder / "data_batch_1").is_dir()


def holds_hundred(folder: Path) -> bool:
    """Say whether a folder has CIFAR-100's three files."""
    return present(folder, "train", "test", "meta") and not (folder / "train").is_dir()


def open_form(form: Form, name: str, folder: Path, resolution: int | None) -> ImageSource:
    """Open ``TEN`` or ``HUNDRED``; labels are in memory, images are not.

    Raises
    ------
    NotFound, ConfigError, Corrupt, RcigError
        If a file is missing, can't be used, is damaged, or can't be read.
    """
    records = {split: _records(form, folder, split) for split in SPLITS}
    return cifar_source(name, folder, _names(form, folder), records, resolution)


def _names(form: Form, folder: Path) -> tuple[str, ...]:
    count, (file, key) = CLASSES[form.dataset], form.names
    if not present(folder, file):
        return published_names(form.dataset, tuple(map(str, range(count))))
    names = read_plain_pickle(folder, file).get(key)
    if not isinstance(names, list) or not all(isinstance(text, str) for text in names):
        raise Corrupt(f"{folder / file} has no list {key!r}: download it again.")
    return check_names(folder / file, [str(text) for text in names], count)


def _records(form: Form, folder: Path, split: Split) -> Records:
    parts = [(name, *_batch(form, folder, name)) for name in form.files[split]]

    def blocks(rows: int) -> Iterator[npt.NDArray[np.uint8]]:
        for name, array, _ in parts:
            yield from map(to_images, _rows(folder, name, array, rows))

    return Records(blocks, np.concatenate([labels for _, _, labels in parts]))


def _batch(form: Form, folder: Path, name: str) -> tuple[PlainArray, npt.NDArray[np.int32]]:
    path = folder / name
    found = read_plain_pickle(folder, name)
    array, labels = found.get("data"), found.get(form.labels)
    if not isinstance(array, PlainArray) or array.shape[1:] != (IMAGE_BYTES,):
        raise Corrupt(f"{path} has no array 'data' of {IMAGE_BYTES} bytes an image: download it again.")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise Corrupt(f"{path} has no list {form.labels!r} of numbers: download it again.")
    if len(labels) != array.shape[0]:
        raise Corrupt(f"{path} has {len(labels)} labels for {array.shape[0]} images: download it again.")
    return array, checked_labels(path, np.array(labels, dtype=np.int64), CLASSES[form.dataset])


def _rows(folder: Path, name: str, array: PlainArray, rows: int) -> Iterator[npt.NDArray[np.uint8]]:
    count, width = array.shape
    with opened(folder, name) as file:
        for start in range(0, count, rows):
            some = min(rows, count - start)
            if not array.fortran:
                file.seek(array.offset + start * width)
                yield np.frombuffer(read_exactly(file, some * width, folder / name), np.uint8).reshape(
                    some, width
                )
                continue
            block = np.empty((some, width), np.uint8)
            for column in range(width):
                file.seek(array.offset + column * count + start)
                block[:, column] = np.frombuffer(read_exactly(file, some, folder / name), np.uint8)
            yield block
