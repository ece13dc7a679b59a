"""Sums over training images from which means and a covariance follow, gathered in one pass.

With q = p - 128 for a pixel p, the sums are of q and of q q^T.  They are exact: 1024 products of
numbers no larger than 128 add up to at most 2^24, which float32 holds without rounding, so products may
be formed in float32, at twice the speed, and are added up in float64.

An image whose side is above 64 pixels counts as k x k sub-images ("tiles") of every k-th pixel, with k
the smallest that divides the side and leaves at most 64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rcig_cli.errors import ConfigError

_Real = TypeVar("_Real", bound=np.generic)

_SHIFT = 128
_EXACT_ROWS = 1024
_LARGEST_TILE = 64
_SMALLEST_TILE = 16


def tile_side(side: int) -> int:
    """Give the side of the sub-images that images of ``side`` pixels are whitened in.

    Raises
    ------
    ConfigError
        If the side is above 64 and no number from 16 to 64 divides it.
    """
    if side <= _LARGEST_TILE:
        return side
    for tile in range(_LARGEST_TILE, _SMALLEST_TILE - 1, -1):
        if side % tile == 0:
            return tile
    raise ConfigError(
        f"Images of {side} x {side} pixels can't be whitened: choose --resolution 64 or 128, or --no-zca."
    )


def to_tiles(images: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """Take images apart into sub-images of every k-th pixel.

    Parameters
    ----------
    images
        ``[b, H, W, c]``.

    Returns
    -------
    ndarray
        ``[b, k, k, H/k, W/k, c]``; ``k`` is 1 up to a side of 64.
    """
    count, side, _, channels = images.shape
    tile = tile_side(side)
    steps = side // tile
    split = images.reshape(count, tile, steps, tile, steps, channels)
    return split.transpose(0, 2, 4, 1, 3, 5)


def from_tiles(tiles: npt.NDArray[_Real]) -> npt.NDArray[_Real]:
    """Undo ``to_tiles``."""
    count, steps, _, tile, _, channels = tiles.shape
    joined = tiles.transpose(0, 3, 1, 4, 2, 5)
    return joined.reshape(count, steps * tile, steps * tile, channels)


@dataclass(eq=False)
class Moments:
    """Sums over the images seen so far.

    Parameters
    ----------
    shape
        ``(H, W, c)`` of the images.
    products
        Whether to gather all products of two pixels, or squares only.
    """

    shape: tuple[int, int, int]
    products: bool
    count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        side, _, channels = self.shape
        tile = tile_side(side) if self.products else side
        self._tiles = (side // tile) ** 2
        self._sums = np.zeros(self.shape, dtype=np.int64)
        self._squares = np.zeros(self.shape, dtype=np.int64)
        dimension = tile * tile * channels if self.products else 0
        self._products = np.zeros((dimension, dimension))

    @property
    def rows(self) -> int:
        """How many vectors the covariance is made of: images times tiles."""
        return self.count * self._tiles

    def add(self, images: npt.NDArray[np.uint8]) -> None:
        """Add images, uint8 ``[b, H, W, c]``, with at most 1024 tiles in all."""
        shifted = images.astype(np.int32) - _SHIFT
        self.count += len(images)
        self._sums += shifted.sum(axis=0, dtype=np.int64)
        if self.products:
            rows = to_tiles(shifted).astype(np.float32).reshape(-1, len(self._products))
            self._products += rows.T @ rows
        else:
            self._squares += np.square(shifted).sum(axis=0, dtype=np.int64)

    def mean(self) -> npt.NDArray[np.float64]:
        """Give the mean image, ``[H, W, c]``, pixels from 0 to 255."""
        mean: npt.NDArray[np.float64] = self._sums / self.count + _SHIFT
        return mean

    def channel_mean(self) -> npt.NDArray[np.float64]:
        """Give the mean of each channel, ``[c]``, for pixels between 0 and 1."""
        mean: npt.NDArray[np.float64] = self.mean().mean(axis=(0, 1)) / 255
        return mean

    def channel_std(self) -> npt.NDArray[np.float64]:
        """Give the deviation of each channel, ``[c]``, for pixels between 0 and 1."""
        channels = self.shape[2]
        squares = np.diag(self._products) if self.products else self._squares
        per_channel = squares.reshape(-1, channels).sum(axis=0)
        mean_square = per_channel / (self.count * self.shape[0] * self.shape[1])
        shifted_mean = self.channel_mean() * 255 - _SHIFT
        std: npt.NDArray[np.float64] = np.sqrt(np.maximum(mean_square - shifted_mean**2, 0)) / 255
        return std

    def covariance(self) -> npt.NDArray[np.float64]:
        """Give the covariance of the pixels of a tile, ``[D, D]``, pixels from 0 to 255.

        It is that of all images, divided by their number, and averaged over the tiles.
        """
        tile_means = to_tiles((self.mean() - _SHIFT)[None]).reshape(self._tiles, -1)
        covariance = self._products / self.rows
        covariance -= tile_means.T @ tile_means / self._tiles
        return covariance


def gather(batches: Iterable[npt.NDArray[np.uint8]], *, products: bool) -> Moments:
    """Add up all images.

    Parameters
    ----------
    batches
        uint8 ``[b, H, W, c]``, of any batch sizes.
    products
        Whether a covariance is wanted.

    Returns
    -------
    Moments
        The sums.

    Raises
    ------
    ConfigError
        If there is no image, or the image size can't be whitened.
    """
    moments: Moments | None = None
    for block in _blocks(batches, products):
        moments = moments or Moments(block.shape[1:], products)
        moments.add(block)
    if moments is None:
        raise ConfigError("There are no training images to measure: check the data set.")
    return moments


def _blocks(batches: Iterable[npt.NDArray[np.uint8]], products: bool) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield as many images at a time as keep the sums exact: fewer additions of D x D numbers."""
    held: list[npt.NDArray[np.uint8]] = []
    for batch in batches:
        held.append(batch)
        limit = _block_size(batch.shape[1], products)
        while sum(map(len, held)) >= limit:
            joined = np.concatenate(held)
            yield joined[:limit]
            held = [joined[limit:]]
    if sum(map(len, held)):
        yield np.concatenate(held)


def _block_size(side: int, products: bool) -> int:
    tiles = (side // tile_side(side)) ** 2 if products else 1
    return max(1, _EXACT_ROWS // tiles)
