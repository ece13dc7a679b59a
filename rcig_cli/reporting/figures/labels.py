"""The learned soft labels: a row of colours for each image, beside the image.

Labels are centred: a one-hot label would be ``1 - 1/C`` at its class and ``-1/C`` elsewhere.  They are shown
as they are, from blue below 0 through white to vermilion above.  With several images of a class the mean of
each class comes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.blocks import Box, Caption
from rcig_cli.reporting.figures.captions import drawable, fit_lines, line_height, text_width
from rcig_cli.reporting.figures.grid import check_set
from rcig_cli.reporting.figures.paint import (
    INK,
    OUTLINE,
    Canvas,
    Images,
    Labels,
    new_canvas,
    paint_image,
    write_caption,
    write_upwards,
)

Floats = npt.NDArray[np.floating]
Colour = tuple[int, int, int]

MARGIN = 24
GAP = 10
NAME = 13  # height of an em
NUMBER = 12
HEADING = 15
LONGEST_NAME = 130
MOST_ROWS = 30  # of images, where there are several of a class
BELOW, MIDDLE, ABOVE = (0, 98, 160), (252, 252, 250), (213, 94, 0)
WHITE = (255, 255, 255)
BAR = Box(0, 0, 240, 14)


@dataclass(frozen=True)
class Cells:
    """How large things are, by the number of classes.

    Attributes
    ----------
    width, height
        Of a cell.
    side
        Of an image's longer side, at most.
    numbers
        Whether each cell says its value.
    upright
        Whether the names above the columns are as wide as these.
    """

    width: int
    height: int
    side: int
    numbers: bool
    upright: bool


@dataclass(frozen=True, eq=False)
class Part:
    """Rows under a heading; a row without an image is a mean."""

    heading: str
    names: Sequence[str]
    images: Sequence[Images | None]
    values: Floats


def draw_labels(images: Images, values: Floats, classes: Labels, class_names: Sequence[str]) -> Image.Image:
    """Draw soft labels beside their images.

    Parameters
    ----------
    images
        ``[n, H, W, 1 or 3]``, ``uint8``.
    values
        The labels, ``[n, C]``.
    classes
        The class each image started from, ``[n]``.
    class_names
        The name of each class, C of them.

    Returns
    -------
    PIL.Image.Image
        In RGB.

    Raises
    ------
    ConfigError
        A shape, type or range is not the one above, or a label is no number.
    """
    images, values, classes = np.asarray(images), np.asarray(values), np.asarray(classes)
    check_set(images, classes, len(class_names))
    if values.shape != (len(images), len(class_names)) or not np.isfinite(values).all():
        raise ConfigError("Soft labels to draw are numbers, one for each image and class.")
    names = [drawable(name) or f"class {index}" for index, name in enumerate(class_names)]
    names = [fit_lines(name, NAME, LONGEST_NAME, 1)[0] for name in names]
    parts = _parts(images, values, classes, names)
    return _Heat(parts, names, float(np.abs(values).max()) or 1.0).drawn()


def _parts(images: Images, values: Floats, classes: Labels, names: Sequence[str]) -> list[Part]:
    members = {int(index): np.flatnonzero(classes == index) for index in np.unique(classes)}
    most = max(len(rows) for rows in members.values())
    each = max(1, MOST_ROWS // len(members)) if most > 1 else 1
    chosen = np.concatenate([rows[:each] for rows in members.values()])
    single = Part(
        f"The first {each} of each class" if each < most else "Each image" if most > 1 else "",
        [names[classes[row]] for row in chosen],
        [images[row] for row in chosen],
        values[chosen],
    )
    if most == 1:
        return [single]
    means = np.stack([values[rows].mean(axis=0) for rows in members.values()])
    mean = Part("Mean of each class", [names[index] for index in members], [None] * len(members), means)
    return [mean, single]


def _cells(classes: int, rows: int, names: Sequence[str]) -> Cells:
    if classes <= 12:
        widest = max(text_width(name, NAME) for name in names)
        large = rows <= 12
        return Cells(
            max(52, min(84, widest + 8)), 68 if large else 36, 64 if large else 32, True, widest <= 76
        )
    if classes <= 30:
        return Cells(42, 36, 32, True, False)
    return Cells(line_height(NAME), line_height(NAME) + 2, line_height(NAME), False, False)


class _Heat:
    """The picture: headings, names, images and cells, from above to below."""

    def __init__(self, parts: Sequence[Part], names: Sequence[str], largest: float) -> None:
        self.parts, self.names, self.largest = parts, names, largest
        self.cells = cells = _cells(len(names), len(parts[-1].names), names)
        height, width = next(image.shape[:2] for image in parts[-1].images if image is not None)
        factor = cells.side // max(height, width)
        scale = factor if factor else cells.side / max(height, width)
        self.tile = Box(0, 0, max(1, round(width * scale)), max(1, round(height * scale)))
        self.name_width = max(text_width(name, NAME) for part in parts for name in part.names)
        self.left = MARGIN + self.name_width + GAP + self.tile.width + GAP
        self.head = line_height(NAME) if cells.upright else max(text_width(name, NAME) for name in names)
        self.width = (
            max(self.left + cells.width * len(names), MARGIN + text_width(self._said(), NAME)) + MARGIN
        )

    def drawn(self) -> Image.Image:
        """Draw it all."""
        below = line_height(NAME) + GAP + BAR.height + 4 + line_height(NUMBER)
        height = MARGIN + sum(self._height(part) for part in self.parts) + below + MARGIN
        canvas = new_canvas(self.width, height)
        top = MARGIN
        for part in self.parts:
            self._draw(canvas, part, top)
            top += self._height(part)
        self._scale(canvas, top)
        return canvas[0]

    def _row(self, part: Part) -> int:
        """The height of a row: of means alone no more than a number needs."""
        return self.cells.height if part.images[0] is not None else min(self.cells.height, 26)

    def _height(self, part: Part) -> int:
        heading = line_height(HEADING) + GAP if part.heading else 0
        return heading + self.head + 6 + self._row(part) * len(part.names) + 2 * GAP

    def _draw(self, canvas: Canvas, part: Part, top: int) -> None:
        if part.heading:
            _write(canvas, part.heading, HEADING, Box(MARGIN, top, self.width - 2 * MARGIN, 0), "left")
            top += line_height(HEADING) + GAP
        self._columns(canvas, top + self.head)
        top, height = top + self.head + 6, self._row(part)
        for name, image, values in zip(part.names, part.images, part.values, strict=True):
            centre = top + (height - line_height(NAME)) // 2
            _write(canvas, name, NAME, Box(MARGIN, centre, self.name_width, 0), "right")
            if image is not None:
                left = MARGIN + self.name_width + GAP
                paint_image(canvas, image, self.tile.moved(left, top + (height - self.tile.height) // 2))
            for index, value in enumerate(values.tolist()):
                self._cell(
                    canvas, Box(self.left + index * self.cells.width, top, self.cells.width, height), value
                )
            top += height

    def _columns(self, canvas: Canvas, bottom: int) -> None:
        for index, name in enumerate(self.names):
            left = self.left + index * self.cells.width
            if self.cells.upright:
                box = Box(left, bottom - line_height(NAME), self.cells.width, 0)
                _write(canvas, name, NAME, box, "center")
            else:
                aside = (self.cells.width - line_height(NAME)) // 2
                write_upwards(canvas, name, NAME, left + aside, bottom)

    def _cell(self, canvas: Canvas, box: Box, value: float) -> None:
        colour = colour_of(value / self.largest)
        canvas[1].rectangle(
            (box.left, box.top, box.left + box.width - 2, box.top + box.height - 2), fill=colour
        )
        if self.cells.numbers:
            centre = box.top - 1 + (box.height - line_height(NUMBER)) // 2
            ink = INK if _lightness(colour) > 130 else WHITE
            _write(canvas, number(value), NUMBER, Box(box.left, centre, box.width - 1, 0), "center", ink)

    def _said(self) -> str:
        count = len(self.names)
        own, other = number(1 - 1 / count), number(-1 / count)
        return f"Learned labels, centred: a plain one-hot label is {own} at its class and {other} elsewhere."

    def _scale(self, canvas: Canvas, top: int) -> None:
        _write(canvas, self._said(), NAME, Box(MARGIN, top, self.width - 2 * MARGIN, 0), "left")
        bar = BAR.moved(MARGIN + 16, top + line_height(NAME) + GAP)
        for x in range(bar.width):
            colour = colour_of(2 * x / (bar.width - 1) - 1)
            canvas[1].line((bar.left + x, bar.top, bar.left + x, bar.top + bar.height - 1), fill=colour)
        around = (bar.left - 1, bar.top - 1, bar.left + bar.width, bar.top + bar.height)
        canvas[1].rectangle(around, outline=OUTLINE)
        for share in (-1, 0, 1):
            middle = bar.left + (share + 1) * bar.width // 2
            place = Box(middle - 40, bar.top + bar.height + 4, 80, 0)
            _write(canvas, number(share * self.largest), NUMBER, place, "center")


def colour_of(share: float) -> Colour:
    """Give the colour of a value as a share of the largest, from -1 to 1; 0 is nearly white."""
    end, weight = (ABOVE if share > 0 else BELOW), min(1.0, abs(share))
    red, green, blue = (round(m + weight * (e - m)) for m, e in zip(MIDDLE, end, strict=True))
    return red, green, blue


def number(value: float) -> str:
    """Write a value with two digits after the point, and no zero below zero."""
    return f"{value + 0.0:.2f}".replace("-0.00", "0.00")


def _lightness(colour: Colour) -> float:
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _write(canvas: Canvas, text: str, size: int, box: Box, align: str, ink: Colour = INK) -> None:
    write_caption(canvas, Caption((text,), box, size, align), ink)
