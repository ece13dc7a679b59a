"""The arrays that a parametrized set stores, as pictures under a title."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.reporting.figures.canvas import (
    MARGIN,
    Canvas,
    Heading,
    Images,
    Labels,
    fit_lines,
    line_height,
    with_heading,
)
from rcig_cli.reporting.figures.grid import draw_grid

_TITLE_SIZE = 28
_LEAST_WIDTH = 960  # of the page, for its titles
_MOST_LINES = 3


@dataclass(frozen=True, eq=False)
class StoredPictures:
    """Arrays in the form of images.

    Attributes
    ----------
    title
        What they are.
    arrays
        ``[m, h, w, 1 or 3]``, of any range.
    labels
        The group of each, ``[m]``, as an index into ``names``.
    names
        The name of each group.
    """

    title: str
    arrays: npt.NDArray[np.floating]
    labels: Labels
    names: Sequence[str]


def draw_stored(parts: Sequence[StoredPictures], heading: Heading | None = None) -> Image.Image:
    """Draw stored arrays as pictures, each scaled to its own range of values, in RGB, below a heading."""
    grids = [draw_grid(to_own_range(part.arrays), part.labels, part.names) for part in parts]
    width = max(_LEAST_WIDTH, *(grid.width for grid in grids))
    titles = [fit_lines(part.title, _TITLE_SIZE, width - 2 * MARGIN, _MOST_LINES) for part in parts]
    line = line_height(_TITLE_SIZE)
    heights = [MARGIN + len(title) * line + grid.height for title, grid in zip(titles, grids, strict=True)]
    canvas, top = Canvas(width, sum(heights)), 0
    for title, grid, height in zip(titles, grids, heights, strict=True):
        canvas.text(title, _TITLE_SIZE, MARGIN, top + MARGIN, width - 2 * MARGIN)
        canvas.paste(grid, 0, top + height - grid.height)
        top += height
    return with_heading(canvas.picture, heading)


def to_own_range(arrays: npt.NDArray[np.floating]) -> Images:
    """Scale each array of ``[m, h, w, c]`` to values from 0 to 255; a constant one becomes 0."""
    axes = tuple(range(1, arrays.ndim))
    least, most = (edge(arrays, axis=axes, keepdims=True) for edge in (np.min, np.max))
    span = np.where(most > least, most - least, 1)
    return np.asarray(np.rint(255 * ((arrays - least) / span)), np.uint8)
