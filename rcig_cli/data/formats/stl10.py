"""STL-10 in its "binary version": images in ``train_X.bin`` and ``test_X.bin``, labels in ``train_y.bin`` ...

An image is 27648 bytes: the red, the green and the blue plane, each column by column.  Labels are bytes from
1.  ``unlabeled_X.bin`` is not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.arrays.layout import Layout
from rcig_cli.data.arrays.opening import Pair, open_arrays
from rcig_cli.data.arrays.stored import ArrayFile, stream_blocks
from rcig_cli.data.files import has_files, open_file
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import SPLITS, ImageSource, Note
from rcig_cli.errors import Corrupt

_IMAGE = (3, 96, 96)  # channels, columns, rows
_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_UNLABELLED = "unlabeled_X.bin"
_MOST_LABELS = 2**26  # bytes


def holds(folder: Path) -> bool:
    """Whether a folder has the training images and labels."""
    return has_files(folder, "train_X.bin", "train_y.bin")


def open_stl10(name: str, folder: Path, options: ReadOptions) -> ImageSource:
    """Open such a folder; see `registry.DatasetFormat.open`."""
    pairs = {split: _pair(folder, split) for split in SPLITS}
    notes: tuple[Note, ...] = ()
    if has_files(folder, _UNLABELLED):
        notes = (Note("skipped", f"Not used because it has no labels: {_UNLABELLED}."),)
    layout = Layout(_IMAGE, (0, 3, 2, 1))
    return open_arrays(name, folder, pairs, options, class_names=_NAMES, layout=lambda _: layout, notes=notes)


def _pair(folder: Path, split: str) -> Pair:
    path = folder / f"{split}_y.bin"
    with open_file(path, most=_MOST_LABELS, inside=folder) as file:
        labels = np.frombuffer(file.read(), np.uint8).astype(np.int64) - 1
    images = folder / f"{split}_X.bin"
    with open_file(images, inside=folder):
        size = images.stat().st_size
    if size != len(labels) * math.prod(_IMAGE):
        raise Corrupt(
            f"{images} has {size} bytes and {path.name} {len(labels)} labels: download and unpack them again."
        )
    return Pair(_images(images, len(labels)), labels, path)


def _images(path: Path, count: int) -> ArrayFile:
    """A file of images, uint8 ``[n, 3, 96, 96]``."""
    shape, dtype = (count, *_IMAGE), np.dtype(np.uint8)

    def blocks(rows: int) -> Iterator[npt.NDArray[np.uint8]]:
        with open_file(path, inside=path.parent) as file:
            yield from stream_blocks(file, path, shape, dtype, rows)

    return ArrayFile(str(path), shape, dtype, blocks)
