"""A page to draw on with Pillow: enlarged images in a thin frame, and text that fits its column.

All lengths are in pixels of the picture.  It is drawn for screens with `DENSITY` of them to a pixel of CSS,
and a page that shows it divides its size by that.

The font is DejaVu Sans, which comes with Matplotlib, so a picture is the same on every machine.  It has the
letters of Latin, Greek, Cyrillic and other scripts; `printable` replaces the characters that it lacks.
"""

import io
import logging
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
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

DENSITY = 2
MARGIN = 48  # around the page
_LEAST_WIDTH = 720  # of a picture with a heading
_TITLE_SIZE, _DETAIL_SIZE = 34, 26
_FRAME = 2  # around an image
_ELLIPSIS = "…"
_OVERHANG = 2  # by which the ink of a letter may exceed the width that the font states
_BREAK_AFTER = " _-/,."


class Canvas:
    """An RGB page of ``width`` x ``height`` pixels, empty at first."""

    def __init__(self, width: int, height: int) -> None:
        self.picture = Image.new("RGB", (width, height), BACKGROUND)
        self.draw = ImageDraw.Draw(self.picture)

    def paste(self, picture: Image.Image, left: int, top: int) -> None:
        """Draw another picture."""
        self.picture.paste(picture, (left, top))

    def image(self, image: Images, left: int, top: int, width: int, height: int) -> None:
        """Draw an image ``[H, W, 1 or 3]``, enlarged to ``width`` x ``height``, with a frame around it.

        Each pixel becomes a rectangle; where the image is reduced instead, its pixels are averaged.
        """
        small = Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])
        how = Image.Resampling.BOX if width < image.shape[1] else Image.Resampling.NEAREST
        frame = left - _FRAME, top - _FRAME, left + width + _FRAME - 1, top + height + _FRAME - 1
        self.draw.rectangle(frame, fill=OUTLINE)
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


@dataclass(frozen=True)
class Heading:
    """What a picture shows: a title on one line, and details on several lines of smaller letters."""

    title: str = ""
    details: str = ""

    def height(self, width: int) -> int:
        """Height in a column of a given width."""
        title, details = self._lines(width)
        return len(title) * line_height(_TITLE_SIZE) + len(details) * line_height(_DETAIL_SIZE)

    def draw(self, canvas: Canvas, left: int, top: int, width: int) -> None:
        """Write it into a column."""
        title, details = self._lines(width)
        canvas.text(title, _TITLE_SIZE, left, top, width)
        canvas.text(details, _DETAIL_SIZE, left, top + len(title) * line_height(_TITLE_SIZE), width)

    def _lines(self, width: int) -> tuple[Sequence[str], Sequence[str]]:
        title = fit_lines(printable(self.title), _TITLE_SIZE, width, 2)
        return title, fit_lines(printable(self.details), _DETAIL_SIZE, width, 4)


def with_heading(picture: Image.Image, heading: Heading | None) -> Image.Image:
    """Return a picture that has a margin with a heading above it; unchanged if there is none."""
    return picture if heading is None else beside([picture], [heading])


def beside(pictures: Sequence[Image.Image], headings: Sequence[Heading]) -> Image.Image:
    """Place pictures beside each other, with a heading above each and all at the same height."""
    widths = [max(picture.width, _LEAST_WIDTH) for picture in pictures]
    pairs = [*zip(headings, widths, strict=True)]
    top = MARGIN + max(heading.height(width - 2 * MARGIN) for heading, width in pairs)
    canvas, left = Canvas(sum(widths), top + max(picture.height for picture in pictures)), 0
    for picture, (heading, width) in zip(pictures, pairs, strict=True):
        heading.draw(canvas, left + MARGIN, MARGIN, width - 2 * MARGIN)
        canvas.paste(picture, left + (width - picture.width) // 2, top)
        left += width
    return canvas.picture


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Place pictures below each other, at the left."""
    canvas, top = Canvas(max(picture.width for picture in pictures), sum(each.height for each in pictures)), 0
    for picture in pictures:
        canvas.paste(picture, 0, top)
        top += picture.height
    return canvas.picture


def encode_png(picture: Image.Image) -> bytes:
    """Encode a picture; the same picture gives the same bytes."""
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG", optimize=True, dpi=(96 * DENSITY, 96 * DENSITY))
    return encoded.getvalue()


def names_of(classes: Sequence[int], class_names: Sequence[str]) -> list[str]:
    """Return the names of classes in the font's characters, or ``class 3`` where it has none of a name's."""
    return [printable(class_names[index]) or f"class {index}" for index in classes]


def enlargement(image_size: tuple[int, int], count: int) -> int:
    """Choose the integer factor by which ``count`` images of ``(height, width)`` pixels are enlarged.

    The longer side becomes about 192 pixels for up to 100 images, at least 96 for up to 1000, at least 48
    for more.
    """
    side = max(image_size)
    return max(1, round(192 / side)) if count <= 100 else -(-(96 if count <= 1000 else 48) // side)


def line_height(size: int) -> int:
    """Height of a line of text, in pixels."""
    return sum(_font(size).getmetrics())


def text_width(text: str, size: int) -> int:
    """Width of a text on one line, in pixels."""
    return ceil(_font(size).getlength(text)) + 2 * _OVERHANG


def printable(text: str) -> str:
    """Replace the characters of a text that the font lacks, such as control characters and lone surrogates.

    They become letters without their accents or similar characters if the font has these, and question marks
    otherwise.  The result is on one line; it is empty if no character of the text can be drawn.
    """
    drawable = "".join(_drawable(char) for char in unicodedata.normalize("NFC", text))
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


def silence_matplotlib() -> None:
    """Leave out Matplotlib's log messages, which are only about caches and fonts."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_font_file(), size)


@cache
def _font_file() -> Path:
    silence_matplotlib()
    import matplotlib  # slow to import

    return Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


@cache
def _drawable(char: str) -> str:
    if not char.isprintable() or char.isspace():
        return " "
    if _has_glyph(char):
        return char
    similar = [part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part)]
    return "".join(similar) if all(map(_has_glyph, similar)) else "?"


def _has_glyph(char: str) -> bool:
    return ord(char) in _glyphs()


@cache
def _glyphs() -> Mapping[int, int]:
    """The number of the glyph of each character that the font has."""
    from matplotlib.ft2font import FT2Font

    return FT2Font(str(_font_file())).get_charmap()
