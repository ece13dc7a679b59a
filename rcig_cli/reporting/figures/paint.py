"""What pictures share: their colours, an image enlarged in its frame, and text."""

from math import ceil

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from rcig_cli.reporting.figures.blocks import Box, Caption
from rcig_cli.reporting.figures.captions import OVERHANG, line_height, load_font, text_width

# A page of its own, so that a picture is the same on a light and on a dark page.
BACKGROUND = (244, 244, 241)
OUTLINE = (214, 214, 209)
INK = (42, 44, 48)

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]
Canvas = tuple[Image.Image, ImageDraw.ImageDraw]


def new_canvas(width: int, height: int) -> Canvas:
    """Make an empty page, ``width`` x ``height`` pixels, and what draws on it."""
    picture = Image.new("RGB", (width, height), BACKGROUND)
    return picture, ImageDraw.Draw(picture)


def paint_image(canvas: Canvas, image: Images, tile: Box) -> None:
    """Draw an image ``[H, W, 1 or 3]`` over a tile, in a thin frame around it.

    Pixels become squares where the tile is larger by a whole factor; a smaller tile averages them.
    """
    picture, draw = canvas
    small = Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])
    shrunk = tile.width < image.shape[1]
    how = Image.Resampling.BOX if shrunk else Image.Resampling.NEAREST
    frame = (tile.left - 1, tile.top - 1, tile.left + tile.width, tile.top + tile.height)
    draw.rectangle(frame, outline=OUTLINE)
    picture.paste(small.resize((tile.width, tile.height), how), (tile.left, tile.top))


def write_caption(canvas: Canvas, caption: Caption, ink: tuple[int, int, int] = INK) -> None:
    """Write lines of text into their box."""
    font = load_font(caption.size)
    anchor, share = {"left": ("la", 0.0), "center": ("ma", 0.5), "right": ("ra", 1.0)}[caption.align]
    x = caption.box.left + OVERHANG + share * (caption.box.width - 2 * OVERHANG)
    for index, line in enumerate(caption.lines):
        y = caption.box.top + index * line_height(caption.size)
        canvas[1].text((x, y), line, fill=ink, font=font, anchor=anchor)


def write_upwards(canvas: Canvas, text: str, size: int, left: int, bottom: int) -> None:
    """Write a line that reads from below to above, beginning at ``bottom``, in a column at ``left``."""
    width, height = text_width(text, size), ceil(line_height(size))
    strip = new_canvas(width, height)
    write_caption(strip, Caption((text,), Box(0, 0, width, height), size, "left"))
    canvas[0].paste(strip[0].rotate(90, expand=True), (left, bottom - width))
