"""The scale of the pixels of arrays: which values are black and white.

Whole numbers, of any type, are on the scale from 0 to 255 if the largest is between 128 and 255, and to 65535
if it is between 32768 and 65535.  Otherwise the scale ends at the largest, so that a set of 17 grey levels
isn't black.  Other numbers are on the scale from 0 to 1, from -1 to 1 or from 0 to 255 if they fill it.  In
all other cases the user has to say what the scale is.  Both splits have one scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.arrays.stored import StoredArray, pieces
from rcig_cli.data.images.pixels import Limits
from rcig_cli.data.sources.source import Note, Split
from rcig_cli.errors import ConfigError

_EIGHT_BITS = (0.0, 255.0)
_ROUNDING = 0.5 / 255  # of the scale: what lies outside of it by less makes no difference in 8 bits
_DIFFERENT = 8  # times that the largest pixel of one split may exceed that of the other


@dataclass(frozen=True)
class _Extent:
    """The smallest and the largest value, whether all are whole numbers, and how many are clipped."""

    low: float
    high: float
    whole: bool
    outside: int


def choose_range(
    where: object, arrays: Mapping[Split, StoredArray], given: Limits | None
) -> tuple[Limits, tuple[Note, ...]]:
    """Find the values of black and white in the images of all splits.

    Parameters
    ----------
    where
        The file or folder, for errors.
    arrays
        The images of each split, of any real type.
    given
        The values of black and white, if the user gave them.

    Raises
    ------
    ConfigError
        If the scale isn't clear, a pixel is not a finite number, or the splits have different scales.
    """
    extents = {split: _measure(array, given) for split, array in arrays.items()}
    low, high = min(one.low for one in extents.values()), max(one.high for one in extents.values())
    between = f"pixels between {low:g} and {high:g}"
    if not np.isfinite([low, high]).all():
        raise ConfigError(f"{where} has {between}: every pixel must be a finite number.")
    if given is not None:
        outside = sum(one.outside for one in extents.values())
        clipped = f"; {outside} values of pixels lie outside and are clipped" if outside else ""
        text = f"{given[0]:g} is black and {given[1]:g} is white, as set by --range{clipped}."
        return given, (Note("range", text),)
    if _differ([*extents.values()]):
        each = " and ".join(f"{one.low:g} to {one.high:g} ({split})" for split, one in extents.items())
        raise ConfigError(
            f"{where} has pixels from {each}: save both splits on one scale, or pass --range LOW,HIGH."
        )
    dtypes = {array.dtype for array in arrays.values()}
    whole = all(one.whole for one in extents.values())
    found = (0.0, 1.0) if dtypes == {np.dtype(bool)} else _scale(low, high, whole)
    if found is None:
        raise ConfigError(
            f"{where} has {between}, whose scale isn't clear: pass the values of black and white with "
            f"--range, such as --range {low:.4g},{high:.4g}."
        )
    if dtypes == {np.dtype(np.uint8)} and found == _EIGHT_BITS:
        return found, ()
    text = f"Pixels from {low:g} to {high:g} are read on the scale from {found[0]:g} to {found[1]:g}; "
    return found, (Note("range", f"{text}--range LOW,HIGH sets another."),)


def _white(largest: int) -> int:
    """Return the value of white of images whose pixels are whole numbers up to ``largest``."""
    if largest == 0 or 128 <= largest <= 255:
        return 255
    return 65535 if 2**15 <= largest < 2**16 else largest


def _scale(low: float, high: float, whole: bool) -> Limits | None:
    one = 1 + _ROUNDING
    if low < -_ROUNDING:
        # Images on a scale from -1 to 1 have pixels that are almost black; standardized ones go beyond 1.
        return (-1.0, 1.0) if -one <= low <= -0.9 and high <= one else None
    if whole:
        return 0.0, float(_white(int(high)))
    if high <= one:
        return 0.0, 1.0 if high >= 0.5 else high
    return _EIGHT_BITS if 128 <= high <= 255 * one else None


def _differ(extents: list[_Extent]) -> bool:
    highest = [one.high for one in extents if one.high > 0]
    if len(highest) > 1 and max(highest) > _DIFFERENT * min(highest):
        return True
    return len({one.low < -_ROUNDING for one in extents}) > 1


def _measure(array: StoredArray, given: Limits | None) -> _Extent:
    def measured(block: npt.NDArray[Any]) -> _Extent:
        whole = block.dtype.kind != "f" or bool((block == np.rint(block)).all())
        outside = 0 if given is None else int(((block < given[0]) | (block > given[1])).sum())
        return _Extent(float(block.min()), float(block.max()), whole, outside)

    found = _Extent(np.inf, -np.inf, True, 0)
    # `map` releases a block before the next one is read; a loop variable would keep it.
    for one in map(measured, pieces(array)):
        # np.minimum keeps a value that is not a number.
        found = _Extent(
            float(np.minimum(found.low, one.low)),
            float(np.maximum(found.high, one.high)),
            found.whole and one.whole,
            found.outside + one.outside,
        )
        if array.dtype == np.uint8 and one.high > 127 and given is None:
            break  # the scale is known, and most data sets needn't be read to their end for it
    return found
