"""Where everything stands on a page of images: a heading, and a block per class in a grid.

Blocks are read row by row.  Of all grids the page takes the one with the smallest

    |log(width / height)| + 4 * (share of the grid's places that stay empty),

which is near square, and gives up a little of that for full rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np

from rcig_cli.reporting.figures.blocks import (
    TILE_GAP,
    Block,
    Box,
    Caption,
    blocks_with_names_beside,
    blocks_with_names_under,
    enlargement,
)
from rcig_cli.reporting.figures.captions import drawable, fit_lines, line_height, text_width

MARGIN = 24
BLOCK_GAP = 16
TITLE_SIZE = 18
TITLE_GAP = 14
TITLE_LINES = 3
TITLE_WIDTH = 420
COST_OF_EMPTY = 4.0


@dataclass(frozen=True)
class Page:
    """A page laid out.

    Parameters
    ----------
    width, height
        In pixels.
    scale
        The whole factor by which images are enlarged.
    tiles
        Where each image stands, in the order of the images.
    captions
        The heading, where there is one, then the name of each class that has images, in the order
        of the classes.
    """

    width: int
    height: int
    scale: int
    tiles: tuple[Box, ...]
    captions: tuple[Caption, ...]


@dataclass(frozen=True)
class Grid:
    """Blocks of one size, ``columns`` of them side by side; the gaps between them in pixels."""

    blocks: Sequence[Block]
    columns: int
    gap_across: int
    gap_down: int

    @property
    def width(self) -> int:
        """The width taken, in pixels."""
        return self.columns * (self.blocks[0].width + self.gap_across) - self.gap_across

    @property
    def height(self) -> int:
        """The height taken, in pixels."""
        return self.rows * (self.blocks[0].height + self.gap_down) - self.gap_down

    @property
    def rows(self) -> int:
        """The rows of blocks, the last of which may not be full."""
        return -(-len(self.blocks) // self.columns)

    @property
    def cost(self) -> float:
        """How far from square, and how empty; see the module's docstring."""
        empty = 1 - len(self.blocks) / (self.rows * self.columns)
        return abs(log(self.width / self.height)) + COST_OF_EMPTY * empty

    def corner(self, index: int) -> tuple[int, int]:
        """Return the left and the top of a block, in pixels from the grid's corner."""
        row, column = divmod(index, self.columns)
        block = self.blocks[0]
        return column * (block.width + self.gap_across), row * (block.height + self.gap_down)


def plan_page(
    labels: Sequence[int],
    image_size: tuple[int, int],
    class_names: Sequence[str],
    *,
    title: str | None = None,
    columns: int | None = None,
    scale: int | None = None,
) -> Page:
    """Lay out images by class.

    Parameters
    ----------
    labels
        The class of each image, ``[n]``, at least one.
    image_size
        ``(height, width)`` of an image, in its own pixels.
    class_names
        The name of each class.
    title
        A heading.
    columns
        Images side by side: on the page where each class has one image, else within a class.
    scale
        The whole factor by which images are enlarged; by default one that suits their number.

    Returns
    -------
    Page
        Where everything stands.
    """
    members = {int(index): np.flatnonzero(np.equal(labels, index)) for index in np.unique(labels)}
    names = [drawable(class_names[index]) or f"class {index}" for index in members]
    counts = [len(images) for images in members.values()]
    scale = scale or enlargement(image_size, len(labels))
    tile = Box(0, 0, image_size[1] * scale, image_size[0] * scale)
    grid = _grid(names, counts, tile, columns)
    heading = _heading(drawable(title or ""), grid.width)
    return _assemble(grid, heading, list(members.values()), scale)


def _grid(names: Sequence[str], counts: Sequence[int], tile: Box, columns: int | None) -> Grid:
    if max(counts) == 1:
        blocks = blocks_with_names_under(names, tile)
        return _squarest(blocks, BLOCK_GAP, BLOCK_GAP, columns)
    blocks = blocks_with_names_beside(names, counts, tile, columns)
    one_line = blocks[0].height == tile.height
    return _squarest(blocks, 2 * BLOCK_GAP, TILE_GAP if one_line else BLOCK_GAP)


def _squarest(blocks: Sequence[Block], across: int, down: int, columns: int | None = None) -> Grid:
    choices = [min(columns, len(blocks))] if columns else range(1, len(blocks) + 1)
    return min((Grid(blocks, choice, across, down) for choice in choices), key=lambda grid: grid.cost)


def _heading(title: str, width: int) -> Caption:
    width = max(width, min(text_width(title, TITLE_SIZE), TITLE_WIDTH))
    lines = fit_lines(title, TITLE_SIZE, width, TITLE_LINES)
    return Caption(
        lines, Box(MARGIN, MARGIN, width, len(lines) * line_height(TITLE_SIZE)), TITLE_SIZE, "left"
    )


def _assemble(grid: Grid, heading: Caption, members: Sequence[np.ndarray], scale: int) -> Page:
    left = MARGIN + (heading.box.width - grid.width) // 2
    top = MARGIN + (heading.box.height + TITLE_GAP if heading.lines else 0)
    tiles: dict[int, Box] = {}
    captions = [heading] if heading.lines else []
    for index, (block, images) in enumerate(zip(grid.blocks, members, strict=True)):
        right, down = grid.corner(index)
        places = (tile.moved(left + right, top + down) for tile in block.tiles)
        tiles.update(zip(images.tolist(), places, strict=True))
        captions.append(block.caption.moved(left + right, top + down))
    return Page(
        width=heading.box.width + 2 * MARGIN,
        height=top + grid.height + MARGIN,
        scale=scale,
        tiles=tuple(tiles[image] for image in sorted(tiles)),
        captions=tuple(captions),
    )
