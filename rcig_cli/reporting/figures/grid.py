"""The distilled images by class, enlarged without smoothing, with the names of the classes.

With one image per class, its name is below the image.  With several, the name is to the left of the class's
images, which are in lines of at most 10.  The blocks of the classes, all of one size, fill the page row by
row.  The number of columns is the one with the smallest

    |log(width / height)| + 4 * (fraction of the places that stay empty):

the page is nearly square, and its last row nearly full.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

import numpy as np
from PIL import Image

from rcig_cli.reporting.figures.canvas import (
    MARGIN,
    Canvas,
    Heading,
    Images,
    Labels,
    enlargement,
    fit_lines,
    line_height,
    names_of,
    text_width,
    with_heading,
)

TILE_GAP = 12  # between the images of a class
NAME_SIZE = 28
_BLOCK_GAP = 32
_NAME_GAP = 12
_WIDTH_BELOW = 192  # least width of a name below its image
_WIDTH_BESIDE = 240  # largest width of a name beside images
_IMAGES_PER_LINE = 10
_COST_OF_EMPTY = 4.0

Place = tuple[int, int]  # left, top


@dataclass(frozen=True)
class Name:
    """The lines of a class's name and the column they are written into."""

    lines: tuple[str, ...]
    left: int
    top: int
    width: int


@dataclass(frozen=True)
class Layout:
    """Where everything is on the page.

    Attributes
    ----------
    width, height
        Of the page, in pixels.
    tile
        ``(width, height)`` of an enlarged image.
    tiles
        The top left corner of each image, in the order of the images.
    names
        One for each class that has images, in the order of the classes.
    align
        How names are aligned: "center" below one image, "right" to the left of several.
    """

    width: int
    height: int
    tile: tuple[int, int]
    tiles: tuple[Place, ...]
    names: tuple[Name, ...]
    align: Literal["center", "right"]


def draw_grid(
    images: Images,
    labels: Labels,
    class_names: Sequence[str],
    *,
    heading: Heading | None = None,
    scale: int | None = None,
) -> Image.Image:
    """Draw images by class, in RGB; they keep their order within a class.

    Parameters
    ----------
    images
        ``[n, H, W, 1 or 3]``, ``uint8``.
    labels
        The class of each image, ``[n]``, as an index into ``class_names``.
    class_names
        The name of each class; classes without images are left out.
    heading
        What is written above the images.
    scale
        The integer factor of enlargement; by default one that suits the number of images.
    """
    layout = plan_grid(labels, images.shape[1:3], class_names, scale=scale)
    canvas = Canvas(layout.width, layout.height)
    for image, place in zip(images, layout.tiles, strict=True):
        canvas.image(image, *place, *layout.tile)
    for name in layout.names:
        canvas.text(name.lines, NAME_SIZE, name.left, name.top, name.width, align=layout.align)
    return with_heading(canvas.picture, heading)


def plan_grid(
    labels: Labels, image_size: tuple[int, ...], class_names: Sequence[str], *, scale: int | None = None
) -> Layout:
    """Lay out the page of `draw_grid`, for images of ``image_size`` ``(height, width)``."""
    members = {int(index): np.flatnonzero(labels == index) for index in np.unique(labels)}
    names = names_of(list(members), class_names)
    most = max(len(images) for images in members.values())
    height, width = image_size
    scale = scale or enlargement((height, width), len(labels))
    tile = width * scale, height * scale
    lines = -(-most // _IMAGES_PER_LINE)
    per_line = -(-most // lines)
    across, down = tile[0] + TILE_GAP, tile[1] + TILE_GAP  # from one image of a class to the next
    text_height = line_height(NAME_SIZE)
    if most == 1:
        column = max(tile[0], _WIDTH_BELOW)
        texts = [fit_lines(name, NAME_SIZE, column, 2) for name in names]
        start = (column - tile[0]) // 2
        block = column, tile[1] + _NAME_GAP + max(map(len, texts)) * text_height
        gaps = _BLOCK_GAP, _BLOCK_GAP
    else:
        text_lines = min(2, max(1, tile[1] // text_height))
        texts = [fit_lines(name, NAME_SIZE, _WIDTH_BESIDE, text_lines) for name in names]
        column = max(text_width(line, NAME_SIZE) for text in texts for line in text)
        start = column + 2 * _NAME_GAP
        block = start + per_line * across - TILE_GAP, max(lines * down - TILE_GAP, text_height)
        gaps = 2 * _BLOCK_GAP, _BLOCK_GAP if lines > 1 else TILE_GAP
    columns = min(range(1, len(names) + 1), key=lambda count: _cost(len(names), count, block, gaps))

    tiles: dict[int, Place] = {}
    written = []
    for index, (images, text) in enumerate(zip(members.values(), texts, strict=True)):
        left = MARGIN + index % columns * (block[0] + gaps[0])
        top = MARGIN + index // columns * (block[1] + gaps[1])
        for at, image in enumerate(images.tolist()):
            tiles[image] = left + start + at % per_line * across, top + at // per_line * down
        centred = max(0, (tile[1] - len(text) * text_height) // 2)  # beside the first line of images
        text_top = top + (tile[1] + _NAME_GAP if most == 1 else centred)
        written.append(Name(text, left, text_top, column))
    page = _page_size(len(names), columns, block, gaps)
    return Layout(
        width=page[0] + 2 * MARGIN,
        height=page[1] + 2 * MARGIN,
        tile=tile,
        tiles=tuple(tiles[image] for image in range(len(labels))),
        names=tuple(written),
        align="center" if most == 1 else "right",
    )


def _cost(count: int, columns: int, block: tuple[int, int], gaps: tuple[int, int]) -> float:
    """The quantity that the number of columns minimizes (see the top of this file)."""
    width, height = _page_size(count, columns, block, gaps)
    empty = 1 - count / (columns * -(-count // columns))
    return abs(log(width / height)) + _COST_OF_EMPTY * empty


def _page_size(count: int, columns: int, block: tuple[int, int], gaps: tuple[int, int]) -> tuple[int, int]:
    """Width and height of ``count`` blocks in ``columns`` columns."""
    rows = -(-count // columns)
    return columns * (block[0] + gaps[0]) - gaps[0], rows * (block[1] + gaps[1]) - gaps[1]
