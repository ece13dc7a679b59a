"""The order of the axes of arrays of images: channels last, channels first, or rows of pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.arrays.stored import StoredArray, row_bytes
from rcig_cli.data.sources.options import Layout as Given
from rcig_cli.data.sources.source import Note, Split
from rcig_cli.errors import ConfigError

_LARGEST_SIDE = 8192
_LARGEST_IMAGE = 2**27  # bytes
_CHANNELS = (1, 3, 4)
_LAST, _FIRST = (0, 1, 2, 3), (0, 2, 3, 1)

_WANTED = (
    "images are [n, H, W] with more than 4 rows and columns, [n, H, W, c] or [n, c, H, W] with 1, 3 or 4 "
    "channels, alike in all splits, or rows of the pixels of square images"
)

TRANSPOSED = Note("layout", "EMNIST stores images transposed, so rows and columns are exchanged.")


@dataclass(frozen=True)
class Layout:
    """How an image is stored.

    Attributes
    ----------
    stored
        Lengths of the three axes of a stored image.
    order
        Which axes of a block ``[b, *stored]`` count the image, its rows, its columns and its channels.
    """

    stored: tuple[int, int, int]
    order: tuple[int, int, int, int] = _LAST

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(H, W, c)`` of an arranged image."""
        height, width, channels = (self.stored[axis - 1] for axis in self.order[1:])
        return height, width, channels

    def arrange(self, block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn a block of stored images, of any shape, into ``[b, H, W, c]``."""
        found = block.reshape(len(block), *self.stored)
        return found if self.order == _LAST else np.ascontiguousarray(found.transpose(self.order))


def square_of(count: int) -> tuple[int, int] | None:
    """Return the side and the channels, 1 or 3, of a square image of so many values, if there is one."""
    for channels in (1, 3):
        side = math.isqrt(count // channels)
        if channels * side * side == count:
            return side, channels
    return None


def transposed(row: tuple[int, ...]) -> Layout:
    """Return the layout of a grey image, or a row of the pixels of a square one, column by column."""
    width, height = row if len(row) == 2 else (math.isqrt(row[0]), math.isqrt(row[0]))
    return Layout((width, height, 1), (0, 2, 1, 3))


def choose_layouts(
    arrays: Mapping[Split, StoredArray], given: Given | None
) -> tuple[dict[Split, Layout], tuple[Note, ...]]:
    """Find out how the images of all splits are stored.

    Parameters
    ----------
    arrays
        The images of each split: ``[n, H, W]`` with more than 4 rows and columns, ``[n, H, W, c]`` or
        ``[n, c, H, W]`` with ``c`` 1, 3 or 4, or rows of pixels, ``[n, side * side]`` (grey) or
        ``[n, 3 * side * side]``.
    given
        Where the channels are, if the user said it.

    Raises
    ------
    ConfigError
        If the arrays aren't images of one kind, or may be stored in two ways.
    """
    first = next(iter(arrays.values()))
    orders = [_LAST, _FIRST] if given is None else [_LAST if given == "nhwc" else _FIRST]
    possible = {split: _possible(array.shape[1:]) for split, array in arrays.items()}
    ways = [
        {split: found[order] for split, found in possible.items()}
        for order in orders
        if all(order in found for found in possible.values())
    ]
    if not ways:
        shown = [*arrays.values()] if len({*map(str, possible.values())}) > 1 else [first]
        shapes = " and ".join(f"{array} has the shape {array.shape}" for array in shown)
        option = f" with --layout {given}" if given else ""
        raise ConfigError(f"{shapes}{option}: {_WANTED}.")
    layouts = ways[0]
    if layouts != ways[-1]:
        raise ConfigError(
            f"{first} has the shape {first.shape}, in which channels may be the last or the second axis: "
            "pass --layout nhwc or --layout nchw."
        )
    if len({layout.shape[2] for layout in layouts.values()}) > 1:
        shapes = " and ".join(f"{array} {array.shape}" for array in arrays.values())
        raise ConfigError(f"{shapes} differ in their channels: both must have the same number.")
    return layouts, _notes(first, next(iter(layouts.values())))


def check_size(array: StoredArray, layout: Layout) -> None:
    """Refuse an array without images, or with larger ones than are read."""
    height, width, _ = layout.shape
    count, size = array.shape[0], row_bytes(array)
    if min(count, height, width) < 1 or max(height, width) > _LARGEST_SIDE or size > _LARGEST_IMAGE:
        raise ConfigError(
            f"{array} has {count} images of {height} x {width} pixels, {size} bytes each: save one or more, "
            f"of 1 to {_LARGEST_SIDE} pixels a side and at most {_LARGEST_IMAGE} bytes."
        )


def _possible(row: tuple[int, ...]) -> dict[tuple[int, int, int, int], Layout]:
    """Return the ways to read images of this shape, by the order of their axes."""
    long = [length for length in row if length != 1]
    if len(long) == 1 and (square := square_of(long[0])):  # rows of pixels
        side, channels = square
        if channels == 1:
            return dict.fromkeys((_LAST, _FIRST), Layout((side, side, 1)))
        return {_LAST: Layout((side, side, 3)), _FIRST: Layout((3, side, side), _FIRST)}
    if len(row) == 2 and min(row) > max(_CHANNELS):  # else they may be flattened images, [n, c, H * W]
        return dict.fromkeys((_LAST, _FIRST), Layout((*row, 1)))
    found = {}
    if len(row) == 3 and row[2] in _CHANNELS:
        found[_LAST] = Layout(row)
    if len(row) == 3 and row[0] in _CHANNELS:
        found[_FIRST] = Layout(row, _FIRST)
    return found


def _notes(array: StoredArray, layout: Layout) -> tuple[Note, ...]:
    height, width, channels = layout.shape
    row = array.shape[1:]
    if sum(length != 1 for length in row) == 1:
        place = "last" if layout.order == _LAST else "first"
        kind = "grey images" if channels == 1 else f"RGB images with the channels {place}"
        text = f"Rows of {height * width * channels} values are read as {kind}, {height} x {width} pixels."
        return (Note("layout", text),)
    texts = []
    if layout.order == _FIRST:
        texts.append(f"Images of the shape {row} are read with the channels first.")
    if channels == 4:
        texts.append("The fourth channel is read as opacity, over white.")
    return tuple(Note("layout", text) for text in texts)
