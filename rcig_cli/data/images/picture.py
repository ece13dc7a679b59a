"""Read one image file with Pillow: colour and size from its header, its pixels as uint8.

The EXIF orientation is applied, animations give their first frame, transparency is composited over white,
and palettes, CMYK and other modes become RGB.  Grey values of more than 8 bits are scaled linearly so that
given values become black and white.  Only raster formats are enabled: none of them starts another program or
opens other files.  An image takes some 16 bytes of memory a pixel while it is decoded; `MOST_PIXELS` bounds
it.
"""

from __future__ import annotations

import functools
import io
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from rcig_cli.data.files import open_file
from rcig_cli.data.images.pixels import Limits, over_white, scaled, to_square
from rcig_cli.errors import ConfigError, Corrupt, RcigError

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
"""Pillow's names of the formats that are read."""

_WITH_FRAMES = {"AVIF", "GIF", "PNG", "TIFF", "WEBP"}

MOST_PIXELS = 2**26
"""Largest image that is read: 8192 x 8192 pixels, or as many in another shape."""

_LARGEST_FILE = 2**28
_GREY_MODES = {"1", "L", "LA", "La", "I", "F"}
_EIGHT_BITS = 2**8 - 1
_SIXTEEN_BITS: Limits = (0, 2**16 - 1)

# TIFF tags, and values of theirs.
_TILE_SIDES = (322, 323)  # width and height of a tile, which is decoded whole
_BITS, _PHOTOMETRIC, _CHANNELS, _SAMPLE_FORMAT = 258, 262, 277, 339
_WHITE_IS_ZERO, _SIGNED = 0, 2

_SIGNATURES = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|....ftypavi[fs]"
    rb"|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51|II[*+]\0|MM\0[*+]"
    rb"|P[1-6f]\s\s*[#\d]|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    re.DOTALL,
)
SIGNATURE_BYTES = 32
"""Number of first bytes that `has_signature` needs."""

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
    deep
        Whether its values are grey and have more than 8 bits.
    cut
        Whether it has 16 bits a channel of which Pillow reads the upper 8.
    frames
        Whether it has more than one frame or page.
    alpha
        Whether it has transparency.
    """

    grey: bool
    size: tuple[int, int]
    deep: bool = False
    cut: bool = False
    frames: bool = False
    alpha: bool = False


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


def has_signature(beginning: bytes) -> bool:
    """Whether the first `SIGNATURE_BYTES` of a file are those of an image; TGA files have no signature."""
    return _SIGNATURES.match(beginning) is not None


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
        If it has more than `MOST_PIXELS` pixels, its file is too large, it is not a regular file, or it is a
        TIFF, PGM or PPM file of a kind that Pillow reads wrongly.
    RcigError
        If the system refuses to read it.
    """
    with _opened(path, content) as image:
        wide = _is_wide(image)
        return Header(
            grey=wide or image.mode in _GREY_MODES,
            size=(min(image.size), max(image.size)),
            deep=wide,
            cut=not wide and _is_cut(image),
            frames=image.format in _WITH_FRAMES and _has_frames(image),
            alpha=not wide and image.has_transparency_data,
        )


def read_picture(
    path: Path,
    grey: bool,
    content: bytes | None = None,
    *,
    side: int | None = None,
    limits: Limits | None = None,
) -> npt.NDArray[np.uint8]:
    """Read the pixels of an image file; parameters and errors as in `read_header`.

    Parameters
    ----------
    grey
        Whether to return one channel instead of RGB.
    side
        Crop the central square and resize it to this many pixels; None keeps the whole image.
    limits
        The values that become 0 and 255; by default 0 and the largest one of 16 bits in a deep image, and of
        8 bits in others.

    Returns
    -------
    ndarray
        uint8 ``[H, W, 1]`` or ``[H, W, 3]``.

    Raises
    ------
    ConfigError
        If the pixels aren't finite; or if there are no ``limits``, and they are floats, negative, or have
        more than 16 bits.
    """
    with _opened(path, content) as image:
        wide = _is_wide(image)
        ImageOps.exif_transpose(image, in_place=True)
        flat = Image.fromarray(_to_eight_bit(image, path, limits)) if wide else _flatten(image)
        pixels = np.asarray(flat.convert("L" if grey else "RGB"))
        if limits is not None and not wide:
            pixels = scaled(np.arange(256), limits)[pixels]
        pixels = pixels[..., None] if grey else pixels
        return pixels if side is None else to_square(pixels[None], side)[0]


