"""A source of images that lie one after the other, as plain bytes, in files too large for memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.images.pixels import choose_side, size_notes, to_square
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Split, regroup
from rcig_cli.errors import Corrupt

MOST_IMAGES = 2**20
"""In a file of a download: several times as many as in any that was published."""

_PIECE = 2**24


@dataclass(frozen=True, eq=False)
class Records:
    """The images of one split and their labels.

    Parameters
    ----------
    blocks
        From a number of rows to the images in their order, in pieces of at most so many, uint8
        ``[b, H, W, c]``.
    labels
        int32 ``[n]``.
    """

    blocks: Callable[[int], Iterator[npt.NDArray[np.uint8]]]
    labels: npt.NDArray[np.int32]


class RecordSource(ImageSource):
    """Images of one size, read in pieces of a few megabytes.

    Parameters
    ----------
    name
        What the data set is called in the store.
    class_names
        One name per class.
    image_shape
        ``(H, W, c)`` of the images as they lie in the files.
    records
        Those of each split.
    resolution
        Side in pixels that the user asked for.
    """

    def __init__(
        self,
        name: str,
        class_names: tuple[str, ...],
        image_shape: tuple[int, int, int],
        records: Mapping[Split, Records],
        resolution: int | None,
    ) -> None:
        sizes = {image_shape[:2]}
        side = choose_side(sizes, resolution)
        super().__init__(
            name,
            class_names=class_names,
            shape=(side, side, image_shape[2]),
            sizes={split: len(records[split].labels) for split in SPLITS},
            notes=size_notes(sizes, side, resolution),
        )
        self._records = records
        self._rows = max(1, _PIECE // math.prod(image_shape))

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in the order of the files; see ``ImageSource.batches``."""
        return regroup(self._pieces(self._records[split], min(size, self._rows)), size)

    def labels(self, split: Split) -> npt.NDArray[np.int32]:
        """Give the labels of a whole split, int32 ``[n]``, in the order of ``batches``."""
        return self._records[split].labels

    def _pieces(self, records: Records, rows: int) -> Iterator[Batch]:
        start = 0
        for block in records.blocks(rows):
            yield Batch(to_square(block, self.shape[0]), records.labels[start : start + len(block)])
            start += len(block)


def checked_labels(where: object, values: npt.NDArray[Any], classes: int) -> npt.NDArray[np.int32]:
    """Refuse labels ``[n]`` outside ``0 ... classes - 1``.

    Returns
    -------
    ndarray
        int32 ``[n]``.

    Raises
    ------
    Corrupt
        With the first wrong one; ``where`` begins the sentence.
    """
    if not len(values):
        raise Corrupt(f"{where} holds no images: download it again.")
    wrong = values[(values < 0) | (values >= classes)]
    if len(wrong):
        raise Corrupt(
            f"{where} holds the label {wrong[0]} where there are {classes} classes: download it again."
        )
    return values.astype(np.int32)
