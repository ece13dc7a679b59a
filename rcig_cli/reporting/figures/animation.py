"""The distilled images as they come about: one frame a step, as a GIF."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.blocks import Box, Caption
from rcig_cli.reporting.figures.captions import fit_lines, line_height, text_width
from rcig_cli.reporting.figures.grid import draw_grid
from rcig_cli.reporting.figures.layout import MARGIN
from rcig_cli.reporting.figures.paint import (
    BACKGROUND,
    INK,
    OUTLINE,
    Images,
    Labels,
    new_canvas,
    write_caption,
)

SIZE = 15
BAR = 4
FIRST, BETWEEN, LAST = 900, 140, 3000  # milliseconds
LARGEST = 5_000_000  # bytes; a larger animation loses frames
FEW, SIDE_OF_MANY = 40, 64  # more images than these are about so many pixels high and wide
_COLOURS = 256
_INK_STEPS = 8  # between text and page
_SAMPLE = 300_000  # pixels that the palette is chosen by


def draw_animation(
    frames: Sequence[Images],
    steps: Sequence[int],
    labels: Labels,
    class_names: Sequence[str],
    *,
    count: int | None = None,
) -> bytes:
    """Draw images over the steps.

    Parameters
    ----------
    frames
        One ``[n, H, W, 1 or 3]``, ``uint8``, for each step.
    steps
        Ascending; the last is the end.
    labels
        The class of each image, ``[n]``.
    class_names
        The name of each class.
    count
        How many images there are, where only some of them are shown: this is then said.

    Returns
    -------
    bytes
        A GIF that repeats for ever and rests at its last frame; all frames have the same 256 colours.

    Raises
    ------
    ConfigError
        There is nothing to draw, or as many frames as steps there aren't.
    """
    if not frames or len(frames) != len(steps):
        raise ConfigError(f"An animation needs a step for each frame, not {len(steps)} for {len(frames)}.")
    palette = _palette(frames)
    scale = max(1, SIDE_OF_MANY // max(frames[0].shape[1:3])) if len(labels) > FEW else None
    # The bar grows as quickly as most changes: early.
    shares = np.log1p(steps) / np.log1p(steps[-1]) if steps[-1] else np.ones(len(steps))
    shown = f", {len(labels)} of {count} images" if count not in (None, len(labels)) else ""
    said = [(f"step {step} of {steps[-1]}" if step else "step 0: real images") + shown for step in steps]
    width = max(text_width(each, SIZE) for each in said)
    drawn = [
        _frame(
            draw_grid(images, labels, class_names, scale=scale),
            Caption(fit_lines(words, SIZE, width, 1), Box(0, 0, width, line_height(SIZE)), SIZE, "left"),
            float(share),
        ).quantize(palette=palette, dither=Image.Dither.NONE)
        for images, words, share in zip(frames, said, shares, strict=True)
    ]
    encoded = _encoded(drawn)
    while len(encoded) > LARGEST and len(drawn) > 2:
        fitting = max(2, int(0.95 * len(drawn) * LARGEST / len(encoded)))
        drawn = [drawn[index] for index in np.linspace(0, len(drawn) - 1, fitting).round().astype(int)]
        encoded = _encoded(drawn)
    return encoded


def _frame(grid: Image.Image, caption: Caption, share: float) -> Image.Image:
    """The grid, and below it the caption with a bar over a ``share`` of the width."""
    width = max(grid.width, caption.box.width + 2 * MARGIN)
    canvas = new_canvas(width, grid.height + line_height(SIZE) + BAR + MARGIN)
    canvas[0].paste(grid, ((width - grid.width) // 2, 0))
    write_caption(canvas, caption.moved(MARGIN, grid.height - 8))
    top, last = grid.height - 8 + caption.box.height + 4, width - MARGIN - 1
    canvas[1].rectangle((MARGIN, top, last, top + BAR - 1), fill=OUTLINE)
    canvas[1].rectangle((MARGIN, top, MARGIN + round(share * (last - MARGIN)), top + BAR - 1), fill=INK)
    return canvas[0]


def _palette(frames: Sequence[Images]) -> Image.Image:
    """The colours of the page exactly, and the best for the images of all frames."""
    page = {_between(index / (_INK_STEPS - 1)) for index in range(_INK_STEPS)} | {OUTLINE}
    pixels = np.concatenate([frame.reshape(-1, frame.shape[-1]) for frame in frames])
    pixels = pixels[:: -(-len(pixels) // _SAMPLE)]
    if pixels.shape[-1] == 1:
        chosen = _greys(_COLOURS - len(page))
    else:
        strip = Image.fromarray(np.ascontiguousarray(pixels[None]))
        found = strip.quantize(_COLOURS - len(page), method=Image.Quantize.MEDIANCUT, kmeans=2)
        chosen = np.array(found.getpalette(), np.uint8).reshape(-1, 3)[: _COLOURS - len(page)]
    colours = np.concatenate([np.array(sorted(page), np.uint8), chosen])
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.tobytes())
    return palette


def _greys(count: int) -> npt.NDArray[np.uint8]:
    return np.rint(np.linspace(0, 255, count)).astype(np.uint8).repeat(3).reshape(-1, 3)


def _between(share: float) -> tuple[int, int, int]:
    red, green, blue = (round(b + share * (i - b)) for b, i in zip(BACKGROUND, INK, strict=True))
    return red, green, blue


def _encoded(drawn: Sequence[Image.Image]) -> bytes:
    encoded = io.BytesIO()
    durations = [BETWEEN] * len(drawn)
    durations[0], durations[-1] = FIRST, LAST
    drawn[0].save(
        encoded,
        format="GIF",
        save_all=True,
        append_images=drawn[1:],
        duration=durations,
        loop=0,
        optimize=False,
        disposal=1,
    )
    return encoded.getvalue()
