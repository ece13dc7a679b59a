"""Helpers for tests of figures."""

import numpy as np

LONG = "supercalifragilisticexpialidocious golden_retriever of the Chesapeake-Bay"


def noise(count, shape=(8, 8, 3), seed=0):
    """Random images, ``[count, *shape]``."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def grey(values, size=(8, 8)):
    """Images of one grey value each, ``[len(values), *size, 1]``."""
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), *size, 1))


def named(count):
    return [f"class name {index}" for index in range(count)]


def extent(picture, colour):
    """Top, left, and number of the pixels of one colour (a grey value or RGB)."""
    places = np.argwhere((np.asarray(picture) == colour).all(axis=-1))
    return (*places.min(axis=0).tolist(), len(places))


def clear_border(picture, width):
    """Whether nothing is drawn within so many pixels of the edge."""
    pixels = np.asarray(picture).astype(int)
    inner = (slice(width, -width), slice(width, -width))
    plain = (pixels == pixels[0, 0]).all(axis=-1)
    plain[inner] = True
    return bool(plain.all())
