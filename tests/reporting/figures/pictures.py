"""What tests of pictures share."""

import io

import numpy as np
from PIL import Image


def noise(count, shape=(8, 8, 3), seed=0):
    """Random images, ``[count, *shape]``."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def opened(encoded):
    """The pixels of a PNG, ``[H, W, 3]``."""
    with Image.open(io.BytesIO(encoded)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def clear_border(pixels, width):
    """Whether nothing is drawn within so many pixels of the edge."""
    pixels = np.asarray(pixels).astype(int)
    plain = (pixels == pixels[0, 0]).all(axis=-1)
    return bool(
        plain[:width].all() and plain[-width:].all() and plain[:, :width].all() and plain[:, -width:].all()
    )
