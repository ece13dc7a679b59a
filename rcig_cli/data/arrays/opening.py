"""Open arrays of images and labels, in whatever files they are, as an image source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.arrays.labels import Labels, classes_of, labels_of
from rcig_cli.data.arrays.layout import Layout, check_size, choose_layouts
from rcig_cli.data.arrays.stored import StoredArray, row_bytes
from rcig_cli.data.arrays.value_range import choose_range
from rcig_cli.data.images.pixels import over_white, scaled
from rcig_cli.data.sources.array_source import ArraySource, ArraySplit, Blocks
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource, Note, Split
from rcig_cli.data.sources.subset import hold_out_fifth
from rcig_cli.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Pair:
    """The images of a split, and their labels, in memory; ``origin`` is what messages call the labels."""

    images: StoredArray
    labels: npt.NDArray[Any] | Labels
    origin: object


def open_arrays(
    name: str,
    where: object,
    pairs: Mapping[Split, Pair],
    options: ReadOptions,
    *,
    class_names: Sequence[str] | None = None,
    layout: Callable[[tuple[int, ...]], Layout] | None = None,
    notes: tuple[Note, ...] = (),
) -> ImageSource:
    """Find out what arrays hold, and open them.

    Parameters
    ----------
    name, options
        As in `registry.DatasetFormat.open`.
    where
        The file or folder, for messages.
    pairs
        Images and labels of the training split, and of the test split; without one a fifth is held out.
    class_names
        Names of the classes that the data have with them, in order.
    layout
        Returns the layout of images, given the shape of one, where the format defines it.
    notes
        What was assumed before.

    Raises
    ------
    ConfigError
        If the arrays aren't images with a class each, or can be understood in several ways.
    """
    arrays = {split: pair.images for split, pair in pairs.items()}
    labels = {}
    for split, pair in pairs.items():
        if not pair.images.shape or pair.images.dtype.kind not in "biuf":
            raise ConfigError(f"{pair.images} is of type {pair.images.dtype}: save pixels as numbers.")
        if isinstance(pair.labels, Labels):
            labels[split] = pair.labels
            continue
        shape = pair.images.shape
        if shape[0] != pair.labels.size == shape[-1]:
            raise ConfigError(
                f"{pair.images} has the shape {shape} for {shape[-1]} labels: the first axis has to count "
                "the images, so move the last one there with numpy.moveaxis."
            )
        labels[split], more = labels_of(pair.origin, pair.labels, shape[0])
        notes += tuple(note for note in more if note not in notes)
    if layout is None:
        layouts, more = choose_layouts(arrays, options.layout)
        notes += more
    else:
        layouts = {split: layout(array.shape[1:]) for split, array in arrays.items()}
    for split, array in arrays.items():
        check_size(array, layouts[split])
    names, numbers, more = classes_of(name, where, labels, class_names)
    notes += more
    limits, more = choose_range(where, arrays, options.range)
    notes += more

    def describe(source: Split, chosen: npt.NDArray[np.bool_] | None = None) -> ArraySplit:
        images, arrangement = arrays[source], layouts[source]

        def convert(block: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
            pixels = arrangement.arrange(scaled(block, limits))
            return over_white(pixels) if pixels.shape[3] == 4 else pixels

        # `map` releases a block before the next one is read; a loop variable would keep it.
        def blocks(rows: int) -> Blocks:
            found = images.blocks(rows)
            return map(convert, found if chosen is None else _chosen(found, chosen))

        height, width, channels = arrangement.shape
        some = numbers[source] if chosen is None else numbers[source][chosen]
        return ArraySplit(blocks, some, (height, width, 1 if channels == 1 else 3), row_bytes(images))

    if "test" in pairs:
        splits = {split: describe(split) for split in pairs}
    else:
        test, note = hold_out_fifth(where, numbers["train"])
        notes += (note,)
        splits = {"train": describe("train", ~test), "test": describe("train", test)}
    return ArraySource(name, where, names, splits, options.resolution, notes)


def _chosen(blocks: Iterator[npt.NDArray[Any]], chosen: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[Any]]:
    """Yield the chosen rows of each block."""
    start = 0
    for block in blocks:
        found = block[chosen[start : start + len(block)]]
        start += len(block)
        del block  # while the next one is read, only what was chosen is in memory
        yield found
