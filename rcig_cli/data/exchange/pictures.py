"""The pictures of a set: decoded one by one once their headers say the right size, and encoded as PNG."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.data.exchange.foreign import Target
from rcig_cli.data.images.picture import read_header, read_picture
from rcig_cli.errors import ConfigError


def read_pictures(pictures: Iterable[tuple[Path, bytes | None]], target: Target) -> npt.NDArray[np.uint8]:
    """Decode pictures.

    Parameters
    ----------
    pictures
        Path, and content where that isn't a file of its own.
    target
        Whose images they must be alike in size.

    Returns
    -------
    ndarray
        uint8 ``[n, H, W, c]``.

    Raises
    ------
    ConfigError
        If one has another size.
    Corrupt, RcigError
        As `read_header`.
    """
    return np.stack([_read(path, content, target) for path, content in pictures])


def _read(path: Path, content: bytes | None, target: Target) -> npt.NDArray[np.uint8]:
    height, width, channels = target.shape
    short, long = read_header(path, content).size
    if (short, long) != (min(height, width), max(height, width)):
        raise ConfigError(
            f"{path} is a picture of {short} x {long} pixels, and the images of {target.name} have "
            f"{height} x {width}: import the set for the data set it was made from."
        )
    return read_picture(path, channels == 1, content)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode an image, uint8 ``[H, W, 1 or 3]``."""
    encoded = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(encoded, format="PNG")
    return encoded.getvalue()
