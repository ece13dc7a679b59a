"""The handwritten digits that come with scikit-learn: 1797 grey images of 8 x 8 pixels, 10 classes.

The split is fixed and class-stratified: the last 360 images in the order of
``rcig_cli.data.sources.stratify`` are the test split, the other 1437 the training split, each kept in
scikit-learn's order.  Pixel values 0..16 become 0..255 by rounding 255 v / 16 (8 becomes 128).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rcig_cli.data.images.pixels import to_square
from rcig_cli.data.sources.source import Batch, ImageSource, Split
from rcig_cli.data.sources.stratify import held_out

_TEST_IMAGES = 360
_SPLIT_SEED = 0


class DigitsSource(ImageSource):
    """The digits, split in two.

    Parameters
    ----------
    splits
        The images and labels of ``"train"`` and ``"test"``.
    """

    def __init__(self, splits: dict[Split, Batch]) -> None:
        _, height, width, channels = splits["train"].images.shape
        super().__init__(
            "digits",
            class_names=tuple("0123456789"),
            shape=(height, width, channels),
            sizes={split: len(batch) for split, batch in splits.items()},
        )
        self._splits = splits

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in its fixed order; see ``ImageSource.batches``."""
        for start in range(0, self.sizes[split], size):
            yield self._splits[split].select(slice(start, start + size))


def open_digits(resolution: int | None = None) -> ImageSource:
    """Open the digits.

    Parameters
    ----------
    resolution
        Side in pixels, 8 if not given.

    Returns
    -------
    ImageSource
        1437 training and 360 test images.
    """
    every = _load(resolution or 8)
    test = held_out(every.labels, _TEST_IMAGES, _SPLIT_SEED)
    return DigitsSource({"train": every.select(~test), "test": every.select(test)})


def _load(side: int) -> Batch:
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    images = np.rint(values * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    return Batch(to_square(images, side), labels.astype(np.int32))
