"""The arrays that a parametrized set stores, as pictures under a title."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.reporting.figures.canvas import Heading, Images, Labels, stacked, with_heading
from rcig_cli.reporting.figures.grid import draw_grid


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
    pictures = [
        with_heading(
            draw_grid(to_own_range(part.arrays), part.labels, part.names), Heading(details=part.title)
        )
        for part in parts
    ]
    return with_heading(stacked(pictures), heading)


def to_own_range(arrays: npt.NDArray[np.floating]) -> Images:
    """Scale each array of ``[m, h, w, c]`` to values from 0 to 255; a constant one becomes 0."""
    axes = tuple(range(1, arrays.ndim))
    least, most = (edge(arrays, axis=axes, keepdims=True) for edge in (np.min, np.max))
    span = np.where(most > least, most - least, 1)
    return np.asarray(np.rint(255 * ((arrays - least) / span)), np.uint8)
