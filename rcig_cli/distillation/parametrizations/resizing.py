"""Resizing images by one small matrix for each of their two sides.

Pixels are areas: the centre of pixel i of n lies at (i + 1/2)/n (half-pixel centres).
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


@cache
def bilinear_matrix(size: int, new: int) -> Matrix:
    """Return the weights ``[new, size]`` that enlarge ``size`` pixels to ``new`` by linear interpolation.

    Beyond the outer centres the outer pixel is repeated, as in ``jax.image.resize(method="bilinear")``.
    """
    at = np.clip((np.arange(new) + 0.5) * size / new - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size)))


@cache
def area_matrix(size: int, new: int) -> Matrix:
    """Return the weights ``[new, size]`` that reduce ``size`` pixels to ``new``: means over areas."""
    ends, new_ends = np.arange(size + 1) / size, np.arange(new + 1) / new
    upper = np.minimum(new_ends[1:, None], ends[1:])
    lower = np.maximum(new_ends[:-1, None], ends[:-1])
    return np.maximum(0, upper - lower) * new


def resized(images: Any, rows: Matrix, columns: Matrix) -> Any:
    """Resize images ``[n, h, w, c]``, of NumPy or JAX, by ``rows [H, h]`` and ``columns [W, w]``."""
    n, height, width, channels = images.shape
    rows, columns = rows.astype(images.dtype), columns.astype(images.dtype)
    tall = (rows @ images.reshape(n, height, width * channels)).reshape(n, len(rows), width, channels)
    return columns @ tall
