"""The whitening of MTT's ``--zca``, of DATM and of DD-Ranking's ``use_zca``: kornia's ``ZCAWhitening``.

They fit it, with ``eps=0.1``, to the real training images, as pixels from 0 to 1 that are not normalized by
channel.  With the mean m and the covariance X^T X / (N - 1) = U S U^T of the N flattened images, an image x
becomes

    U (S + eps)^(-1/2) U^T (x - m).

The order in which an image is flattened makes no difference.  (Source: ``kornia/enhance/zca.py``.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.errors import ConfigError

_EPS = 0.1
_MOST_VALUES = 3 * 64**2  # of an image; the covariance of larger ones would take over 1.2 GB


@dataclass(frozen=True, eq=False)
class KorniaZca:
    """The whitening fitted to the training images of a data set.

    Parameters
    ----------
    mean
        m, float64 ``[D]``, with ``D = H * W * c``.
    vectors, scale
        U, float64 ``[D, D]``, and (S + eps)^(1/2), float64 ``[D]``.
    """

    mean: npt.NDArray[np.float64]
    vectors: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @classmethod
    def fit(cls, shape: tuple[int, int, int], batches: Iterable[npt.NDArray[np.uint8]]) -> KorniaZca:
        """Fit it to training images of a shape ``(H, W, c)``, given as batches of uint8 ``[b, H, W, c]``.

        It takes some 40 D^2 bytes and O(N D^2 + D^3) operations.

        Raises
        ------
        ConfigError
            If the images are larger than 64 RGB pixels.
        """
        dimension, count = math.prod(shape), 0
        if dimension > _MOST_VALUES:
            raise ConfigError(f"--space kornia-zca supports images up to 64 x 64 pixels, not {shape[:2]}.")
        sums, products = np.zeros(dimension), np.zeros((dimension, dimension))
        for batch in batches:
            # Shifting the values by about their mean keeps the sums of float32 products accurate.
            rows = batch.reshape(len(batch), -1).astype(np.float32) / np.float32(255) - np.float32(0.5)
            sums += rows.sum(axis=0, dtype=np.float64)
            products += rows.T @ rows
            count += len(rows)
        mean = sums / count
        products -= count * np.outer(mean, mean)
        values, vectors = np.linalg.eigh(products / max(1, count - 1))
        return cls(mean + 0.5, vectors, np.sqrt(np.maximum(values, 0) + _EPS))

    def invert(self, images: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """Turn whitened images, floats ``[b, H, W, c]``, into pixels on a scale from 0 to 1, unclipped."""
        rows = (images.reshape(len(images), -1) @ self.vectors * self.scale) @ self.vectors.T + self.mean
        return rows.astype(np.float32).reshape(images.shape)
