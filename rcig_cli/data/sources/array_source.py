"""A source of images that are stored one after another in array files, too large for memory."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rcig_cli.data.images.pixels import choose_side, size_note, to_square
from rcig_cli.data.sources.class_names import check_classes
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Note, Split, regroup

_PIECE = 2**24  # bytes read at a time

Blocks = Iterator[npt.NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """The images of one split, stored one after another in files, and their labels.

    Attributes
    ----------
    blocks
        Yields the images in their order, uint8 ``[b, H, W, c]``, at most the given number at a time.
    labels
        int32 ``[n]``, in memory.
    shape
        ``(H, W, c)`` of the images that ``blocks`` yields.
    row_bytes
        Bytes of a stored image; those of ``shape`` if None.
    """

    blocks: Callable[[int], Blocks]
    labels: npt.NDArray[np.int32]
    shape: tuple[int, int, int]
    row_bytes: int | None = None


def blocks_of(images: npt.NDArray[np.uint8], rows: int) -> Blocks:
    """Cut an array that is in memory into the blocks of an `ArraySplit`."""
    return (images[start : start + rows] for start in range(0, len(images), rows))


class ArraySource(ImageSource):
    """Images from array files, read in pieces of at most 16 MiB or one image; see `ImageSource`.

    Parameters
    ----------
    name, class_names, resolution, notes
        As in `ImageSource` and `ReadOptions`.
    where
        The file or folder, for the errors of `check_classes`.
    splits
        Both splits.
    """

    def __init__(
        self,
        name: str,
        where: object,
        class_names: tuple[str, ...],
        splits: Mapping[Split, ArraySplit],
        resolution: int | None,
        notes: tuple[Note, ...] = (),
    ) -> None:
        labels = {split: splits[split].labels for split in SPLITS}
        check_classes(where, class_names, labels)
        sizes = Counter(some.shape[:2] for some in splits.values())
        side = choose_side(sizes, resolution)
        resized = size_note(sizes.keys(), side, resolution)
        super().__init__(
            name,
            class_names=class_names,
            shape=(side, side, splits["train"].shape[2]),
            sizes={split: len(values) for split, values in labels.items()},
            labels=labels,
            notes=notes + ((Note("size", resized),) if resized else ()),
        )
        self._splits = splits

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in the order of the files; see `ImageSource.batches`."""
        return regroup(self._pieces(self._splits[split], size), size)

    def _pieces(self, files: ArraySplit, size: int) -> Iterator[Batch]:
        row_bytes = files.row_bytes or math.prod(files.shape)
        blocks = files.blocks(min(size, max(1, _PIECE // row_bytes)))
        start = 0
        # `map` releases a block before the next one is read; a loop variable would keep it.
        for images in map(to_square, blocks, itertools.repeat(self.shape[0])):
            yield Batch(images, files.labels[start : start + len(images)])
            start += len(images)
