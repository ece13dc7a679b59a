"""CIFAR-10 and CIFAR-100 as their "binary version": records of labels and an image.

CIFAR-10 has ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, with one byte of label
before each image; CIFAR-100 ``train.bin`` and ``test.bin``, with two, coarse and fine, of which the fine
one is taken.  Names are in ``batches.meta.txt`` and ``fine_label_names.txt``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.layouts.cifar import BATCHES, CLASSES, IMAGE_BYTES, cifar_source, to_images
from rcig_cli.data.layouts.files import opened, present, read_exactly, read_lines, size_of
from rcig_cli.data.layouts.records import MOST_IMAGES, Records, checked_labels
from rcig_cli.data.sources.class_names import check_names, published_names
from rcig_cli.data.sources.source import SPLITS, ImageSource, Split
from rcig_cli.errors import Corrupt

_LABEL_ROWS = 4096


@dataclass(frozen=True)
class Form:
    """One of the two data sets in this form; the last label byte of a record counts."""

    dataset: str
    files: dict[Split, tuple[str, ...]]
    label_bytes: int
    names: str

    @property
    def record_bytes(self) -> int:
        """How long a record is."""
        return self.label_bytes + IMAGE_BYTES


TEN = Form(
    "cifar10",
    {"train": tuple(f"{batch}.bin" for batch in BATCHES), "test": ("test_batch.bin",)},
    1,
    "batches.meta.txt",
)
HUNDRED = Form("cifar100", {"train": ("train.bin",), "test": ("test.bin",)}, 2, "fine_label_names.txt")


def holds_ten(folder: Path) -> bool:
    """Say whether a folder has the first batch of CIFAR-10."""
    return present(folder, "data_batch_1.bin")


def holds_hundred(folder: Path) -> bool:
    """Say whether a folder has CIFAR-100's training images."""
    return present(folder, "train.bin")


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
    count = CLASSES[form.dataset]
    if present(folder, form.names):
        return check_names(folder / form.names, read_lines(folder, form.names), count)
    return published_names(form.dataset, tuple(map(str, range(count))))


def _records(form: Form, folder: Path, split: Split) -> Records:
    names = form.files[split]
    labels = [_labels(form, folder, name) for name in names]

    def blocks(rows: int) -> Iterator[npt.NDArray[np.uint8]]:
        for name, some in zip(names, labels, strict=True):
            for block in _rows(form, folder, name, len(some), rows):
                yield to_images(block[:, form.label_bytes :])

    return Records(blocks, np.concatenate(labels))


def _labels(form: Form, folder: Path, name: str) -> npt.NDArray[np.int32]:
    with opened(folder, name) as file:
        count, rest = divmod(size_of(file), form.record_bytes)
    if count > MOST_IMAGES:
        raise Corrupt(f"{folder / name} is too large to be what its name says: download it again.")
    if rest:
        raise Corrupt(f"{folder / name} ends in the middle of an image: download it again.")
    column = form.label_bytes - 1
    found = [block[:, column].copy() for block in _rows(form, folder, name, count, _LABEL_ROWS)]
    values = np.concatenate(found) if found else np.empty(0, np.uint8)
    return checked_labels(folder / name, values, CLASSES[form.dataset])


def _rows(form: Form, folder: Path, name: str, count: int, rows: int) -> Iterator[npt.NDArray[np.uint8]]:
    with opened(folder, name) as file:
        for start in range(0, count, rows):
            some = min(rows, count - start)
            data = read_exactly(file, some * form.record_bytes, folder / name)
            yield np.frombuffer(data, np.uint8).reshape(some, form.record_bytes)
