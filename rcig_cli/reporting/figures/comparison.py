"""Two distilled sets of the same data, class by class, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.blocks import TILE_GAP, Box, Caption, balanced, enlargement
from rcig_cli.reporting.figures.captions import drawable, fit_lines, line_height, text_width
from rcig_cli.reporting.figures.grid import check_set
from rcig_cli.reporting.figures.layout import MARGIN, TITLE_GAP
from rcig_cli.reporting.figures.paint import (
    INK,
    OUTLINE,
    Canvas,
    Images,
    Labels,
    new_canvas,
    paint_image,
    write_caption,
)

NAME, HEAD, DETAIL = 14, 17, 13
PER_LINE = 5
MIDDLE = 28  # between the two sides
AROUND = 36  # between blocks
NARROWEST = 360
NAME_WIDTH = 130


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two.

    Attributes
    ----------
    title, details
        What it is called, and lines on it.
    images, labels
        ``[n, H, W, 1 or 3]``, ``uint8``, and the class of each, ``[n]``.
    """

    title: str
    details: Sequence[str]
    images: Images
    labels: Labels


def draw_comparison(left: Side, right: Side, class_names: Sequence[str]) -> Image.Image:
    """Draw two sets side by side, with a line of blocks for each class.

    Parameters
    ----------
    left, right
        The two sets; their images are of one size.
    class_names
        The name of each class; one without images in either is left out.

    Returns
    -------
    PIL.Image.Image
        In RGB.

    Raises
    ------
    ConfigError
        The sets can't be drawn, or their images are not of one size.
    """
    for side in (left, right):
        check_set(side.images, side.labels, len(class_names))
    if left.images.shape[1:3] != right.images.shape[1:3]:
        raise ConfigError("The two sets have images of different sizes, so they can't stand side by side.")
    return _Page((left, right), class_names).drawn()


class _Page:
    """Columns of rows; a row has a class's name, its images at the left and those at the right."""

    def __init__(self, sides: tuple[Side, Side], class_names: Sequence[str]) -> None:
        self.sides = sides
        present = sorted({int(label) for side in sides for label in side.labels})
        names = {index: drawable(class_names[index]) or f"class {index}" for index in present}
        self.names = {index: fit_lines(name, NAME, NAME_WIDTH, 2) for index, name in names.items()}
        self.name_width = max(text_width(line, NAME) for lines in self.names.values() for line in lines)
        size = sides[0].images.shape[1:3]
        scale = enlargement((size[0], size[1]), max(len(side.images) for side in sides))
        self.tile = Box(0, 0, size[1] * scale, size[0] * scale)
        most = [max(np.bincount(side.labels)) for side in sides]
        self.per_line = [balanced(int(count), PER_LINE) for count in most]
        lines = max(-(-int(count) // each) for count, each in zip(most, self.per_line, strict=True))
        self.gap = 2 * TILE_GAP if lines > 1 else 0  # between classes, where one takes several lines
        self.row = max(lines * (self.tile.height + TILE_GAP), 2 * line_height(NAME) + TILE_GAP)
        self.widths = [each * (self.tile.width + TILE_GAP) - TILE_GAP for each in self.per_line]
        self.columns = self._columns(len(present))
        self.rows = -(-len(present) // self.columns)

    @property
    def block(self) -> int:
        return self.name_width + 12 + sum(self.widths) + MIDDLE

    def _columns(self, count: int) -> int:
        """How many columns make the page near square, none of them empty."""

        def ratio(columns: int) -> float:
            width = columns * (self.block + AROUND)
            return abs(float(np.log(width / (-(-count // columns) * self.row))))

        full = [n for n in range(1, count + 1) if -(-count // -(-count // n)) == n]
        return min(full, key=ratio)

    def drawn(self) -> Image.Image:
        """Draw it all."""
        inner = self.columns * (self.block + AROUND) - AROUND
        width = max(inner, NARROWEST)
        headings = [caption for index in range(2) for caption in self._heading(index, width)]
        top = MARGIN
        for at, caption in enumerate(headings):
            headings[at] = caption.moved(MARGIN, top)
            top += caption.box.height
        top += line_height(DETAIL) + 8
        bottom = top + self.rows * (self.row + self.gap) - self.gap - TILE_GAP
        canvas = new_canvas(width + 2 * MARGIN, bottom + MARGIN)
        for caption in headings:
            write_caption(canvas, caption)
        for index, label in enumerate(self.names):
            column, row = divmod(index, self.rows)
            left = MARGIN + (width - inner) // 2 + column * (self.block + AROUND)
            if row == 0:
                self._sides(canvas, left, top - line_height(DETAIL) - 8)
            self._class(canvas, label, left, top + row * (self.row + self.gap))
        return canvas[0]

    def _heading(self, index: int, width: int) -> tuple[Caption, Caption]:
        """What a side is: its title, and below it the rest, as wide as the page allows."""
        side, which = self.sides[index], ("Left", "Right")[index]
        title = fit_lines(f"{which}: {drawable(side.title)}", HEAD, width, 1)
        rest = fit_lines(drawable(", ".join(side.details)), DETAIL, width, 3)
        below = len(rest) * line_height(DETAIL) + TITLE_GAP
        return (
            Caption(title, Box(0, 0, width, line_height(HEAD) + 2), HEAD, "left"),
            Caption(rest, Box(0, 0, width, below), DETAIL, "left"),
        )

    def _left_of(self, index: int) -> int:
        return self.name_width + 12 + index * (self.widths[0] + MIDDLE)

    def _sides(self, canvas: Canvas, left: int, top: int) -> None:
        """Say above a column whose images are whose, where there is room, with a line below."""
        for index, side in enumerate(self.sides):
            box = Box(left + self._left_of(index), top, self.widths[index], 0)
            text = fit_lines(drawable(side.title), DETAIL, box.width, 1)
            write_caption(canvas, Caption(text, box, DETAIL, "left"), INK)
            y = top + line_height(DETAIL) + 2
            canvas[1].line((box.left, y, box.left + box.width - 1, y), fill=OUTLINE)

    def _class(self, canvas: Canvas, label: int, left: int, top: int) -> None:
        lines = self.names[label]
        room = self.tile.height - len(lines) * line_height(NAME)
        box = Box(left, top + max(0, room // 2), self.name_width, 0)
        write_caption(canvas, Caption(lines, box, NAME, "right"))
        for index, side in enumerate(self.sides):
            for place, image in enumerate(side.images[side.labels == label]):
                row, column = divmod(place, self.per_line[index])
                right = left + self._left_of(index) + column * (self.tile.width + TILE_GAP)
                tile = self.tile.moved(right, top + row * (self.tile.height + TILE_GAP))
                paint_image(canvas, image, tile)
