"""Which pixel values of image files are black and white.

Files of 8 bits say so themselves: 0 and 255.  Grey files of more than 8 bits ("deep" files) mostly don't: a
camera of 12 bits writes values up to 4095 into files of 16.  One pair of values holds for all deep files of a
data set, so that brightness stays comparable:

    what the user asked for with ``--range``, which holds for files of 8 bits too
    otherwise, if any value needs the 16th bit:   0 and 65535
    otherwise:                                    0 and the largest value of the set
    floats, if all are between 0 and 1:           0 and 1

Everything else is refused, since the files don't settle it, and so are ranges that only a few values reach.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from rcig_cli.data.images.picture import Header, Values
from rcig_cli.data.images.pixels import Limits
from rcig_cli.errors import ConfigError

_TOP_BIT, _SIXTEEN_BITS = 2**15, 2**16 - 1
_FEW = 1000  # of the values above 0, at least one in so many must be a sixteenth of white or more


def choose_limits(
    where: object, headers: Collection[Header], found: Values, asked: Limits | None
) -> tuple[Limits, str]:
    """Choose the values of black and white for a data set with deep files.

    Parameters
    ----------
    where
        Begins the sentence of an error.
    headers
        The different headers of its files.
    found
        The values in its deep files.
    asked
        What the user asked for.

    Returns
    -------
    limits
        For the deep files.
    note
        A sentence that says what was chosen.

    Raises
    ------
    ConfigError
        If the files don't settle it.
    """
    low, high = found.low, found.high
    values = f"values from {low:g} to {high:g}"
    if asked is not None:
        clipped = "; other values are clipped" if low < asked[0] or high > asked[1] else ""
        return (
            asked,
            f"Images of more than 8 bits have {values}; {_in_words(asked)}, as set by --range{clipped}.",
        )
    deep = [header for header in headers if header.deep]
    hint = "Pass the values of black and white with --range LOW,HIGH."
    if any(header.floats for header in deep):
        if low < 0 or high > 1 or not all(header.floats for header in deep):
            raise ConfigError(f"{where} has floating-point images with {values}. {hint}")
        return (0, 1), f"The floating-point images have {values}; {_in_words((0, 1))}."
    if low < 0 or high > _SIXTEEN_BITS:
        raise ConfigError(f"{where} has grey images with {values}. {hint}")
    white = _SIXTEEN_BITS if high >= _TOP_BIT else max(high, 1)
    _check_bright(where, found, white)
    if high < _TOP_BIT and len(deep) < len(headers):
        raise ConfigError(
            f"{where} has images of 8 bits and 16-bit images with {values}, which don't fill 16 bits: "
            "save all with 8 bits; or pass --range LOW,HIGH if the same values are black and white in all."
        )
    return (0, white), (
        f"The 16-bit images have {values}; {_in_words((0, white))} in all of them. "
        "--range LOW,HIGH sets other values."
    )


def _check_bright(where: object, found: Values, white: float) -> None:
    """Refuse a range that a few values set, such as dead pixels or marks, so that the rest would be black."""
    bits = int(math.log2(white + 1)) - 4
    if bits > 0 and found.at_least[bits] * _FEW < found.at_least[0]:
        raise ConfigError(
            f"{where} has 16-bit images of values up to {found.high:g}; fewer than 1 in {_FEW} of those "
            f"above 0 is {2**bits} or more. Pass --range LOW,HIGH, such as 0,{2**bits - 1} or 0,{white:g}."
        )


def _in_words(limits: Limits) -> str:
    return f"{limits[0]:g} is black and {limits[1]:g} is white"
