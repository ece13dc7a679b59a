"""Two distilled sets of the same data side by side, one row for each class.

The rows are cut into as many columns as make the page nearly square, all of them filled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.canvas import (
    MARGIN,
    OUTLINE,
    Canvas,
    Images,
    Labels,
    balanced,
    check_images,
    enlargement,
    fit_lines,
    line_height,
    names_of,
    printable,
    text_width,
)
from rcig_cli.reporting.figures.grid import NAME_SIZE, TILE_GAP

_TITLE_SIZE, _DETAIL_SIZE = 17, 13
_TITLE_GAP = 14
_MOST_PER_LINE = 5
_NAME_WIDTH = 130
_NAME_GAP = 12
_SIDE_GAP = 28  # between the two sides
_COLUMN_GAP = 36
_LEAST_WIDTH = 360


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two sets.

    Attributes
    ----------
    title, details
        The name of the run, and its description in parts.
    images, labels
        ``[n, H, W, 1 or 3]``, ``uint8``, and the class of each, ``[n]``.
    """

    title: str
    details: Sequence[str]
    images: Images
    labels: Labels


def draw_comparison(left: Side, right: Side, class_names: Sequence[str]) -> Image.Image:
    """Draw two sets side by side.

    Parameters
    ----------
    left, right
        The two sets, with images of the same size.
    class_names
        The name of each class; classes without images in both are left out.

    Returns
    -------
    PIL.Image.Image
        In RGB.

    Raises
    ------
    ConfigError
        If a set can't be drawn, or the sizes of the images differ.
    """
    sides = left, right
    for side in sides:
        check_images(side.images, side.labels, class_names)
    if left.images.shape[1:3] != right.images.shape[1:3]:
        raise ConfigError("Images of different sizes can't be compared.")
    classes = sorted({int(label) for side in sides for label in side.labels})
    names = [fit_lines(name, NAME_SIZE, _NAME_WIDTH, 2) for name in names_of(classes, class_names)]
    name_width = max(text_width(line, NAME_SIZE) for lines in names for line in lines)

    height, width = left.images.shape[1:3]
    scale = enlargement((height, width), max(len(side.images) for side in sides))
    tile = width * scale, height * scale
    across, down = tile[0] + TILE_GAP, tile[1] + TILE_GAP
    counts = [int(np.bincount(side.labels).max()) for side in sides]  # of the largest class
    per_line = [balanced(count, _MOST_PER_LINE) for count in counts]
    lines = max(-(-count // each) for count, each in zip(counts, per_line, strict=True))
    row_height = max(lines * down, 2 * line_height(NAME_SIZE) + TILE_GAP) + (2 * TILE_GAP if lines > 1 else 0)
    widths = [each * across - TILE_GAP for each in per_line]
    starts = [name_width + _NAME_GAP, name_width + _NAME_GAP + widths[0] + _SIDE_GAP]
    column_width = starts[1] + widths[1] + _COLUMN_GAP
    columns = _columns(len(classes), column_width, row_height)
    rows = -(-len(classes) // columns)

    content = columns * column_width - _COLUMN_GAP
    page = max(content, _LEAST_WIDTH)
    headings = [_heading(side, which, page) for side, which in zip(sides, ("Left", "Right"), strict=True)]
    heading_height = sum(_heading_height(details) for _, details in headings)
    top = MARGIN + heading_height + line_height(_DETAIL_SIZE) + 8  # of the first row
    canvas = Canvas(page + 2 * MARGIN, top + rows * row_height - TILE_GAP + MARGIN)

    y = MARGIN
    for title, details in headings:
        canvas.text(title, _TITLE_SIZE, MARGIN, y, page)
        canvas.text(details, _DETAIL_SIZE, MARGIN, y + line_height(_TITLE_SIZE) + 2, page)
        y += _heading_height(details)
    corner = MARGIN + (page - content) // 2
    for column in range(columns):
        for side, start, side_width in zip(sides, starts, widths, strict=True):
            x = corner + column * column_width + start
            canvas.text(
                fit_lines(printable(side.title), _DETAIL_SIZE, side_width, 1), _DETAIL_SIZE, x, y, side_width
            )
            line = y + line_height(_DETAIL_SIZE) + 2
            canvas.draw.line((x, line, x + side_width - 1, line), fill=OUTLINE)
    for index, (label, name) in enumerate(zip(classes, names, strict=True)):
        column, row = divmod(index, rows)
        x, y = corner + column * column_width, top + row * row_height
        centred = y + max(0, (tile[1] - len(name) * line_height(NAME_SIZE)) // 2)
        canvas.text(name, NAME_SIZE, x, centred, name_width, align="right")
        for side, start, each in zip(sides, starts, per_line, strict=True):
            for place, image in enumerate(side.images[side.labels == label]):
                line, at = divmod(place, each)
                canvas.image(image, x + start + at * across, y + line * down, *tile)
    return canvas.picture


def _columns(count: int, width: int, height: int) -> int:
    """Number of columns, none of them empty, with which ``count`` rows make a page nearly square."""
    filled = [n for n in range(1, count + 1) if -(-count // -(-count // n)) == n]
    return min(filled, key=lambda n: abs(log(n * width / (-(-count // n) * height))))


def _heading(side: Side, which: str, width: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The title and the details of a side, in lines."""
    title = fit_lines(f"{which}: {printable(side.title)}", _TITLE_SIZE, width, 1)
    return title, fit_lines(printable(", ".join(side.details)), _DETAIL_SIZE, width, 3)


def _heading_height(details: Sequence[str]) -> int:
    return line_height(_TITLE_SIZE) + 2 + len(details) * line_height(_DETAIL_SIZE) + _TITLE_GAP