@contextmanager
def _opened(path: Path, content: bytes | None) -> Iterator[Image.Image]:
    with open_file(path, most=_LARGEST_FILE) if content is None else io.BytesIO(content) as stream:
        try:
            with Image.open(stream, formats=_formats()) as image:
                if image.width * image.height > MOST_PIXELS or _tile_pixels(image) > MOST_PIXELS:
                    raise Image.DecompressionBombError
                _check_kind(image, path)
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
    width, height = (int(_tags(image).get(tag, 1)) for tag in _TILE_SIDES)
    return width * height


def _tags(image: Image.Image) -> Mapping[int, Any]:
    """The tags of a TIFF file; none of another."""
    return image.tag_v2 if image.format == "TIFF" else {}  # type: ignore[attr-defined]


def _check_kind(image: Image.Image, path: Path) -> None:
    """Refuse files whose values Pillow reads as others, and TIFF files with channels that it drops."""
    if image.format == "PPM" and _EIGHT_BITS < (white := _ppm_white(image)) < _SIXTEEN_BITS[1]:
        raise ConfigError(
            f"{path} is a PGM or PPM file in which {white} is white: save it as PNG, or with 255 or 65535 "
            "for white."
        )
    tags = _tags(image)
    if (
        (_is_wide(image) and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
        or (tags.get(_BITS) == (8,) and _SIGNED in tags.get(_SAMPLE_FORMAT, ()))
        or tags.get(_CHANNELS, 1) > len(image.getbands())
    ):
        raise ConfigError(
            f"{path} is a TIFF file of an unsupported kind: save it as PNG, or with unsigned values, 0 for "
            "black, and grey, RGB or RGBA channels."
        )


def _is_wide(image: Image.Image) -> bool:
    """Whether its values are grey and have more than 8 bits in memory."""
    return image.mode == "F" or image.mode.startswith("I")


def _is_cut(image: Image.Image) -> bool:
    """Whether Pillow reads only the upper 8 bits of each channel."""
    args = _tile_args(image)
    if image.format == "PPM":
        return _ppm_white(image) == _SIXTEEN_BITS[1]
    return bool(args) and isinstance(args[0], str) and ";16" in args[0]


def _ppm_white(image: Image.Image) -> int:
    """The value of white in a PGM or PPM file, or 0 if Pillow doesn't need it."""
    args = _tile_args(image)
    return int(args[1]) if len(args) > 1 else 0


def _tile_args(image: Image.Image) -> tuple[Any, ...]:
    """What Pillow tells its decoder about the values in the file; known until the image is loaded."""
    args = tiles[0].args if (tiles := getattr(image, "tile", None)) else ()
    return args if isinstance(args, tuple) else (args,)


def _has_frames(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # the second frame is damaged, and is not used
        return True


def _to_eight_bit(image: Image.Image, path: Path, limits: Limits | None) -> npt.NDArray[np.uint8]:
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ConfigError(f"{path} has pixels that are not finite: correct or remove it.")
    if limits is None:
        if image.mode == "F":
            raise ConfigError(f"{path} has floating-point pixels: save it with 8 or 16 bits.")
        if values.min() < 0 or values.max() > _SIXTEEN_BITS[1]:
            raise ConfigError(f"{path} has pixels of more than 16 bits: save it with 8 or 16 bits.")
        limits = _SIXTEEN_BITS
    return scaled(values, limits)


def _flatten(image: Image.Image) -> Image.Image:
    """Composite transparency, which Pillow's ``convert`` drops, over white."""
    if image.has_transparency_data:
        return Image.fromarray(over_white(np.asarray(image.convert("RGBA"))))
    return image
