"""One image file, read by Pillow: its kind and size from the header, its pixels as uint8.

Orientation marks are applied, animations give their first frame, transparency is laid over white,
16-bit grey is scaled to 8 bits, and palettes, CMYK and the like become RGB.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from rcig_cli.data.pixels import over_white, to_eight_bit
from rcig_cli.errors import ConfigError, Corrupt, RcigError

_GREY_MODES = {"1", "L", "LA", "La", "I", "F"}

# These need another program or a handler to be drawn, and are no photographs.
_NOT_PICTURES = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}


@dataclass(frozen=True)
class Header:
    """What an image file says about itself.

    Parameters
    ----------
    grey
        Whether it has no colours.
    size
        ``(short, long)`` side in pixels, whichever way it is turned.
    """

    grey: bool
    size: tuple[int, int]


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Give the endings, in lower case and with the dot, of files that count as images."""
    known = Image.registered_extensions()
    readable = set(Image.OPEN) - _NOT_PICTURES
    return frozenset(suffix for suffix, kind in known.items() if kind in readable)


def read_header(path: Path, content: bytes | None = None) -> Header:
    """Read the header of an image file, and none of its pixels.

    Parameters
    ----------
    path
        The file.
    content
        Its bytes, where they aren't in a file of their own; ``path`` then only names them in errors.

    Returns
    -------
    Header
        Its colour and size; an image with a palette counts as coloured.

    Raises
    ------
    Corrupt
        If it is damaged or no image.
    ConfigError
        If it is so large that it must be an attack or a mistake.
    RcigError
        If the system doesn't let it be read.
    """
    with _opened(path, content) as image:
        grey = image.mode in _GREY_MODES or image.mode.startswith("I;16")
        return Header(grey, (min(image.size), max(image.size)))


def read_picture(path: Path, grey: bool, content: bytes | None = None) -> npt.NDArray[np.uint8]:
    """Read the pixels of an image file.

    Parameters
    ----------
    path
        The file.
    grey
        Whether to give one channel rather than RGB.
    content
        As ``read_header``.

    Returns
    -------
    ndarray
        uint8 ``[H, W, 1]`` or ``[H, W, 3]``.

    Raises
    ------
    Corrupt, ConfigError, RcigError
        As ``read_header``; ConfigError too if its pixels are floats or of more than 16 bits.
    """
    with _opened(path, content) as image:
        upright = ImageOps.exif_transpose(image)
        flat = _flatten(upright, path).convert("L" if grey else "RGB")
        pixels = np.asarray(flat)
    return pixels[..., None] if grey else pixels


@contextmanager
def _opened(path: Path, content: bytes | None) -> Iterator[Image.Image]:
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            # Pillow only warns, and a filter of warnings is the whole process's: no matter for a thread.
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0):
                raise Image.DecompressionBombError
            yield image
    except RcigError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ConfigError(f"{path} is too large an image to be opened safely: make it smaller.") from error
    # On damaged files Pillow's parsers let out errors of almost any kind.
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise RcigError(f"{path} can't be read: {error.strerror}.") from error
        raise Corrupt(f"{path} is damaged or no image: replace or remove it.") from error


def _flatten(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "F":
        raise ConfigError(f"{path} has floats for pixels: save it with 8 or 16 bits.")
    if image.mode.startswith("I"):
        return _eight_bit(image, path)
    if image.has_transparency_data:
        return Image.fromarray(over_white(np.asarray(image.convert("RGBA"))))
    return image


def _eight_bit(image: Image.Image, path: Path) -> Image.Image:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ConfigError(f"{path} has pixels of more than 16 bits: save it with 8 or 16 bits.")
    return Image.fromarray(to_eight_bit(values, 1 / 257))
