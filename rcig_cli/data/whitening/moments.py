"""Statistics of training images, gathered in one pass, for channel means and the whitening.

What is gathered depends on what is needed (`Gather`):

=========  ==============================================================================================
squares    sums of pixels and of their squares: enough for channel means and standard deviations
products   also all products of two pixels, ``[D, D]``: enough for a covariance
images     the images themselves, where they are so few that this takes less than the products
=========  ==============================================================================================

With q = p - 128 for a pixel p, the sums are of q and of q q^T.  They are exact: 1024 products of numbers no
larger than 128 add up to at most 2^24, which float32 represents without rounding.  So products are computed
in float32, at twice the speed, and summed in float64.  The result is bit for bit independent of the order of
the images and of the batches, and a pass can be saved half-way and resumed.

An image whose side is above 64 pixels counts as k x k sub-images ("tiles") of every k-th pixel, with k
the smallest that divides the side and leaves at most 64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt

from rcig_cli.errors import ConfigError

Gather = Literal["squares", "products", "images"]
_Real = TypeVar("_Real", bound=np.generic)

_SHIFT = 128
_EXACT_ROWS = 1024
_LARGEST_TILE = 64
_SMALLEST_TILE = 16
_PANEL = 1024  # rows of a D x D matrix that are computed at a time, to keep intermediate results small
_BLOCK_BYTES = 2**26  # of float32 rows, so that large images don't take more memory than small ones


def tile_side(side: int) -> int:
    """Return the side of the sub-images that images of ``side`` pixels are whitened in.

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
    """Split images ``[b, H, W, c]`` into sub-images of every k-th pixel, ``[b, k, k, H/k, W/k, c]``.

    Up to a side of 64 pixels k is 1.
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
    """Yield slices that cut the rows of a large matrix into pieces."""
    for start in range(0, dimension, _PANEL):
        yield slice(start, min(start + _PANEL, dimension))


def dimension_of(shape: tuple[int, int, int]) -> int:
    """Return D, the number of values in a tile of an image of a shape ``(H, W, c)``."""
    return tile_side(shape[0]) ** 2 * shape[2]


def rows_of(shape: tuple[int, int, int], count: int) -> int:
    """Return the total number of tiles of ``count`` images of a shape ``(H, W, c)``."""
    return count * (shape[0] // tile_side(shape[0])) ** 2


def what_to_gather(shape: tuple[int, int, int], count: int, *, whiten: bool) -> Gather:
    """Choose what to gather of ``count`` training images.

    Raises
    ------
    ConfigError
        If they are to be whitened and their size can't be.
    """
    if not whiten:
        return "squares"
    return "images" if rows_of(shape, count) < dimension_of(shape) else "products"


def block_size(shape: tuple[int, int, int], gather: Gather) -> int:
    """Return the most images that `Moments.add` takes at a time: as many as keep the sums exact."""
    side, _, channels = shape
    tiles = rows_of(shape, 1) if gather == "products" else 1
    return max(1, min(_EXACT_ROWS // tiles, _BLOCK_BYTES // (side * side * channels * 4)))


@dataclass(frozen=True, eq=False)
class Block:
    """What some images add to the statistics: the part that can be computed in parallel.

    Parameters
    ----------
    count
        How many images.
    sums
        int64 ``[H, W, c]``.
    squares
        int64 ``[H, W, c]``; None where products are gathered, which include them.
    rows
        float32 ``[count * tiles, D]``, where products are gathered.
    images
        uint8 ``[count, H, W, c]``, where images are gathered.
    """

    count: int
    sums: npt.NDArray[np.int64]
    squares: npt.NDArray[np.int64] | None = None
    rows: npt.NDArray[np.float32] | None = None
    images: npt.NDArray[np.uint8] | None = None


def block_of(images: npt.NDArray[np.uint8], gather: Gather) -> Block:
    """Compute what images, uint8 ``[b, H, W, c]``, add to the statistics."""
    sums = images.sum(axis=0, dtype=np.int64) - _SHIFT * len(images)
    if gather == "products":
        rows = to_tiles(images).reshape(-1, dimension_of(images.shape[1:])).astype(np.float32)
        rows -= _SHIFT
        return Block(len(images), sums, rows=rows)
    squares = np.square(images.astype(np.int32) - _SHIFT).sum(axis=0, dtype=np.int64)
    return Block(len(images), sums, squares, images=images if gather == "images" else None)


class Moments:
    """Statistics of the images seen so far.

    Parameters
    ----------
    shape
        ``(H, W, c)`` of the images.
    gather
        What to gather.
    """

    def __init__(self, shape: tuple[int, int, int], gather: Gather) -> None:
        self.shape, self.gather, self.count = shape, gather, 0
        self._sums = np.zeros(shape, dtype=np.int64)
        self._squares = np.zeros(shape, dtype=np.int64)
        dimension = dimension_of(shape) if gather == "products" else 0
        # Only the upper panels of the symmetric matrix are summed; `covariance` fills in the rest.
        self._products = np.zeros((dimension, dimension))
        self._images: list[npt.NDArray[np.uint8]] = []

    def add(self, block: Block) -> None:
        """Add what `block_of` computed of at most `block_size` images."""
        self.count += block.count
        self._sums += block.sums
        if block.squares is not None:
            self._squares += block.squares
        if block.rows is not None:
            for panel in panels(len(self._products)):
                self._products[panel, panel.start :] += block.rows[:, panel].T @ block.rows[:, panel.start :]
        if block.images is not None:
            self._images.append(block.images)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the statistics by name, for saving; ``count`` is saved separately."""
        if self.gather == "products":
            return {"sums": self._sums, "products": self._products}
        kept = {"images": self._all_images()} if self.gather == "images" else {}
        return {"sums": self._sums, "squares": self._squares, **kept}

    @classmethod
    def from_arrays(
        cls, shape: tuple[int, int, int], count: int, arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Self:
        """Rebuild the statistics of ``count`` images from what `arrays` returned."""
        gather: Gather = next((each for each in ("products", "images") if each in arrays), "squares")
        moments = cls(shape, gather)
        moments.count = count
        for name, array in arrays.items():
            setattr(moments, f"_{name}", [array] if name == "images" else array)
        return moments

    def _all_images(self) -> npt.NDArray[np.uint8]:
        if len(self._images) != 1:
            empty = np.empty((0, *self.shape), np.uint8)
            self._images = [np.concatenate([empty, *self._images])]
        return self._images[0]

    def mean(self) -> npt.NDArray[np.float64]:
        """Return the mean image, ``[H, W, c]``, pixels from 0 to 255."""
        mean: npt.NDArray[np.float64] = self._sums / self.count + _SHIFT
        return mean

    def channel_mean(self) -> npt.NDArray[np.float64]:
        """Return the mean of each channel, ``[c]``, for pixels between 0 and 1."""
        mean: npt.NDArray[np.float64] = self.mean().mean(axis=(0, 1)) / 255
        return mean

    def channel_std(self) -> npt.NDArray[np.float64]:
        """Return the standard deviation of each channel, ``[c]``, for pixels between 0 and 1."""
        channels = self.shape[2]
        squares = np.diag(self._products) if self.gather == "products" else self._squares
        per_channel = squares.reshape(-1, channels).sum(axis=0)
        mean_square = per_channel / (self.count * self.shape[0] * self.shape[1])
        shifted_mean = self.channel_mean() * 255 - _SHIFT
        std: npt.NDArray[np.float64] = np.sqrt(np.maximum(mean_square - shifted_mean**2, 0)) / 255
        return std

    def covariance(self) -> npt.NDArray[np.float64]:
        """Return the covariance of the pixels of a tile, ``[D, D]``, pixels from 0 to 255.

        It is that of all images, divided by their number, and averaged over the tiles.  The products are
        overwritten by it, since at 64 pixels each such matrix takes 1.2 GB: call this once, last.
        """
        tile_means = self._tile_means()
        covariance, self._products = self._products, np.zeros((0, 0))
        for panel in panels(len(covariance)):
            part = covariance[panel, panel.start :]
            part /= rows_of(self.shape, self.count)
            part -= tile_means[:, panel].T @ tile_means[:, panel.start :] / len(tile_means)
            covariance[panel.stop :, panel] = covariance[panel, panel.stop :].T
        return covariance

    def centred_rows(self) -> npt.NDArray[np.float64]:
        """Return X, ``[N, D]``: all tiles less their mean, pixels from 0 to 255; X^T X / N is the covariance.

        Only where images are gathered.
        """
        images, means = self._all_images(), self._tile_means()
        rows = to_tiles(images).reshape(len(images), *means.shape).astype(np.float64)
        rows -= _SHIFT
        rows -= means
        return rows.reshape(-1, means.shape[1])

    def _tile_means(self) -> npt.NDArray[np.float64]:
        """The mean image less 128, as ``[tiles, D]``."""
        return to_tiles((self.mean() - _SHIFT)[None]).reshape(-1, dimension_of(self.shape))
