"""Two distilled sets of the same data side by side: their grids, each under its run's name and settings."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from rcig_cli.reporting.figures.canvas import Heading, Images, Labels, beside, enlargement
from rcig_cli.reporting.figures.grid import draw_grid


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two sets.

    Attributes
    ----------
    heading
        The name of the run, and its description.
    images, labels
        ``[n, H, W, 1 or 3]``, ``uint8``, and the class of each, ``[n]``.
    """

    heading: Heading
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
    return beside(grids, [side.heading for side in sides])
