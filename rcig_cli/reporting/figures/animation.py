"""The distilled images in the course of the distillation, as a GIF with one frame for each step."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from rcig_cli.reporting.figures.canvas import (
    BACKGROUND,
    INK,
    MARGIN,
    OUTLINE,
    Canvas,
    Heading,
    Images,
    Labels,
    line_height,
    text_width,
    with_heading,
)
from rcig_cli.reporting.figures.grid import draw_grid

FIRST, BETWEEN, LAST = 900, 140, 3000  # milliseconds that a frame is shown
LARGEST = 5_000_000  # bytes; frames are left out of a larger animation
_SIZE, _BAR = 28, 8  # height of the text and of the bar, in pixels
_FEW, _SIDE_OF_MANY = 40, 128  # more images than 40 are drawn about 128 pixels wide
_COLOURS = 256
_INK_STEPS = 8  # colours between text and page
_SAMPLE = 300_000  # pixels from which the palette is chosen


def draw_animation(
    frames: Sequence[Images],
    steps: Sequence[int],
    labels: Labels,
    class_names: Sequence[str],
    *,
    heading: Heading | None = None,
    count: int | None = None,
) -> bytes:
    """Draw images over the outer steps, with a bar below that grows in proportion to the step.

    Parameters
    ----------
    frames
        One ``[n, H, W, 1 or 3]``, ``uint8``, for each step; at least one.
    steps
        The outer step of each frame, ascending.
    labels
        The class of each image, ``[n]``.
    class_names
        The name of each class.
    heading
        What is written above the images.
    count
        The total number of images, if ``frames`` has only some of them; both numbers are then shown.

    Returns
    -------
    bytes
        A GIF that repeats for ever and pauses at its last frame.  All frames have the same 256 colours.
    """
    assert frames
    palette = _palette(frames)
    scale = max(1, _SIDE_OF_MANY // max(frames[0].shape[1:3])) if len(labels) > _FEW else None
    shown = f", {len(labels)} of {count} images" if count not in (None, len(labels)) else ""
    texts = [f"step {step} of {steps[-1]}{shown}" for step in steps]
    text_column = max(text_width(text, _SIZE) for text in texts)
    drawn = []
    for images, text, step in zip(frames, texts, steps, strict=True):
        grid = draw_grid(images, labels, class_names, scale=scale)
        fraction = step / steps[-1] if steps[-1] else 1.0
        frame = with_heading(_with_bar(grid, text, fraction, text_column + 2 * MARGIN), heading)
        drawn.append(frame.quantize(palette=palette, dither=Image.Dither.NONE))
    encoded = _encode(drawn)
    while len(encoded) > LARGEST and len(drawn) > 2:
        fitting = max(2, int(0.95 * len(drawn) * LARGEST / len(encoded)))
        drawn = [drawn[index] for index in np.linspace(0, len(drawn) - 1, fitting).round().astype(int)]
        encoded = _encode(drawn)
    return encoded


def _with_bar(grid: Image.Image, text: str, fraction: float, least_width: int) -> Image.Image:
    """The grid, with a text and a bar over a fraction of the width below it."""
    width, height = max(grid.width, least_width), line_height(_SIZE)
    canvas = Canvas(width, grid.height + height + _BAR + MARGIN)
    canvas.paste(grid, (width - grid.width) // 2, 0)
    top = grid.height - MARGIN // 3
    canvas.text([text], _SIZE, MARGIN, top, width - 2 * MARGIN)
    top, right = top + height + 8, width - MARGIN - 1
    reached = MARGIN + round(fraction * (right - MARGIN))
    canvas.draw.rectangle((MARGIN, top, right, top + _BAR - 1), fill=OUTLINE)
    canvas.draw.rectangle((MARGIN, top, reached, top + _BAR - 1), fill=INK)
    return canvas.picture


def _palette(frames: Sequence[Images]) -> Image.Image:
    """A palette with the exact colours of the page and the best ones for the images of all frames."""
    ink, page = np.array(INK), np.array(BACKGROUND)
    between = np.rint(page + np.linspace(0, 1, _INK_STEPS)[:, None] * (ink - page))
    fixed = np.concatenate([between, [OUTLINE]]).astype(np.uint8)
    free = _COLOURS - len(fixed)
    pixels = np.concatenate([frame.reshape(-1, frame.shape[-1]) for frame in frames])
    pixels = pixels[:: -(-len(pixels) // _SAMPLE)]
    if pixels.shape[-1] == 1:
        chosen = np.rint(np.linspace(0, 255, free)).astype(np.uint8)[:, None].repeat(3, axis=1)
    else:
        strip = Image.fromarray(np.ascontiguousarray(pixels[None]))
        found = strip.quantize(free, method=Image.Quantize.MEDIANCUT, kmeans=2)
        chosen = np.array(found.getpalette(), np.uint8).reshape(-1, 3)[:free]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([fixed, chosen]).tobytes())
    return palette


def _encode(drawn: Sequence[Image.Image]) -> bytes:
    encoded = io.BytesIO()
    durations = [FIRST, *[BETWEEN] * (len(drawn) - 2), LAST] if len(drawn) > 1 else [LAST]
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
