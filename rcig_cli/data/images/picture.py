"""One image file, read by Pillow: its kind and size from the header, its pixels as uint8.

Orientation marks are applied, animations give their first frame, transparency is laid over white,
16-bit grey is scaled to 8 bits, and palettes, CMYK and the like become RGB.

Only formats of photographs are read, none that needs another program or opens other files.  However many
threads decode at once, they hold ``MOST_PIXELS`` pixels together, and some 16 bytes for each.
"""

from __future__ import annotations

import functools
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from rcig_cli.data.images.pixels import over_white, to_eight_bit, to_square
from rcig_cli.data.images.quiet import hush_pillow
from rcig_cli.data.layouts.regular import open_regular
from rcig_cli.errors import ConfigError, Corrupt, RcigError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
"""What is read, as Pillow calls it."""

MOST_PIXELS = 2**26
"""Of an image, and of all that are being decoded: 8192 x 8192."""

_LARGEST_FILE = 2**28
_GREY_MODES = {"1", "L", "LA", "La", "I", "F"}
_TILE = (322, 323)  # tags of a TIFF: width and height of what it is decoded by


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
    return frozenset(suffix for suffix, kind in known.items() if kind in _readable())


@functools.cache
def _readable() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(form for form in FORMATS if form in Image.OPEN)


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


def read_picture(
    path: Path, grey: bool, content: bytes | None = None, *, side: int | None = None
) -> npt.NDArray[np.uint8]:
    """Read the pixels of an image file.

    Parameters
    ----------
    path
        The file.
    grey
        Whether to give one channel rather than RGB.
    content
        As ``read_header``.
    side
        Pixels to which its central square is brought; without it the image stays whole.

    Returns
    -------
    ndarray
        uint8 ``[H, W, 1]`` or ``[H, W, 3]``.

    Raises
    ------
    Corrupt, ConfigError, RcigError
        As ``read_header``; ConfigError too if its pixels are floats or of more than 16 bits.
    """
    with _opened(path, content) as image, _ROOM.taking(image.width * image.height):
        ImageOps.exif_transpose(image, in_place=True)
        pixels = np.asarray(_flatten(image, path).convert("L" if grey else "RGB"))
        pixels = pixels[..., None] if grey else pixels
        return pixels if side is None else to_square(pixels[None], side)[0]


class _Room:
    """Lets threads in while what they take together is no more than ``most``."""

    def __init__(self, most: int) -> None:
        self._left, self._changed = most, threading.Condition()

    @contextmanager
    def taking(self, amount: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify_all()


_ROOM = _Room(MOST_PIXELS)


@contextmanager
def _opened(path: Path, content: bytes | None) -> Iterator[Image.Image]:
    hush_pillow()
    try:
        with _stream(path, content) as stream, Image.open(stream, formats=_readable()) as image:
            # Pillow only warns, and a filter of warnings is the whole process's: no matter for a thread.
            if image.width * image.height > min(MOST_PIXELS, Image.MAX_IMAGE_PIXELS or 0):
                raise Image.DecompressionBombError
            _check_tile(image)
            yield image
    except RcigError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ConfigError(
            f"{path} is too large an image to be opened safely: make it smaller than {MOST_PIXELS} pixels."
        ) from error
    # On damaged files Pillow's parsers let out errors of almost any kind.
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise RcigError(f"{path} can't be read: {error.strerror}.") from error
        raise Corrupt(f"{path} is damaged or no image: replace or remove it.") from error


def _stream(path: Path, content: bytes | None) -> BinaryIO:
    if content is not None:
        return io.BytesIO(content)
    stream = open_regular(path)
    if os.fstat(stream.fileno()).st_size > _LARGEST_FILE:
        stream.close()
        raise ConfigError(f"{path} is too large: picture files of at most {_LARGEST_FILE} bytes are read.")
    return stream


def _check_tile(image: Image.Image) -> None:
    """Refuse a small TIFF that is decoded by huge pieces."""
    if image.format == "TIFF":
        width, height = (int(image.tag_v2.get(tag, 1)) for tag in _TILE)  # type: ignore[attr-defined]
        if width * height > MOST_PIXELS:
            raise Image.DecompressionBombError


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
