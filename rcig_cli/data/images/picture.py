"""Read one image file with Pillow: colour and size from its header, its pixels as uint8.

The EXIF orientation is applied, animations give their first frame, transparency is composited over white,
16-bit grey is scaled to 8 bits, and palettes, CMYK and other modes become RGB.  Only raster formats are
enabled: none of them starts another program or opens other files.  An image takes some 16 bytes of memory
a pixel while it is decoded; `MOST_PIXELS` bounds it.
"""

from __future__ import annotations

import functools
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from rcig_cli.data.files import open_file
from rcig_cli.data.images.pixels import over_white, to_eight_bit, to_square
from rcig_cli.errors import ConfigError, Corrupt, RcigError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
"""Pillow's names of the formats that are read."""

MOST_PIXELS = 2**26
"""Largest image that is read: 8192 x 8192 pixels, or as many in another shape."""

_LARGEST_FILE = 2**28
_GREY_MODES = {"1", "L", "LA", "La", "I", "F"}
_TILE_SIDES = (322, 323)  # TIFF tags: width and height of a tile, which is decoded whole

# Errors report damaged files; Pillow's log lines would only repeat them.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Header:
    """Properties of an image, from its header.

    Parameters
    ----------
    grey
        Whether it is grey; an image with a palette counts as coloured.
    size
        ``(short, long)`` side in pixels.
    """

    grey: bool
    size: tuple[int, int]


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Return the file name suffixes of images, in lower case and with the dot."""
    known = Image.registered_extensions()
    return frozenset(suffix for suffix, kind in known.items() if kind in _formats())


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this build of Pillow supports."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def read_header(path: Path, content: bytes | None = None) -> Header:
    """Read the header of an image file, and none of its pixels.

    Parameters
    ----------
    path
        The file.
    content
        Its bytes, if the image is not a separate file; ``path`` is then used in errors only.

    Raises
    ------
    Corrupt
        If it is damaged or no image.
    ConfigError
        If it has more than `MOST_PIXELS` pixels, its file is too large, or it is not a regular file.
    RcigError
        If the system refuses to read it.
    """
    with _opened(path, content) as image:
        grey = image.mode in _GREY_MODES or image.mode.startswith("I;16")
        return Header(grey, (min(image.size), max(image.size)))


def read_picture(
    path: Path, grey: bool, content: bytes | None = None, *, side: int | None = None
) -> npt.NDArray[np.uint8]:
    """Read the pixels of an image file; parameters and errors as in `read_header`.

    Parameters
    ----------
    grey
        Whether to return one channel instead of RGB.
    side
        Crop the central square and resize it to this many pixels; None keeps the whole image.

    Returns
    -------
    ndarray
        uint8 ``[H, W, 1]`` or ``[H, W, 3]``.

    Raises
    ------
    ConfigError
        If the pixels are floats or have more than 16 bits.
    """
    with _opened(path, content) as image:
        ImageOps.exif_transpose(image, in_place=True)
        pixels = np.asarray(_flatten(image, path).convert("L" if grey else "RGB"))
        pixels = pixels[..., None] if grey else pixels
        return pixels if side is None else to_square(pixels[None], side)[0]


@contextmanager
def _opened(path: Path, content: bytes | None) -> Iterator[Image.Image]:
    with open_file(path, most=_LARGEST_FILE) if content is None else io.BytesIO(content) as stream:
        try:
            with Image.open(stream, formats=_formats()) as image:
                if image.width * image.height > MOST_PIXELS or _tile_pixels(image) > MOST_PIXELS:
                    raise Image.DecompressionBombError
                yield image
        except RcigError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ConfigError(
                f"{path} is too large: images of at most {MOST_PIXELS} pixels are read. Make it smaller."
            ) from error
        except Exception as error:  # Pillow's parsers raise errors of almost any kind on damaged files
            if isinstance(error, OSError) and error.errno:
                raise
            raise Corrupt(f"{path} is damaged or not an image: replace or remove it.") from error


def _tile_pixels(image: Image.Image) -> int:
    """Size of the pieces in which a TIFF is decoded, which may exceed the image."""
    if image.format != "TIFF":
        return 0
    width, height = (int(image.tag_v2.get(tag, 1)) for tag in _TILE_SIDES)  # type: ignore[attr-defined]
    return width * height


def _flatten(image: Image.Image, path: Path) -> Image.Image:
    """Convert the modes that Pillow's ``convert`` gets wrong: it clips 16-bit grey and drops transparency."""
    if image.mode == "F":
        raise ConfigError(f"{path} has floating-point pixels: save it with 8 or 16 bits.")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
            raise ConfigError(f"{path} has pixels of more than 16 bits: save it with 8 or 16 bits.")
        return Image.fromarray(to_eight_bit(values, 1 / 257))
    if image.has_transparency_data:
        return Image.fromarray(over_white(np.asarray(image.convert("RGBA"))))
    return image
