"""Text in a picture: the font, and names cut into lines that fit the width they are given.

The font is the one bundled with Pillow, so that a picture is the same on every machine.  It holds
ASCII and a few signs: accented letters lose their accents, and what it can't draw becomes a
question mark.
"""

import unicodedata
from bisect import bisect_right
from functools import cache
from math import ceil

from PIL import ImageFont

ELLIPSIS = "…"
# The ink of some letters reaches past the width the font gives them.
OVERHANG = 1
BREAK_AFTER = " _-/,."
# Unicode promises never to give this code a meaning, so every font draws its "missing" box for it.
NO_CHARACTER = "\uffff"
PROBE_SIZE = 16


@cache
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """Load the bundled font.

    Parameters
    ----------
    size
        Height of an em, in pixels.

    Returns
    -------
    ImageFont.FreeTypeFont
        The same object for the same size.
    """
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow gives a scalable font whenever asked for a size"
    return font


def line_height(size: int) -> int:
    """Measure a line of text, ``size`` pixels to the em, from its ascenders to its descenders."""
    return sum(load_font(size).getmetrics())


def text_width(text: str, size: int) -> int:
    """Measure ``text`` set in one line, in whole pixels, ``OVERHANG`` included at either end."""
    return ceil(load_font(size).getlength(text)) + 2 * OVERHANG


def drawable(text: str) -> str:
    """Spell a text with what the font can draw, on one line.

    Parameters
    ----------
    text
        Any string, control characters and lone surrogates included.

    Returns
    -------
    str
        Without space at its ends, and empty where no character of ``text`` can be drawn.
    """
    folded = (char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    spelled = "".join(_spelled(char) for char in folded)
    return " ".join(spelled.split()) if spelled.strip("? ") else ""


def fit_lines(text: str, size: int, width: int, most: int) -> tuple[str, ...]:
    """Cut a text into lines, between words where it can, and end it with an ellipsis where it must.

    Parameters
    ----------
    text
        What ``drawable`` returned.
    size
        Height of an em, in pixels.
    width
        What a line may take, in pixels.
    most
        The largest number of lines.

    Returns
    -------
    tuple of str
        At most ``most`` lines; none for an empty text.
    """
    lines: list[str] = []
    while text and len(lines) < most - 1:
        head = _head(text, size, width)
        lines.append(head.rstrip())
        text = text[len(head) :].lstrip()
    return (*lines, _shorten(text, size, width)) if text else tuple(lines)


def _spelled(char: str) -> str:
    if not char.isprintable() or char.isspace():
        return " "
    return char if _has_glyph(char) else "?"


@cache
def _has_glyph(char: str) -> bool:
    font = load_font(PROBE_SIZE)
    return bytes(font.getmask(char)) != bytes(font.getmask(NO_CHARACTER))


def _head(text: str, size: int, width: int) -> str:
    """Return the longest start of the text that fits, cut between words if there is such a place."""
    fitting = max(1, _fitting(text, size, width))
    if fitting == len(text):
        return text
    word_end = max(text.rfind(mark, 0, fitting) for mark in BREAK_AFTER) + 1
    return text[: word_end or fitting]


def _shorten(text: str, size: int, width: int) -> str:
    if text_width(text, size) <= width:
        return text
    kept = _fitting(text, size, width - text_width(ELLIPSIS, size))
    return text[:kept].rstrip() + ELLIPSIS


def _fitting(text: str, size: int, width: int) -> int:
    """Count the characters from the start that fit."""
    counts = range(len(text) + 1)
    return max(0, bisect_right(counts, width, key=lambda count: text_width(text[:count], size)) - 1)
