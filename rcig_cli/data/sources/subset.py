"""Data sets with only some of the images or classes of another, and class-stratified orders of images.

The orders are for held-out splits and for disjoint subsets.

In the order of `stratified_order`, consecutive items contain every class in proportion to its size.  Within a
class the items are shuffled.  Item j of a class of n items (counted from 0) is placed at (j + 1/2) / n, and
all items are sorted by their place, ties by class.  So the first m of N items include m n / N of a class,
plus or minus one, and any m consecutive items plus or minus two; if classes are equal in size and m is a
multiple of their number, the proportions are exact.

Group K of N training images, for membership inference, consists of the items K N to (K + 1) N - 1 of this
order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Note, Split, regroup
from rcig_cli.errors import ConfigError

_GROUP_SEED = 1
_SPLIT_SEED = 2
_HELD_OUT = 0.2


def stratified_order(labels: npt.NDArray[np.int32], seed: int) -> npt.NDArray[np.int64]:
    """Return a shuffled, class-stratified order of items with ``labels``, int32 ``[n]``: int64 ``[n]``.

    The order within a class depends only on the seed, the class, and how many items it has.
    """
    places = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        # NumPy guarantees that a named bit generator's raw words never change between versions; it gives
        # no such guarantee for Generator.shuffle.
        words = np.random.PCG64(np.random.SeedSequence((seed, int(label)))).random_raw(len(members))
        ranks = np.argsort(np.argsort(words, kind="stable"), kind="stable")
        places[members] = (ranks + 0.5) / len(members)
    return np.lexsort((labels, places))


def held_out(labels: npt.NDArray[np.int32], count: int, seed: int) -> npt.NDArray[np.bool_]:
    """Mark ``count`` of the items with ``labels``, int32 ``[n]``, to be held out for testing: bool ``[n]``.

    They are class-stratified.  One item of each class is never held out, so ``count`` is at most the number
    of items less the number of classes.
    """
    order = stratified_order(labels, seed)
    _, first_of_class = np.unique(labels[order], return_index=True)
    free = np.delete(order, first_of_class)
    mask = np.zeros(len(labels), dtype=np.bool_)
    mask[free[len(free) - count :]] = True
    return mask


def hold_out_fifth(where: object, labels: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.bool_], Note]:
    """Mark a fixed fifth of the images, of each class, as the test split of data without one.

    Parameters
    ----------
    where
        The file or folder, for messages.
    labels
        int32 ``[n]``.

    Returns
    -------
    mask : array
        bool ``[n]``, true for test images.
    note : Note
        For the user.

    Raises
    ------
    ConfigError
        If there are too few images.
    """
    count = max(1, round(_HELD_OUT * len(labels)))
    classes = len(np.unique(labels))
    if count > len(labels) - classes:
        raise ConfigError(
            f"{where} has too few images to hold any out for testing, {len(labels)} of {classes} classes: "
            "add some, or a test split."
        )
    text = f"{where} has no test split, so a fixed fifth of each class, {count} images in all, "
    return held_out(labels, count, _SPLIT_SEED), Note("splits", text + "is held out for testing.")


class ClassesSource(ImageSource):
    """A source with only some of its classes, ``chosen`` by their numbers, which are numbered anew."""

    def __init__(self, source: ImageSource, chosen: Sequence[int]) -> None:
        self._new_number = np.full(len(source.class_names), -1, np.int32)
        self._new_number[list(chosen)] = np.arange(len(chosen))
        kept = {split: self._new_number[source.labels(split)] for split in SPLITS}
        labels = {split: numbers[numbers >= 0] for split, numbers in kept.items()}
        text = f"{len(chosen)} of {len(source.class_names)} classes are kept."
        super().__init__(
            source.name,
            class_names=tuple(source.class_names[number] for number in chosen),
            shape=source.shape,
            sizes={split: len(each) for split, each in labels.items()},
            labels=labels,
            notes=(*source.notes, Note("classes", text)),
            origin=source.origin,
        )
        self._source = source

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in the order of the source; see `ImageSource.batches`."""
        return regroup(self._selected(split, size), size)

    def _selected(self, split: Split, size: int) -> Iterator[Batch]:
        for batch in self._source.batches(split, size):
            numbers = self._new_number[batch.labels]
            yield Batch(batch.images[numbers >= 0], numbers[numbers >= 0])


def only_classes(source: ImageSource, chosen: Sequence[int]) -> ImageSource:
    """Keep only some classes of a data set, given by their numbers, in this order.

    Raises
    ------
    ConfigError
        If one of the splits has no images of these classes.
    """
    kept = ClassesSource(source, chosen)
    for split in SPLITS:
        missing = set(range(len(chosen))) - set(kept.labels(split).tolist())
        if missing and (split == "train" or len(missing) == len(chosen)):
            kind = {"train": "training", "test": "test"}[split]
            name = kept.class_names[min(missing)]
            raise ConfigError(f"{source.name} has no {kind} image of the class {name!r}: leave it out.")
    return kept


class SubsetSource(ImageSource):
    """A source with only the ``chosen`` training images, bool ``[n]``; the test split is unchanged."""

    def __init__(self, source: ImageSource, chosen: npt.NDArray[np.bool_], note: Note) -> None:
        super().__init__(
            source.name,
            class_names=source.class_names,
            shape=source.shape,
            sizes={**source.sizes, "train": int(chosen.sum())},
            labels={"train": source.labels("train")[chosen]},
            notes=(*source.notes, note),
            origin=source.origin,
        )
        self._source = source
        self._chosen = chosen

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in the order of the source; see `ImageSource.batches`."""
        if split == "test":
            return self._source.batches(split, size)
        return regroup(self._selected(size), size)

    def _selected(self, size: int) -> Iterator[Batch]:
        start = 0
        for batch in self._source.batches("train", size):
            yield batch.select(self._chosen[start : start + len(batch)])
            start += len(batch)


def subset(source: ImageSource, count: int, chunk: int = 0) -> ImageSource:
    """Restrict the training split to one of its disjoint, class-stratified groups.

    Parameters
    ----------
    source
        A data set.
    count
        Images per group, at least one for each class.
    chunk
        Number of the group, from 0 to ``source.sizes["train"] // count - 1``.

    Raises
    ------
    ConfigError
        If there is no such group, or it would leave a class without images.
    """
    total = source.sizes["train"]
    if not len(source.class_names) <= count <= total:
        raise ConfigError(
            f"A subset of {count} images can't be made of {source.name}: "
            f"give --subset between {len(source.class_names)} (one per class) and {total} (all)."
        )
    groups = total // count
    if not 0 <= chunk < groups:
        raise ConfigError(
            f"There is no chunk {chunk}: {source.name} has {groups} disjoint groups of {count} training "
            f"images, so give --chunk between 0 and {groups - 1}."
        )
    labels = source.labels("train")
    chosen = np.zeros(len(labels), dtype=np.bool_)
    chosen[stratified_order(labels, _GROUP_SEED)[chunk * count : (chunk + 1) * count]] = True
    missing = set(range(len(source.class_names))) - set(labels[chosen].tolist())
    if missing:
        name = source.class_names[min(missing)]
        raise ConfigError(f"This subset has no image of the class {name!r}: give a larger --subset.")
    text = f"The training split is group {chunk} of {count} images out of {total}."
    return SubsetSource(source, chosen, Note("splits", text))
