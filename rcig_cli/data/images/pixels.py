"""Pixel conversions that all sources share: to 8 bits, to RGB, to a square of a given side."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Set
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

LARGEST_ALIKE = 128
"""Square images of one size keep that size up to this side, in pixels: the largest in the paper."""

LARGEST_MIXED = 64
"""Largest side chosen for images of mixed sizes, in pixels: whitening larger ones takes minutes."""

Limits = tuple[float, float]
"""The pixel values that are black and white."""

_WHITE = 255
_STRIP = 2**16  # values converted at a time, so that the floats between take little memory


def scaled(values: npt.NDArray[Any], limits: Limits) -> npt.NDArray[np.uint8]:
    """Map real numbers of any shape linearly to uint8: ``limits`` become 0 and 255; the rest is clipped.

    uint8 from 0 to 255 isn't copied.
    """
    if values.dtype == np.uint8 and limits == (0, 255):
        return values
    low, high = limits
    flat = values.reshape(-1)
    found = np.empty(flat.shape, np.uint8)
    for start in range(0, len(flat), _STRIP):
        strip = slice(start, start + _STRIP)
        some = flat[strip].astype(np.float64)
        some -= low
        some *= 255
        some /= high - low
        np.rint(some, out=some)
        found[strip] = np.clip(some, 0, 255, out=some)
    return found.reshape(values.shape)


def over_white(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Composite RGBA images, uint8 ``[..., 4]``, not premultiplied, over white: RGB, uint8 ``[..., 3]``."""
    flat = images.reshape(-1, 4)
    found = np.empty((len(flat), 3), np.uint8)
    for start in range(0, len(flat), _STRIP):
        strip = slice(start, start + _STRIP)
        alpha = flat[strip, 3:].astype(np.float32) / 255
        found[strip] = np.rint(flat[strip, :3] * alpha + _WHITE * (1 - alpha)).astype(np.uint8)
    return found.reshape(*images.shape[:-1], 3)


def from_planes(planes: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Turn RGB images stored plane by plane, uint8 ``[b, 3 * side * side]``, into ``[b, side, side, 3]``."""
    return np.ascontiguousarray(planes.reshape(-1, 3, side, side).transpose(0, 2, 3, 1))


def choose_side(sizes: Counter[tuple[int, int]], resolution: int | None = None) -> int:
    """Choose the side of the square to which images are resized, in pixels.

    It is the ``resolution`` that the user asked for, if any; else the side of the images if all are squares
    of one size, but at most `LARGEST_ALIKE`; else the (lower) median of their shorter sides, but at most
    `LARGEST_MIXED`.

    Parameters
    ----------
    sizes
        How many images have each ``(height, width)``.
    """
    if resolution is not None:
        return resolution
    shorter = statistics.median_low(min(size) for size in sizes.elements())
    alike = len(sizes) == 1 and all(height == width for height, width in sizes)
    return min(shorter, LARGEST_ALIKE if alike else LARGEST_MIXED)


def size_note(sizes: Set[tuple[int, int]], side: int, resolution: int | None) -> str | None:
    """Return the message that images are resized, if they are and the user didn't ask for it."""
    if resolution is not None or sizes == {(side, side)}:
        return None
    return (
        f"Images are cropped to their central square and resized to {side} x {side} pixels; "
        "--resolution sets another size."
    )


def to_square(images: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Crop the central square of images, uint8 ``[b, H, W, 1 or 3]``, and resize it to ``side`` pixels.

    Downscaling averages over areas; upscaling interpolates linearly.  Images of that size aren't copied.
    """
    _, height, width, channels = images.shape
    if (height, width) == (side, side):
        return images
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    found = np.empty((len(images), side, side, channels), np.uint8)
    method = Image.Resampling.BOX if side < short else Image.Resampling.BILINEAR
    for index, square in enumerate(images[:, top : top + short, left : left + short]):
        image = Image.fromarray(np.ascontiguousarray(square[..., 0] if channels == 1 else square))
        resized = np.asarray(image.resize((side, side), method))
        found[index] = resized[..., None] if channels == 1 else resized
    return found
