"""The handwritten digits that come with scikit-learn: 1797 grey images of 8 x 8 pixels, 10 classes.

The split is fixed and class-stratified: the last 360 images in the order of `subset.stratified_order` are the
test split, the other 1437 the training split, both in scikit-learn's order.  Pixel values 0 ... 16 become
0 ... 255 by rounding 255 v / 16.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rcig_cli.data.images.pixels import to_square
from rcig_cli.data.sources.source import Batch, ImageSource, Split
from rcig_cli.data.sources.subset import held_out

_TEST_IMAGES = 360
_SPLIT_SEED = 0


class DigitsSource(ImageSource):
    """The digits at a side of ``resolution`` pixels, 8 if None, in memory."""

    def __init__(self, resolution: int | None) -> None:
        from sklearn.datasets import load_digits

        side = resolution or 8
        values, labels = load_digits(return_X_y=True)
        pixels = np.rint(values * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
        every = Batch(to_square(pixels, side), labels.astype(np.int32))
        test = held_out(every.labels, _TEST_IMAGES, _SPLIT_SEED)
        self._splits: dict[Split, Batch] = {"train": every.select(~test), "test": every.select(test)}
        super().__init__(
            "digits",
            class_names=tuple("0123456789"),
            shape=(side, side, 1),
            sizes={split: len(batch) for split, batch in self._splits.items()},
        )

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in its fixed order; see `ImageSource.batches`."""
        for start in range(0, self.sizes[split], size):
            yield self._splits[split].select(slice(start, start + size))
