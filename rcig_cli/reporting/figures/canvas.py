"""A page to draw on with Pillow: enlarged images in a thin frame, and text that fits its column.

The font is the one bundled with Pillow, so a picture is the same on every machine.  It has the letters of
ASCII and few others; `printable` replaces the characters that it lacks.
"""

import io
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from math import ceil
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]
Align = Literal["left", "center", "right"]

# The page has a colour of its own, so that a picture looks the same on a light and on a dark screen.
BACKGROUND = (244, 244, 241)
OUTLINE = (214, 214, 209)
INK = (42, 44, 48)

MARGIN = 24  # pixels around the page
_ELLIPSIS = "…"
_OVERHANG = 1  # pixels by which the ink of a letter may exceed the width that the font states
_BREAK_AFTER = " _-/,."
_UNASSIGNED = "\uffff"  # never a character, so the font draws its box for a missing one
_PROBE_SIZE = 16


class Canvas:
    """An RGB page of ``width`` x ``height`` pixels, empty at first."""

    def __init__(self, width: int, height: int) -> None:
        self.picture = Image.new("RGB", (width, height), BACKGROUND)
        self.draw = ImageDraw.Draw(self.picture)

    def image(self, image: Images, left: int, top: int, width: int, height: int) -> None:
        """Draw an image ``[H, W, 1 or 3]``, enlarged to ``width`` x ``height``, with a frame around it.

        Each pixel becomes a rectangle; where the image is reduced instead, its pixels are averaged.
        """
        small = Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])
        how = Image.Resampling.BOX if width < image.shape[1] else Image.Resampling.NEAREST
        self.draw.rectangle((left - 1, top - 1, left + width, top + height), outline=OUTLINE)
        self.picture.paste(small.resize((width, height), how), (left, top))

    def text(
        self,
        lines: Sequence[str],
        size: int,
        left: int,
        top: int,
        width: int,
        *,
        align: Align = "left",
        fill: tuple[int, int, int] = INK,
    ) -> None:
        """Write lines, ``size`` pixels to the em, into a column ``width`` pixels wide."""
        anchor, fraction = {"left": ("la", 0.0), "center": ("ma", 0.5), "right": ("ra", 1.0)}[align]
        x = left + _OVERHANG + fraction * (width - 2 * _OVERHANG)
        for index, line in enumerate(lines):
            place = x, top + index * line_height(size)
            self.draw.text(place, line, fill=fill, font=_font(size), anchor=anchor)


def encode_png(picture: Image.Image) -> bytes:
    """Encode a picture; the same picture gives the same bytes."""
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG", optimize=True)
    return encoded.getvalue()


def names_of(classes: Sequence[int], class_names: Sequence[str]) -> list[str]:
    """Return the names of classes in the font's characters, or ``class 3`` where it has none of a name's."""
    return [printable(class_names[index]) or f"class {index}" for index in classes]


def enlargement(image_size: tuple[int, int], count: int) -> int:
    """Choose the integer factor by which ``count`` images of ``(height, width)`` pixels are enlarged.

    The longer side becomes about 96 pixels for up to 100 images, at least 48 for more.
    """
    side = max(image_size)
    return max(1, round(96 / side)) if count <= 100 else -(-48 // side)


def line_height(size: int) -> int:
    """Height of a line of text, in pixels."""
    return sum(_font(size).getmetrics())


def text_width(text: str, size: int) -> int:
    """Width of a text on one line, in pixels."""
    return ceil(_font(size).getlength(text)) + 2 * _OVERHANG


def printable(text: str) -> str:
    """Replace the characters of a text that the font lacks, such as control characters and lone surrogates.

    Accented letters lose their accents, and other characters become question marks.  The result is on one
    line; it is empty if no character of the text can be drawn.
    """
    plain = (char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    drawable = "".join(_drawable(char) for char in plain)
    return " ".join(drawable.split()) if drawable.strip("? ") else ""


def fit_lines(text: str, size: int, width: int, most: int) -> tuple[str, ...]:
    """Break a text that `printable` returned into at most ``most`` lines of at most ``width`` pixels.

    It is broken between words where possible, and ends with an ellipsis if it is too long.  ``size`` is the
    height of an em in pixels.  An empty text has no lines.
    """
    lines: list[str] = []
    while text and len(lines) < most - 1:
        end = max(1, _fitting(text, size, width))
        if end < len(text):
            end = max(text.rfind(mark, 0, end) for mark in _BREAK_AFTER) + 1 or end
        lines.append(text[:end].rstrip())
        text = text[end:].lstrip()
    if text and text_width(text, size) > width:
        text = text[: _fitting(text, size, width - text_width(_ELLIPSIS, size))].rstrip() + _ELLIPSIS
    return (*lines, text) if text else tuple(lines)


def _fitting(text: str, size: int, width: int) -> int:
    """Number of characters from the start that fit."""
    counts = range(len(text) + 1)
    return max(0, bisect_right(counts, width, key=lambda count: text_width(text[:count], size)) - 1)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _drawable(char: str) -> str:
    if not char.isprintable() or char.isspace():
        return " "
    return char if _has_glyph(char) else "?"


@cache
def _has_glyph(char: str) -> bool:
    font = _font(_PROBE_SIZE)
    return bytes(font.getmask(char)) != bytes(font.getmask(_UNASSIGNED))
