"""Disjoint, class-stratified groups of training images, for comparing who was in the data.

All training images are put into one shuffled order whose every stretch holds the classes in their due
shares (`stratify`); group K of N images is the K-th stretch of length N, counted from 0.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.source import Batch, ImageSource, Split, regroup
from rcig_cli.data.sources.stratify import stratified_order
from rcig_cli.errors import ConfigError

_GROUP_SEED = 1


class SubsetSource(ImageSource):
    """A source with fewer training images; the test split is untouched.

    Parameters
    ----------
    source
        Where the images come from.
    chosen
        bool ``[n]``: which training images stay, in the order of ``source``.
    note
        A sentence that says which group this is.
    """

    def __init__(self, source: ImageSource, chosen: npt.NDArray[np.bool_], note: str) -> None:
        super().__init__(
            source.name,
            class_names=source.class_names,
            shape=source.shape,
            sizes={**source.sizes, "train": int(chosen.sum())},
            notes=(*source.notes, note),
        )
        self._source = source
        self._chosen = chosen

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in the order of the source; see ``ImageSource.batches``."""
        if split == "test":
            return self._source.batches(split, size)
        return regroup(self._selected(size), size)

    def labels(self, split: Split) -> npt.NDArray[np.int32]:
        """Give the labels of a whole split, int32 ``[n]``, in the order of ``batches``."""
        labels = self._source.labels(split)
        return labels if split == "test" else labels[self._chosen]

    def _selected(self, size: int) -> Iterator[Batch]:
        start = 0
        for batch in self._source.batches("train", size):
            yield batch.select(self._chosen[start : start + len(batch)])
            start += len(batch)


def subset(source: ImageSource, count: int, chunk: int = 0) -> ImageSource:
    """Restrict the training split to one of its disjoint groups.

    Parameters
    ----------
    source
        A data set.
    count
        Images per group, at least one for each class.
    chunk
        Which group, from 0 to ``source.sizes["train"] // count - 1``.

    Returns
    -------
    ImageSource
        The same data set with ``count`` training images, class-stratified.

    Raises
    ------
    ConfigError
        If there is no such group, or it would leave a class without images.
    """
    _check(source, count, chunk)
    labels = source.labels("train")
    chosen = np.zeros(len(labels), dtype=np.bool_)
    chosen[stratified_order(labels, _GROUP_SEED)[chunk * count : (chunk + 1) * count]] = True
    _check_classes(source, labels[chosen])
    note = f"The training split is group {chunk} of {count} images out of {len(labels)}."
    return SubsetSource(source, chosen, note)


def _check(source: ImageSource, count: int, chunk: int) -> None:
    total = source.sizes["train"]
    if not len(source.class_names) <= count <= total:
        raise ConfigError(
            f"A subset of {count} images can't be made of {source.name}: "
            f"give --subset between {len(source.class_names)} (one a class) and {total} (all)."
        )
    groups = total // count
    if not 0 <= chunk < groups:
        raise ConfigError(
            f"There is no chunk {chunk}: {source.name} has {groups} disjoint groups of {count} training "
            f"images, so give --chunk between 0 and {groups - 1}."
        )


def _check_classes(source: ImageSource, labels: npt.NDArray[np.int32]) -> None:
    missing = set(range(len(source.class_names))) - set(labels.tolist())
    if missing:
        name = source.class_names[min(missing)]
        raise ConfigError(f"This subset holds no image of the class {name!r}: give a larger --subset.")
