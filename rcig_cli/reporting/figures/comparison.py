"""Two distilled sets of the same data side by side, one row for each class.

The rows fill as many columns as make the page nearly square, as in `grid`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from rcig_cli.reporting.figures.canvas import (
    MARGIN,
    OUTLINE,
    Canvas,
    Images,
    Labels,
    enlargement,
    fit_lines,
    line_height,
    names_of,
    printable,
    text_width,
)
from rcig_cli.reporting.figures.grid import NAME_SIZE, TILE_GAP, best_columns, page_size, place_tiles

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
    """
    sides = left, right
    classes = sorted({int(label) for side in sides for label in side.labels})
    names = [fit_lines(name, NAME_SIZE, _NAME_WIDTH, 2) for name in names_of(classes, class_names)]
    name_width = max(text_width(line, NAME_SIZE) for lines in names for line in lines)

    height, width = left.images.shape[1:3]
    scale = enlargement((height, width), max(len(side.images) for side in sides))
    tile = width * scale, height * scale
    most = [int(np.bincount(side.labels).max()) for side in sides]  # images of a class
    places, widths, heights = zip(*(place_tiles(each, _MOST_PER_LINE, tile) for each in most), strict=True)
    starts = name_width + _NAME_GAP, name_width + _NAME_GAP + widths[0] + _SIDE_GAP
    row_size = starts[1] + widths[1], max(*heights, 2 * line_height(NAME_SIZE))
    gaps = _COLUMN_GAP, 3 * TILE_GAP if max(heights) > tile[1] else TILE_GAP
    columns = best_columns(len(classes), row_size, gaps)
    content_width, content_height = page_size(len(classes), columns, row_size, gaps)

    page = max(content_width, _LEAST_WIDTH)
    headings = [_heading(side, which, page) for side, which in zip(sides, ("Left", "Right"), strict=True)]
    first_row = MARGIN + sum(map(_heading_height, headings)) + line_height(_DETAIL_SIZE) + 8
    canvas = Canvas(page + 2 * MARGIN, first_row + content_height + MARGIN)
    y = MARGIN
    for title, *details in headings:
        canvas.text([title], _TITLE_SIZE, MARGIN, y, page)
        canvas.text(details, _DETAIL_SIZE, MARGIN, y + line_height(_TITLE_SIZE) + 2, page)
        y += _heading_height([title, *details])
    corner = MARGIN + (page - content_width) // 2
    for column in range(columns):
        for side, start, side_width in zip(sides, starts, widths, strict=True):
            x = corner + column * (row_size[0] + gaps[0]) + start
            name = fit_lines(printable(side.title), _DETAIL_SIZE, side_width, 1)
            canvas.text(name, _DETAIL_SIZE, x, y, side_width)
            line = y + line_height(_DETAIL_SIZE) + 2
            canvas.draw.line((x, line, x + side_width - 1, line), fill=OUTLINE)
    for index, (label, name) in enumerate(zip(classes, names, strict=True)):
        row, column = divmod(index, columns)
        x, y = corner + column * (row_size[0] + gaps[0]), first_row + row * (row_size[1] + gaps[1])
        centred = y + max(0, (tile[1] - len(name) * line_height(NAME_SIZE)) // 2)
        canvas.text(name, NAME_SIZE, x, centred, name_width, align="right")
        for side, start, corners in zip(sides, starts, places, strict=True):
            for image, (across, down) in zip(side.images[side.labels == label], corners, strict=False):
                canvas.image(image, x + start + across, y + down, *tile)
    return canvas.picture


def _heading(side: Side, which: str, width: int) -> list[str]:
    """The title of a side, and its details in lines."""
    (title,) = fit_lines(f"{which}: {printable(side.title)}", _TITLE_SIZE, width, 1)
    return [title, *fit_lines(printable(", ".join(side.details)), _DETAIL_SIZE, width, 3)]


def _heading_height(heading: Sequence[str]) -> int:
    return line_height(_TITLE_SIZE) + 2 + (len(heading) - 1) * line_height(_DETAIL_SIZE) + _TITLE_GAP
