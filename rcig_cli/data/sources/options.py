"""What the user says about how their own data are to be read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from rcig_cli.errors import ConfigError, shorten

Layout = Literal["nhwc", "nchw"]


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about how their own data are to be read; by default readers decide, and say how.

    Attributes
    ----------
    resolution
        Side in pixels: the central square of every image is resized to it.
    range
        The pixel values ``(low, high)`` that become black and white; values outside are clipped.
    layout
        Whether the channels are the last axis of image arrays or the first after the number of the image.
    labels
        A file that lists image files and their classes, or for tables the name of the column of classes.
    skip_damaged
        Whether damaged images are left out instead of refused.
    """

    resolution: int | None = None
    range: tuple[float, float] | None = None
    layout: Layout | None = None
    labels: str | None = None
    skip_damaged: bool = False

    def check_used(self, used: Collection[str], what: str) -> None:
        """Refuse options, besides the resolution, that the reader of ``what`` doesn't use.

        Raises
        ------
        ConfigError
            With the options that must be omitted.
        """
        given = [each.name for each in fields(self)[1:] if getattr(self, each.name) != each.default]
        unused = ["--" + name.replace("_", "-") for name in given if name not in used]
        if unused:
            raise ConfigError(f"{' and '.join(unused)} can't be used with {what}: omit it.")

    def labels_path(self) -> Path | None:
        """Return ``labels`` as the absolute path of a file."""
        return None if self.labels is None else Path(self.labels).expanduser().absolute()


READ_AS_FOUND = ReadOptions()
"""Without any option."""


def parse_range(text: str) -> tuple[float, float]:
    """Read two numbers separated by a comma, such as ``-1,1``.

    Raises
    ------
    ConfigError
        If they aren't two finite numbers, the first below the second.
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not -float("inf") < low < high < float("inf"):
        raise ConfigError(
            f"range must be the values of black and white pixels, LOW,HIGH, such as 0,4095, "
            f"not {shorten(text)}."
        )
    return low, high
