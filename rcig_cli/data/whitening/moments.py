"""Sums over training images from which means and a covariance follow, gathered in one pass.

With q = p - 128 for a pixel p, the sums are of q and of q q^T.  They are exact: 1024 products of
numbers no larger than 128 add up to at most 2^24, which float32 holds without rounding, so products may
be formed in float32, at twice the speed, and are added up in float64.  So neither the order of images nor
how they are grouped changes a bit of them, and they may be stored half-way and taken up again.

An image whose side is above 64 pixels counts as k x k sub-images ("tiles") of every k-th pixel, with k
the smallest that divides the side and leaves at most 64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from rcig_cli.errors import ConfigError, Corrupt

_Real = TypeVar("_Real", bound=np.generic)

_SHIFT = 128
_EXACT_ROWS = 1024
_LARGEST_TILE = 64
_SMALLEST_TILE = 16
_PANEL = 1024  # rows of a D x D matrix at a time: what is computed on the way to it stays small
_BLOCK_BYTES = 2**26  # of float32 rows, so that large images don't take more memory than small ones


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


def panels(dimension: int) -> Iterator[slice]:
    """Yield the rows of a large matrix, some at a time."""
    for start in range(0, dimension, _PANEL):
        yield slice(start, min(start + _PANEL, dimension))


def block_size(shape: tuple[int, int, int], *, products: bool) -> int:
    """Give the most images that `Moments.add` takes at a time: as many as keep the sums exact."""
    side, _, channels = shape
    tiles = (side // tile_side(side)) ** 2 if products else 1
    return max(1, min(_EXACT_ROWS // tiles, _BLOCK_BYTES // (side * side * channels * 4)))


@dataclass(frozen=True, eq=False)
class Block:
    """What some images add to the sums: all but the products.

    Parameters
    ----------
    count
        How many images.
    sums, squares
        int64 ``[H, W, c]``; the squares only where no products are wanted.
    rows
        float32 ``[count * tiles, D]``, where products are wanted.
    """

    count: int
    sums: npt.NDArray[np.int64]
    squares: npt.NDArray[np.int64] | None
    rows: npt.NDArray[np.float32] | None


def block_of(images: npt.NDArray[np.uint8], *, products: bool) -> Block:
    """Compute what images, uint8 ``[b, H, W, c]``, add to the sums."""
    sums = images.sum(axis=0, dtype=np.int64) - _SHIFT * len(images)
    if not products:
        squares = np.square(images.astype(np.int32) - _SHIFT).sum(axis=0, dtype=np.int64)
        return Block(len(images), sums, squares, None)
    tile = tile_side(images.shape[1])
    rows = to_tiles(images).reshape(-1, tile * tile * images.shape[3]).astype(np.float32)
    rows -= _SHIFT
    return Block(len(images), sums, None, rows)


class Moments:
    """Sums over the images seen so far.

    Parameters
    ----------
    shape
        ``(H, W, c)`` of the images.
    products
        Whether to gather all products of two pixels, or squares only.
    """

    def __init__(self, shape: tuple[int, int, int], products: bool) -> None:
        self.shape, self.products, self.count = shape, products, 0
        side, _, channels = shape
        tile = tile_side(side) if products else side
        self._tiles = (side // tile) ** 2
        self._sums = np.zeros(shape, dtype=np.int64)
        self._squares = np.zeros(shape, dtype=np.int64)
        dimension = tile * tile * channels if products else 0
        # Of the symmetric matrix only the panels from the diagonal on; the rest is 0 until it is asked for.
        self._products = np.zeros((dimension, dimension))

    @property
    def rows(self) -> int:
        """How many vectors the covariance is made of: images times tiles."""
        return self.count * self._tiles

    def add(self, block: Block) -> None:
        """Add what `block_of` computed of at most `block_size` images."""
        self.count += block.count
        self._sums += block.sums
        if block.squares is not None:
            self._squares += block.squares
        if block.rows is not None:
            for panel in panels(len(self._products)):
                self._products[panel, panel.start :] += block.rows[:, panel].T @ block.rows[:, panel.start :]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Give the sums, by name, to be stored; ``count`` apart."""
        kept = {"products": self._products} if self.products else {"squares": self._squares}
        return {"sums": self._sums, **kept}

    @classmethod
    def from_arrays(
        cls, shape: tuple[int, int, int], count: int, arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Self:
        """Rebuild what ``arrays`` gave.

        Raises
        ------
        Corrupt
            If the arrays aren't those of such images.
        """
        moments = cls(shape, "products" in arrays)
        for name, array in moments.arrays().items():
            found = arrays.get(name)
            if found is None or found.shape != array.shape or found.dtype != array.dtype:
                raise Corrupt("The sums that were stored half-way are damaged.")
            setattr(moments, f"_{name}", found)
        moments.count = count
        return moments

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

        It is that of all images, divided by their number, and averaged over the tiles.  The sums of
        products are given up for it, since at 64 pixels each such matrix takes 1.2 GB: call this once, last.
        """
        tile_means = to_tiles((self.mean() - _SHIFT)[None]).reshape(self._tiles, -1)
        covariance, self._products = self._products, np.zeros((0, 0))
        for panel in panels(len(covariance)):
            part = covariance[panel, panel.start :]
            part /= self.rows
            part -= tile_means[:, panel].T @ tile_means[:, panel.start :] / self._tiles
            covariance[panel.stop :, panel] = covariance[panel, panel.stop :].T
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
    for batch in batches:
        moments = moments or Moments(batch.shape[1:], products)
        step = block_size(moments.shape, products=products)
        for start in range(0, len(batch), step):
            moments.add(block_of(batch[start : start + step], products=products))
    if moments is None or not moments.count:
        raise ConfigError("There are no training images to measure: check the data set.")
    return moments
