"""Downsampled ImageNet in its NumPy form: ``train_data_batch_1.npz`` to ``_10.npz`` and ``val_data.npz``.

Each has ``data``, uint8 ``[n, 3 * side * side]``, plane by plane, with a side of 8, 16, 32 or 64 pixels, and
``labels`` from 1.  The validation images are the test split.  Classes are named if ``map_clsloc.txt``, which
comes with ImageNet's development kit, is in the folder, and numbered if not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rcig_cli.data.files import has_files, read_lines
from rcig_cli.data.images.pixels import from_planes
from rcig_cli.data.npz import LARGEST_SMALL_ARRAY, Member, members
from rcig_cli.data.sources.array_source import ArraySource, ArraySplit, Blocks
from rcig_cli.data.sources.class_names import class_numbers
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import SPLITS, ImageSource, Split
from rcig_cli.errors import Corrupt

_FILES: dict[Split, tuple[str, ...]] = {
    "train": tuple(f"train_data_batch_{number}.npz" for number in range(1, 11)),
    "test": ("val_data.npz",),
}
_SIDES = {3 * side * side: side for side in (8, 16, 32, 64)}
_CLASSES = 1000
_NAMES = "map_clsloc.txt"


def holds(folder: Path) -> bool:
    """Whether a folder has the first batch of the training images."""
    return has_files(folder, _FILES["train"][0])


def open_imagenet64(name: str, folder: Path, options: ReadOptions) -> ImageSource:
    """Open such a folder; see `registry.DatasetFormat.open`."""
    found = {split: [_members(folder, file) for file in _FILES[split]] for split in SPLITS}
    widths = {images.shape[1] for parts in found.values() for images, _ in parts}
    if len(widths) > 1:
        raise Corrupt(f"{folder} has images of different sizes: download it again.")
    side = _SIDES[widths.pop()]
    splits = {split: _split(parts, side) for split, parts in found.items()}
    return ArraySource(name, folder, _class_names(folder), splits, options.resolution)


def _members(folder: Path, name: str) -> tuple[Member, Member]:
    path = folder / name
    found = members(path, inside=folder)
    images, labels = found.get("data"), found.get("labels")
    if images is None or images.dtype != np.uint8 or len(images.shape) != 2 or images.shape[1] not in _SIDES:
        raise Corrupt(f"{path} has no array 'data' of bytes, [n, 3 x side x side]: download it again.")
    if labels is None or labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise Corrupt(f"{path} has no array 'labels' with a number for each image: download it again.")
    return images, labels


def _split(parts: list[tuple[Member, Member]], side: int) -> ArraySplit:
    def blocks(rows: int) -> Blocks:
        for images, _ in parts:
            for block in images.blocks(rows):
                yield from_planes(block, side)

    labels = [class_numbers(member, member.read(LARGEST_SMALL_ARRAY)) - 1 for _, member in parts]
    return ArraySplit(blocks, np.concatenate(labels), (side, side, 3))


def _class_names(folder: Path) -> tuple[str, ...]:
    """Read lines such as ``n02119789 1 kit_fox``; classes with equal words get their code too."""
    if not has_files(folder, _NAMES):
        return tuple(map(str, range(_CLASSES)))
    rows = [line.split() for line in read_lines(folder, _NAMES)]
    if [row[1:2] for row in rows] != [[str(number + 1)] for number in range(_CLASSES)]:
        raise Corrupt(f"{folder / _NAMES} doesn't number {_CLASSES} classes from 1: download it again.")
    words = [" ".join(row[2:]).replace("_", " ") for row in rows]
    return tuple(
        text if words.count(text) == 1 else f"{text} ({row[0]})"
        for text, row in zip(words, rows, strict=True)
    )
