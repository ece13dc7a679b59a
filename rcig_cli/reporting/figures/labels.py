"""The learned soft labels as a heat map: a row for each image, a column for each class.

Labels are centred: a one-hot label of C classes is ``1 - 1/C`` at its class and ``-1/C`` elsewhere.  Colours
go from blue for the most negative value through white at 0 to orange for the most positive.  With several
images of a class the mean label of each class comes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.reporting.figures.canvas import (
    BACKGROUND,
    INK,
    MARGIN,
    Canvas,
    Images,
    Labels,
    names_of,
)
from rcig_cli.reporting.figures.plots import DOTS_PER_INCH, new_figure, to_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.floating]

MOST_ROWS = 30  # of images, where there are several of a class
BLUE, WHITE, ORANGE = "#0062a0", "#fcfcfa", "#d55e00"
_LONGEST_NAME = 24  # characters
_TEXT, _NUMBER, _HEADING = 8.5, 7.8, 9.8  # points
_GAP = 10  # pixels
_PAGE, _INK = "#{:02x}{:02x}{:02x}".format(*BACKGROUND), "#{:02x}{:02x}{:02x}".format(*INK)


@dataclass(frozen=True)
class _Cells:
    """Sizes in pixels, by the number of classes, and whether each cell states its value."""

    width: int
    height: int
    side: int  # of an image's longer side, at most
    numbers: bool
    rotated: bool  # whether the names above the columns are


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows under a heading: a label each, with the images they belong to or none for means."""

    heading: str
    names: Sequence[str]
    values: Floats
    images: Images | None = None


def draw_labels(images: Images, values: Floats, classes: Labels, class_names: Sequence[str]) -> Image.Image:
    """Draw soft labels beside their images.

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

    Returns
    -------
    PIL.Image.Image
        In RGB.
    """
    names = [_shorten(name) for name in names_of(range(len(class_names)), class_names)]
    parts = _parts(images, values, classes, names)
    return _draw(parts, names, float(np.abs(values).max()) or 1.0)


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1].rstrip()}…"


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


def _cells(rows: int, names: Sequence[str]) -> _Cells:
    longest = max(map(len, names))
    if len(names) <= 12:
        large = rows <= 12
        width = max(52, min(84, 7 * longest + 8))
        return _Cells(width, 68 if large else 36, 64 if large else 32, numbers=True, rotated=longest > 11)
    if len(names) <= 30:
        return _Cells(42, 36, 32, numbers=True, rotated=True)
    return _Cells(16, 18, 16, numbers=False, rotated=True)


def _draw(parts: Sequence[_Part], names: Sequence[str], largest: float) -> Image.Image:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    # Everything is placed in pixels from the corner of a figure of one inch, which is then fitted to it.
    figure = new_figure(1, 1, padding=None)
    figure.set_facecolor(_PAGE)
    shades = LinearSegmentedColormap.from_list("labels", [BLUE, WHITE, ORANGE], 511)
    colours = ScalarMappable(Normalize(-largest, largest), shades)
    cells = _cells(len(parts[-1].names), names)
    top = 0
    for part in parts:
        top = _draw_part(figure, part, names, cells, colours, top)
    own, other = 1 - 1 / len(names), -1 / len(names)
    caption = f"Learned labels, centred: a one-hot label is {own:.2f} at its class and {other:.2f} elsewhere."
    _write(figure, caption, top, _TEXT)
    bar = _axes(figure, 0, top + 26, 240, 14)
    figure.colorbar(colours, cax=bar, orientation="horizontal", ticks=[-largest, 0, largest], format="%.2f")
    bar.tick_params(labelsize=_TEXT, length=0, labelcolor=_INK)
    bar.spines[:].set_visible(False)
    return to_image(figure, margin=MARGIN)


def _draw_part(
    figure: "Figure", part: _Part, names: Sequence[str], cells: _Cells, colours: "ScalarMappable", top: int
) -> int:
    """Draw rows from ``top`` on; return where they end."""
    rows, columns = len(part.names), len(names)
    if part.heading:
        _write(figure, part.heading, top, _HEADING)
        top += 30
    top += 6 * max(map(len, names)) + 10 if cells.rotated else 22  # the names above the columns
    height = cells.height if part.images is not None else min(cells.height, 26)
    left = cells.side + _GAP
    axes = _axes(figure, left, top, columns * cells.width, rows * height)
    shades = colours.to_rgba(part.values, bytes=True)
    axes.imshow(shades, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(columns), names, rotation=90 if cells.rotated else 0, parse_math=False)
    axes.set_xticks(np.arange(columns - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(rows - 1) + 0.5, minor=True)
    axes.grid(which="minor", color=_PAGE, linewidth=1)
    axes.set_yticks([])
    axes.tick_params(which="both", length=0, labelsize=_TEXT, labelcolor=_INK, top=True, labeltop=True)
    axes.tick_params(bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    if cells.numbers:
        for (row, column), value in np.ndenumerate(part.values):
            dark = shades[row, column, :3] @ (0.299, 0.587, 0.114) < 130
            text = f"{value:.2f}".replace("-0.00", "0.00")
            ink = "white" if dark else _INK
            axes.text(column, row, text, ha="center", va="center", fontsize=_NUMBER, color=ink)
    beside = _axes(figure, 0, top, cells.side, rows * height)
    beside.set_yticks((np.arange(rows) + 0.5) * height, part.names, parse_math=False)
    beside.set_xticks([])
    beside.tick_params(length=0, labelsize=_TEXT, labelcolor=_INK)
    beside.spines[:].set_visible(False)
    beside.imshow(_strip(part, cells.side, height), aspect="auto", interpolation="nearest")
    return top + rows * height + 2 * _GAP


def _strip(part: _Part, side: int, height: int) -> Image.Image:
    """The images of the rows below each other, each centred in ``side`` x ``height`` pixels."""
    canvas = Canvas(side, len(part.names) * height)
    if part.images is not None:
        longer = max(part.images.shape[1:3])
        factor = side // longer or side / longer
        high, wide = (max(1, round(each * factor)) for each in part.images.shape[1:3])
        for row, image in enumerate(part.images):
            canvas.image(image, (side - wide) // 2, row * height + (height - high) // 2, wide, high)
    return canvas.picture


def _axes(figure: "Figure", left: int, top: int, width: int, height: int) -> "Axes":
    """Axes with the place in pixels from the figure's top left corner."""
    unit = DOTS_PER_INCH
    return figure.add_axes((left / unit, 1 - (top + height) / unit, width / unit, height / unit))


def _write(figure: "Figure", text: str, top: int, size: float) -> None:
    figure.text(0, 1 - top / DOTS_PER_INCH, text, fontsize=size, color=_INK, va="top", parse_math=False)
