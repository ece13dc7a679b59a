"""Image data in one ``.npz`` file: ``x_train, y_train, x_test, y_test`` and optionally ``class_names``.

Images are ``[n, H, W]`` or ``[n, H, W, 1]`` (grey), ``[n, H, W, 3]`` (RGB) or ``[n, H, W, 4]`` (RGBA,
composited over white).  Pixels are uint8; or uint16, divided by 257 and rounded; or floats, on a scale from
0 to 1 if none in the file is above 1, and otherwise from 0 to 255.  Labels are whole numbers, ``[n]`` or
``[n, 1]``.  There are as many classes as ``class_names`` has entries, or else one more than the largest
label; the names of known data sets are filled in.  Labels are read into memory, images are not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.images.pixels import over_white, to_eight_bit
from rcig_cli.data.npz import LARGEST_SMALL_ARRAY, Member, members, strings
from rcig_cli.data.sources.array_source import ArraySource, ArraySplit, Blocks
from rcig_cli.data.sources.class_names import MOST_CLASSES, class_numbers, published_names
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import SPLITS, ImageSource, Split
from rcig_cli.errors import ConfigError

_REQUIRED = ("x_train", "y_train", "x_test", "y_test")
_LARGEST_SIDE = 8192
_LARGEST_IMAGE = 2**27  # bytes


def holds(path: Path) -> bool:
    """Whether a path is a file called ``.npz``."""
    return path.suffix.lower() == ".npz" and path.is_file()


def open_npz(name: str, path: Path, options: ReadOptions) -> ImageSource:
    """Open such a file; see `registry.DatasetFormat.open`."""
    arrays = members(path)
    if not arrays.keys() >= set(_REQUIRED):
        missing = ", ".join(key for key in _REQUIRED if key not in arrays)
        raise ConfigError(f"{path} has no {missing}: save {', '.join(_REQUIRED)} with numpy.savez.")
    images: dict[Split, Member] = {split: arrays[f"x_{split}"] for split in SPLITS}
    for member in images.values():
        _check_images(member)
    train, test = images["train"], images["test"]
    if (_depth(train), train.dtype.name) != (_depth(test), test.dtype.name):
        raise ConfigError(
            f"{path}: x_train {train.shape} {train.dtype} and x_test {test.shape} {test.dtype} "
            "differ in channels or type: both must have the same."
        )
    labels = {split: _labels(arrays[f"y_{split}"], images[split].shape[0]) for split in SPLITS}
    if "class_names" in arrays:
        class_names = strings(arrays["class_names"], MOST_CLASSES)
    else:
        largest = max(int(values.max()) for values in labels.values())
        class_names = published_names(name, largest + 1)
    scale = _scale(images)
    splits = {split: _split(images[split], labels[split], scale) for split in SPLITS}
    return ArraySource(name, path, class_names, splits, options.resolution)


def _depth(member: Member) -> int:
    return member.shape[3] if len(member.shape) == 4 else 1


def _check_images(member: Member) -> None:
    if len(member.shape) not in (3, 4) or _depth(member) not in (1, 3, 4):
        raise ConfigError(
            f"{member} has the shape {member.shape}: images are [n, H, W] or [n, H, W, 1, 3 or 4]."
        )
    if member.dtype.kind != "f" and member.dtype not in (np.uint8, np.uint16):
        raise ConfigError(
            f"{member} is of type {member.dtype}: save pixels as uint8, uint16, or floats from 0 to 1."
        )
    count, *sides = member.shape[:3]
    if min(member.shape[:3]) < 1 or max(sides) > _LARGEST_SIDE or member.row_bytes > _LARGEST_IMAGE:
        raise ConfigError(
            f"{member} has {count} images of {sides[0]} x {sides[1]} pixels, {member.row_bytes} bytes each: "
            f"save one or more, of 1 to {_LARGEST_SIDE} pixels a side and at most {_LARGEST_IMAGE} bytes."
        )


def _split(images: Member, labels: npt.NDArray[np.int32], scale: float) -> ArraySplit:
    def convert(block: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        pixels = to_eight_bit(block, scale)
        pixels = pixels[..., None] if pixels.ndim == 3 else pixels
        return over_white(pixels) if pixels.shape[3] == 4 else pixels

    # `map` releases a block before the next one is read; a loop variable would keep it.
    def blocks(rows: int) -> Blocks:
        return map(convert, images.blocks(rows))

    channels = 1 if _depth(images) == 1 else 3
    return ArraySplit(blocks, labels, (images.shape[1], images.shape[2], channels), images.row_bytes)


def _scale(images: dict[Split, Member]) -> float:
    """Return the factor that scales pixels to 0 ... 255."""
    dtype = images["train"].dtype
    if dtype.kind != "f":
        return 1.0 if dtype.itemsize == 1 else 1 / 257
    return 255.0 if max(_largest_float(member) for member in images.values()) <= 1 else 1.0


def _largest_float(member: Member) -> float:
    """Return the largest pixel; refuse pixels that aren't between 0 and 255."""
    largest = 0.0
    for block in member.blocks(max(1, 2**24 // member.row_bytes)):
        low, high = float(block.min()), float(block.max())
        if not (low >= 0 and high <= 255):
            raise ConfigError(
                f"{member} holds pixels between {low:g} and {high:g}: "
                "save them between 0 and 1, or between 0 and 255."
            )
        largest = max(largest, high)
    return largest


def _labels(member: Member, count: int) -> npt.NDArray[np.int32]:
    if member.shape not in ((count,), (count, 1)):
        raise ConfigError(f"{member} has the shape {member.shape}: {count} images need {count} labels, [n].")
    return class_numbers(member, member.read(LARGEST_SMALL_ARRAY).reshape(-1))
