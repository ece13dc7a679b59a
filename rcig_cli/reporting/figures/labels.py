"""The learned soft labels as a heat map: a row for each image, a column for each class.

Labels are centred: a one-hot label of C classes is ``1 - 1/C`` at its class and ``-1/C`` elsewhere.  Colours
go from blue for the most negative value through white at 0 to orange for the most positive.  With several
images of a class the mean label of each class comes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.reporting.figures.canvas import (
    BACKGROUND,
    MARGIN,
    Align,
    Canvas,
    Heading,
    Images,
    Labels,
    fit_lines,
    line_height,
    names_of,
    text_width,
    with_heading,
)

Floats = npt.NDArray[np.floating]

MOST_ROWS = 200  # of images, if classes have several
_MOST_TALL, _MOST_MIDDLE = 12, 50  # rows with tall cells and with cells of middle height
BLUE, WHITE, ORANGE = (0, 98, 160), (252, 252, 250), (213, 94, 0)
_TEXT, _NUMBER, _HEADING = 26, 24, 30  # pixels to the em
_NAME_WIDTH = 320  # at most
_GAP = 20
_LINE = 2  # between cells
_MEAN_HEIGHT = 52  # at most, of a cell of a mean label
_BAR_WIDTH, _BAR_HEIGHT = 480, 28
_BLACK_OR_WHITE = 0.179  # the luminance with which black and white contrast equally


@dataclass(frozen=True)
class _Cells:
    """Width and height of a cell, longer side of an image, and whether cells show their values."""

    width: int
    height: int
    side: int
    numbers: bool


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows under a heading: a name and a label each, with an image or, for means, without."""

    heading: str
    names: Sequence[str]
    values: Floats
    images: Images | None = None


def draw_labels(
    images: Images,
    values: Floats,
    classes: Labels,
    class_names: Sequence[str],
    *,
    heading: Heading | None = None,
) -> Image.Image:
    """Draw soft labels beside their images, in RGB.

    Parameters
    ----------
    images
        ``[n, H, W, 1 or 3]``, ``uint8``.
    values
        The labels, ``[n, C]``.
    classes
        The class from which each image started, ``[n]``.
    class_names
        The name of each class, C of them.
    heading
        What is written above everything.
    """
    names = [
        fit_lines(name, _TEXT, _NAME_WIDTH, 1)[0] for name in names_of(range(len(class_names)), class_names)
    ]
    largest = float(np.abs(values).max()) or 1.0
    parts = _parts(images, values, classes, names)
    cells = _cells(len(parts[-1].names), len(names))
    drawn = [*(_draw_part(part, names, cells, largest) for part in parts), _draw_scale(len(names), largest)]
    width, height = max(each.width for each in drawn), sum(each.height for each in drawn)
    canvas, top = Canvas(width + 2 * MARGIN, height + 2 * MARGIN), MARGIN
    for each in drawn:
        canvas.paste(each, MARGIN, top)
        top += each.height
    return with_heading(canvas.picture, heading)


