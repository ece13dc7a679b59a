"""Image data in one ``.npz`` file: ``x_train, y_train, x_test, y_test`` and perhaps ``class_names``.

Images are ``[n, H, W]`` or ``[n, H, W, 1]`` (grey), ``[n, H, W, 3]`` (RGB) or ``[n, H, W, 4]`` (RGBA,
laid over white).  Pixels are uint8; or uint16, divided by 257 and rounded; or floats, which count as
lying between 0 and 1 if none in the file is above 1, and otherwise as lying between 0 and 255.  Labels
are whole numbers, ``[n]`` or ``[n, 1]``.  There are as many classes as ``class_names`` has entries, or
else one more than the largest label; names of known data sets are known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.images.pixels import choose_side, over_white, size_notes, to_eight_bit, to_square
from rcig_cli.data.sources.class_names import published_names
from rcig_cli.data.sources.npz_labels import read_class_names, read_labels
from rcig_cli.data.sources.npz_member import Member, members
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Split, regroup
from rcig_cli.errors import ConfigError

_LARGEST_SIDE = 8192
_LARGEST_IMAGE = 2**27  # bytes
_PIECE = 2**24  # bytes
_REQUIRED = ("x_train", "y_train", "x_test", "y_test")


class NpzSource(ImageSource):
    """The images of an ``.npz`` file.

    Parameters
    ----------
    name
        What the data set is called in the store.
    images
        The arrays ``x_train`` and ``x_test``, by split.
    labels
        The labels, by split.
    class_names
        One name per class.
    resolution
        Side in pixels that the user asked for.
    """

    def __init__(
        self,
        name: str,
        images: dict[Split, Member],
        labels: dict[Split, npt.NDArray[np.int32]],
        class_names: tuple[str, ...],
        resolution: int | None,
    ) -> None:
        sizes = {(member.shape[1], member.shape[2]) for member in images.values()}
        side = choose_side(sizes, resolution)
        super().__init__(
            name,
            class_names=class_names,
            shape=(side, side, 1 if _depth(images["train"]) == 1 else 3),
            sizes={split: len(labels[split]) for split in SPLITS},
            notes=size_notes(sizes, side, resolution),
        )
        self._images = images
        self._labels = labels
        self._scale = _scale(images)

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in the order of the file; see ``ImageSource.batches``."""
        return regroup(self._pieces(split, size), size)

    def labels(self, split: Split) -> npt.NDArray[np.int32]:
        """Give the labels of a whole split, int32 ``[n]``, in the order of ``batches``."""
        return self._labels[split]

    def _pieces(self, split: Split, size: int) -> Iterator[Batch]:
        """The split in batches of so many images or, if they are large in the file, of fewer."""
        start, member = 0, self._images[split]
        for block in member.blocks(min(size, _rows(member))):
            images = _convert(block, self._scale, self.shape[0])
            yield Batch(images, self._labels[split][start : start + len(images)])
            start += len(images)


def open_npz(name: str, path: Path, resolution: int | None = None) -> ImageSource:
    """Open an ``.npz`` file.

    Parameters
    ----------
    name
        What the data set is called in the store.
    path
        The file.
    resolution
        Side in pixels that images are brought to.

    Returns
    -------
    ImageSource
        Its two splits; labels are in memory, images are not.

    Raises
    ------
    NotFound
        If there is no such file.
    Corrupt
        If it is damaged.
    ConfigError
        If arrays are missing, don't fit each other, or hold what can't be pixels or labels.
    """
    arrays = members(path)
    _check_keys(path, arrays)
    images: dict[Split, Member] = {split: arrays[f"x_{split}"] for split in SPLITS}
    for member in images.values():
        _check_images(member)
    _check_alike(images)
    labels = {split: read_labels(arrays[f"y_{split}"], images[split]) for split in SPLITS}
    class_names = read_class_names(path, arrays.get("class_names"), labels)
    if "class_names" not in arrays:
        class_names = published_names(name, class_names)
    return NpzSource(name, images, labels, class_names, resolution)


def _check_keys(path: Path, arrays: dict[str, Member]) -> None:
    missing = [key for key in _REQUIRED if key not in arrays]
    if missing:
        raise ConfigError(
            f"{path} has no {', '.join(missing)}: save the arrays {', '.join(_REQUIRED)} with numpy.savez."
        )


def _check_images(member: Member) -> None:
    where = f"{member.path}: {member.key}"
    shape = member.shape
    if len(shape) not in (3, 4) or _depth(member) not in (1, 3, 4):
        raise ConfigError(f"{where} has the shape {shape}: images are [n, H, W] or [n, H, W, 1, 3 or 4].")
    if not shape[0]:
        raise ConfigError(f"{where} holds no images: both splits need some.")
    if not all(1 <= side <= _LARGEST_SIDE for side in shape[1:3]):
        raise ConfigError(
            f"{where} has images of {shape[1]} x {shape[2]} pixels: 1 to {_LARGEST_SIDE} a side."
        )
    if _row_bytes(member) > _LARGEST_IMAGE:
        raise ConfigError(
            f"{where} has images of {_row_bytes(member)} bytes each: at most {_LARGEST_IMAGE} can be read."
        )
    if member.dtype.kind != "f" and member.dtype not in (np.uint8, np.uint16):
        raise ConfigError(
            f"{where} is of type {member.dtype}: save pixels as uint8, uint16, or floats between 0 and 1."
        )


def _check_alike(images: dict[Split, Member]) -> None:
    train, test = images["train"], images["test"]
    if _kind(train) != _kind(test):
        raise ConfigError(
            f"{train.path}: x_train {train.shape} {train.dtype} and x_test {test.shape} {test.dtype} "
            "differ in colour or type: save both alike."
        )


def _kind(member: Member) -> tuple[int, str]:
    return _depth(member), member.dtype.name


def _depth(member: Member) -> int:
    return member.shape[3] if len(member.shape) == 4 else 1


def _scale(images: dict[Split, Member]) -> float:
    """Give the factor that takes pixels to 0..255."""
    dtype = images["train"].dtype
    if dtype.kind != "f":
        return 1.0 if dtype.itemsize == 1 else 1 / 257
    return 255.0 if max(_largest(member) for member in images.values()) <= 1 else 1.0


def _largest(member: Member) -> float:
    largest = 0.0
    for block in member.blocks(_rows(member)):
        _check_floats(member, block)
        largest = max(largest, float(block.max()))
    return largest


def _row_bytes(member: Member) -> int:
    return math.prod(member.shape[1:]) * member.dtype.itemsize


def _rows(member: Member) -> int:
    """How many images to read at a time."""
    return max(1, _PIECE // _row_bytes(member))


def _check_floats(member: Member, block: npt.NDArray[Any]) -> None:
    if not np.isfinite(block).all():
        raise ConfigError(f"{member.path}: {member.key} holds NaN or infinite pixels: remove those images.")
    if block.min() < 0 or block.max() > 255:
        raise ConfigError(
            f"{member.path}: {member.key} holds pixels between {block.min():g} and {block.max():g}: "
            "save them between 0 and 1, or between 0 and 255."
        )


def _convert(block: npt.NDArray[Any], scale: float, side: int) -> npt.NDArray[np.uint8]:
    images = to_eight_bit(block, scale)
    if images.ndim == 3:
        images = images[..., None]
    if images.shape[3] == 4:
        images = over_white(images)
    return to_square(images, side)
