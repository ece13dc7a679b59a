"""The block of one class: its images, enlarged, and its name, measured from the block's corner.

With one image per class the name stands under the image.  With more it stands at the left, beside
the first line of images, which are wrapped into lines of about equal length.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rcig_cli.reporting.figures.captions import fit_lines, line_height, text_width

FEW_IMAGES = 100
SIDE_OF_FEW = 96
SIDE_OF_MANY = 48
IMAGES_PER_LINE = 10
TILE_GAP = 6

NAME_SIZE = 14
NAME_GAP = 6
NAME_LINES = 2
WIDTH_UNDER = 96
WIDTH_BESIDE = 120


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels from the top left corner of what it stands in."""

    left: int
    top: int
    width: int
    height: int

    def moved(self, right: int, down: int) -> "Box":
        """Return the rectangle moved by so many pixels."""
        return replace(self, left=self.left + right, top=self.top + down)


@dataclass(frozen=True)
class Caption:
    """Lines of text in a box, one under the other, set ``align`` (left, center or right)."""

    lines: tuple[str, ...]
    box: Box
    size: int
    align: str

    def moved(self, right: int, down: int) -> "Caption":
        """Return the caption moved by so many pixels."""
        return replace(self, box=self.box.moved(right, down))


@dataclass(frozen=True)
class Block:
    """One class on the page; ``tiles`` in the order of the class's images."""

    width: int
    height: int
    tiles: tuple[Box, ...]
    caption: Caption


def enlargement(image_size: tuple[int, int], count: int) -> int:
    """Choose the whole factor by which images are shown.

    Parameters
    ----------
    image_size
        ``(height, width)``, in pixels.
    count
        Images on the page.

    Returns
    -------
    int
        At least 1.  The longer side comes near 96 pixels for up to 100 images, and to no less than
        48 for more.
    """
    side = max(image_size)
    return max(1, round(SIDE_OF_FEW / side)) if count <= FEW_IMAGES else -(-SIDE_OF_MANY // side)


def blocks_with_names_under(names: Sequence[str], tile: Box) -> list[Block]:
    """Build the blocks of classes with one image each.

    Parameters
    ----------
    names
        One a class, as the font can draw them.
    tile
        The size of an enlarged image.

    Returns
    -------
    list of Block
        All of one size.
    """
    width = max(tile.width, WIDTH_UNDER)
    texts = [fit_lines(name, NAME_SIZE, width, NAME_LINES) for name in names]
    top = tile.height + NAME_GAP
    height = top + max(map(len, texts)) * line_height(NAME_SIZE)
    tiles = (tile.moved((width - tile.width) // 2, 0),)
    boxes = [Box(0, top, width, len(lines) * line_height(NAME_SIZE)) for lines in texts]
    return [
        Block(width, height, tiles, Caption(lines, box, NAME_SIZE, "center"))
        for lines, box in zip(texts, boxes, strict=True)
    ]


def blocks_with_names_beside(
    names: Sequence[str], counts: Sequence[int], tile: Box, per_line: int | None = None
) -> list[Block]:
    """Build the blocks of classes with several images.

    Parameters
    ----------
    names
        One a class, as the font can draw them.
    counts
        Images of each class.
    tile
        The size of an enlarged image.
    per_line
        Images side by side; by default at most 10, in lines of about equal length.

    Returns
    -------
    list of Block
        All of one size, that of the class with the most images.
    """
    most = max(counts)
    per_line = min(per_line or balanced(most, IMAGES_PER_LINE), most)
    texts = [_beside(name, tile.height) for name in names]
    name_width = max(text_width(line, NAME_SIZE) for lines in texts for line in lines)
    start = name_width + 2 * NAME_GAP
    places = [_place(tile, index, per_line).moved(start, 0) for index in range(most)]
    width = start + per_line * (tile.width + TILE_GAP) - TILE_GAP
    height = max(places[-1].top + tile.height, line_height(NAME_SIZE))
    return [
        Block(width, height, tuple(places[:count]), _centred(lines, name_width, tile.height))
        for lines, count in zip(texts, counts, strict=True)
    ]


def balanced(count: int, most: int) -> int:
    """Divide ``count`` images into as few lines of at most ``most`` as it takes, about equally long."""
    lines = -(-count // most)
    return -(-count // lines)


def _beside(name: str, height: int) -> tuple[str, ...]:
    room = max(1, height // line_height(NAME_SIZE))
    return fit_lines(name, NAME_SIZE, WIDTH_BESIDE, min(room, NAME_LINES))


def _place(tile: Box, index: int, per_line: int) -> Box:
    line, column = divmod(index, per_line)
    return tile.moved(column * (tile.width + TILE_GAP), line * (tile.height + TILE_GAP))


def _centred(lines: tuple[str, ...], width: int, room: int) -> Caption:
    height = len(lines) * line_height(NAME_SIZE)
    return Caption(lines, Box(0, max(0, (room - height) // 2), width, height), NAME_SIZE, "right")
