"""Two distilled sets of the same data side by side: their grids, each under its run's name and settings."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from rcig_cli.reporting.figures.canvas import (
    MARGIN,
    Canvas,
    Images,
    Labels,
    enlargement,
    fit_lines,
    line_height,
    printable,
)
from rcig_cli.reporting.figures.grid import draw_grid

_TITLE_SIZE, _DETAIL_SIZE = 17, 13
_MOST_LINES = 4  # of details
_LEAST_WIDTH = 360  # of a side


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
    """Draw two sets side by side, in RGB.

    Parameters
    ----------
    left, right
        The two sets, with images of the same size.
    class_names
        The name of each class.
    """
    sides = left, right
    height, width = left.images.shape[1:3]
    scale = enlargement((height, width), max(len(side.images) for side in sides))
    grids = [draw_grid(side.images, side.labels, class_names, scale=scale) for side in sides]
    columns = [max(grid.width, _LEAST_WIDTH) for grid in grids]
    headings = [_heading(side, column - 2 * MARGIN) for side, column in zip(sides, columns, strict=True)]
    details_top = MARGIN + line_height(_TITLE_SIZE) + 2
    grid_top = details_top + max(len(details) for _, details in headings) * line_height(_DETAIL_SIZE)
    canvas = Canvas(sum(columns), grid_top + max(grid.height for grid in grids))
    start = 0
    for grid, column, (title, details) in zip(grids, columns, headings, strict=True):
        canvas.text(title, _TITLE_SIZE, start + MARGIN, MARGIN, column - 2 * MARGIN)
        canvas.text(details, _DETAIL_SIZE, start + MARGIN, details_top, column - 2 * MARGIN)
        canvas.picture.paste(grid, (start + (column - grid.width) // 2, grid_top))
        start += column
    return canvas.picture


def _heading(side: Side, width: int) -> tuple[Sequence[str], Sequence[str]]:
    """Return the title and the details of a side in lines."""
    title = fit_lines(printable(side.title), _TITLE_SIZE, width, 1)
    return title, fit_lines(printable(", ".join(side.details)), _DETAIL_SIZE, width, _MOST_LINES)
