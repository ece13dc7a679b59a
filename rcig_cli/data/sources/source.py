"""The interface of every data set: labelled images in batches, in a fixed order.

Images are uint8, square, grey or RGB, channels last; labels are whole numbers from 0 to the number of
classes less one.  A source holds one batch in memory at a time, so a data set may be larger than memory.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")

Topic = Literal["format", "splits", "classes", "labels", "range", "layout", "size", "skipped"]

_LABEL_BATCH = 256


@dataclass(frozen=True)
class Note:
    """A sentence for the user: what was assumed when data were read, or what was left out.

    ``about`` says which assumption it is, for programs that read the notes.
    """

    about: Topic
    text: str


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images and their classes.

    Parameters
    ----------
    images
        uint8 ``[b, H, W, c]``.
    labels
        int32 ``[b]``.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: slice | npt.NDArray[np.bool_]) -> Batch:
        """Return the images that ``index`` picks along the first axis."""
        return Batch(self.images[index], self.labels[index])


class ImageSource(ABC):
    """A data set with a training and a test split.

    Parameters
    ----------
    name
        Name of the data set in the store.
    class_names
        One name per class, in the order of the labels.
    shape
        ``(H, W, c)`` of every image, with ``H == W`` and ``c`` 1 or 3.
    sizes
        Number of images in ``"train"`` and in ``"test"``.
    labels
        int32 ``[n]``, of the splits whose labels are in memory.
    notes
        What was assumed, such as how a missing test split was made.
    origin
        Where downloaded data came from, such as address and checksum; recorded with the prepared data set.
    """

    def __init__(
        self,
        name: str,
        *,
        class_names: tuple[str, ...],
        shape: tuple[int, int, int],
        sizes: Mapping[str, int],
        labels: Mapping[Split, npt.NDArray[np.int32]] | None = None,
        notes: tuple[Note, ...] = (),
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.class_names = class_names
        self.shape = shape
        self.sizes = dict(sizes)
        self.notes = notes
        self.origin: dict[str, Any] = dict(origin or {})
        self._labels = dict(labels or {})

    @abstractmethod
    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in its fixed order.

        Parameters
        ----------
        split
            ``"train"`` or ``"test"``.
        size
            Images per batch; only the last batch may have fewer.

        Yields
        ------
        Batch
            Images of ``shape`` and their labels.

        Raises
        ------
        Corrupt
            If the data turn out to be damaged.
        """

    def batches_from(self, split: Split, size: int, start: int) -> Iterator[Batch]:
        """Yield what `batches` yields without the first ``start`` images, a multiple of ``size``.

        This implementation reads the images that it skips; a source that can seek overrides it.
        """
        return itertools.islice(self.batches(split, size), start // size, None)

    def labels(self, split: Split) -> npt.NDArray[np.int32]:
        """Return the labels of a whole split, int32 ``[n]``, in the order of `batches`."""
        if split not in self._labels:
            self._labels[split] = np.concatenate(
                [batch.labels for batch in self.batches(split, _LABEL_BATCH)]
            )
        return self._labels[split]


def regroup(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Cut a stream of batches of any sizes into batches of ``size``; the last one may be smaller."""
    held: list[Batch] = []
    for batch in batches:
        held.append(batch)
        while sum(map(len, held)) >= size:
            joined = _join(held)
            yield joined.select(slice(0, size))
            held = [joined.select(slice(size, None))]
    if sum(map(len, held)):
        yield _join(held)


def _join(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    images = np.concatenate([batch.images for batch in batches])
    return Batch(images, np.concatenate([batch.labels for batch in batches]))