def _parts(images: Images, values: Floats, classes: Labels, names: Sequence[str]) -> list[_Part]:
    members = {int(index): np.flatnonzero(classes == index) for index in np.unique(classes)}
    most = max(len(rows) for rows in members.values())
    each = max(1, MOST_ROWS // len(members)) if most > 1 else 1
    chosen = np.concatenate([rows[:each] for rows in members.values()])
    heading = f"The first {each} of each class" if each < most else "Each image" if most > 1 else ""
    parts = [_Part(heading, [names[classes[row]] for row in chosen], values[chosen], images[chosen])]
    if most > 1:
        means = np.stack([values[rows].mean(axis=0) for rows in members.values()])
        parts.insert(0, _Part("Mean of each class", [names[index] for index in members], means))
    return parts


def _cells(rows: int, classes: int) -> _Cells:
    if classes <= 12 and rows <= _MOST_TALL:
        return _Cells(120, 136, 128, numbers=True)
    if classes <= 30:
        middle = _Cells(120 if classes <= 12 else 88, 72, 64, numbers=True)
        return middle if rows <= _MOST_MIDDLE else _Cells(88, 40, 36, numbers=True)
    return _Cells(36, 36, 32, numbers=False)


def _draw_part(part: _Part, names: Sequence[str], cells: _Cells, largest: float) -> Image.Image:
    """Draw the rows of a part under its heading and the names of the columns."""
    name_width, line = max(text_width(name, _TEXT) for name in names), line_height(_TEXT)
    height = cells.height if part.images is not None else min(cells.height, _MEAN_HEIGHT)
    left = name_width + _GAP
    start = left + cells.side + _GAP
    top = (name_width if name_width > cells.width else line) + _GAP
    top += line_height(_HEADING) + _GAP if part.heading else 0
    canvas = Canvas(start + len(names) * cells.width, top + len(part.names) * height + 2 * _GAP)
    canvas.text([part.heading], _HEADING, left, 0, canvas.picture.width - left)
    for column, name in enumerate(names):
        x = start + column * cells.width
        if name_width <= cells.width:
            canvas.text([name], _TEXT, x, top - _GAP // 2 - line, cells.width, align="center")
        else:
            strip = Canvas(text_width(name, _TEXT), line)
            strip.text([name], _TEXT, 0, 0, strip.picture.width)
            turned = strip.picture.transpose(Image.Transpose.ROTATE_90)
            canvas.paste(turned, x + (cells.width - line) // 2, top - _GAP // 2 - turned.height)
    shades = _shades(part.values / largest)
    drawn = shades.repeat(height, axis=0).repeat(cells.width, axis=1)
    for edge in range(1, _LINE + 1):
        drawn[height - edge :: height] = drawn[:, cells.width - edge :: cells.width] = BACKGROUND
    canvas.paste(Image.fromarray(drawn), start, top)
    for row, name in enumerate(part.names):
        y = top + row * height
        canvas.text([name], _TEXT, 0, y + (height - line) // 2, name_width, align="right")
        if part.images is not None:
            _draw_image(canvas, part.images[row], left, y, cells.side, height)
    if cells.numbers:
        for (row, column), value in np.ndenumerate(part.values):
            x, y = start + column * cells.width, top + row * height + (height - line_height(_NUMBER)) // 2
            fill = _text_colour(shades[row, column])
            canvas.text([_decimal(float(value))], _NUMBER, x, y, cells.width, align="center", fill=fill)
    return canvas.picture


def _draw_image(canvas: Canvas, image: Images, left: int, top: int, side: int, height: int) -> None:
    """Draw an image, its longer side at most ``side`` pixels, centred in ``side`` x ``height`` pixels."""
    longer = max(image.shape[:2])
    factor = side // longer or side / longer
    high, wide = (max(1, round(each * factor)) for each in image.shape[:2])
    canvas.image(image, left + (side - wide) // 2, top + (height - high) // 2, wide, high)


def _draw_scale(classes: int, largest: float) -> Image.Image:
    """Draw a caption above the colours from ``-largest`` to ``largest``, with three values below."""
    own, other = 1 - 1 / classes, -1 / classes
    caption = (
        f"Learned labels, centred: a one-hot label is {_decimal(own)} at its class and {_decimal(other)} "
        "elsewhere."
    )
    width, line = text_width(caption, _TEXT), line_height(_TEXT)
    canvas = Canvas(max(width, _BAR_WIDTH), 3 * line + _BAR_HEIGHT + 8)
    canvas.text([caption], _TEXT, 0, 0, width)
    bar = _shades(np.linspace(-1, 1, _BAR_WIDTH)[None]).repeat(_BAR_HEIGHT, axis=0)
    canvas.paste(Image.fromarray(bar), 0, 2 * line)
    ticks: tuple[tuple[float, Align], ...] = ((-largest, "left"), (0.0, "center"), (largest, "right"))
    for value, align in ticks:
        canvas.text([_decimal(value)], _TEXT, 0, 2 * line + _BAR_HEIGHT + 8, _BAR_WIDTH, align=align)
    return canvas.picture


def _decimal(value: float) -> str:
    """A number with two decimals and a proper minus sign, but none for zero."""
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _text_colour(background: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    """Return black or white, whichever contrasts more with a colour (by the relative luminance of WCAG)."""
    part = background / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return (0, 0, 0) if luminance > _BLACK_OR_WHITE else (255, 255, 255)


def _shades(values: Floats) -> npt.NDArray[np.uint8]:
    """Return the colours of values from -1 to 1."""
    ends = np.where(values[..., None] > 0, ORANGE, BLUE)
    shades = WHITE + np.abs(values)[..., None] * (ends - np.array(WHITE))
    return np.asarray(np.rint(shades), np.uint8)
