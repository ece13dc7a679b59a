"""The handwritten digits that come with scikit-learn: 1797 grey images of 8 x 8 pixels, 10 classes.

The split is fixed and class-stratified: the last 360 images in the order of `subset.stratified_order` are the
test split, the other 1437 the training split, both in scikit-learn's order.  Pixel values 0 ... 16 become
0 ... 255 by rounding 255 v / 16.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from rcig_cli.data.sources.array_source import ArraySource, ArraySplit, blocks_of
from rcig_cli.data.sources.source import ImageSource
from rcig_cli.data.sources.subset import held_out

_TEST_IMAGES = 360
_SPLIT_SEED = 0


def open_digits(resolution: int | None) -> ImageSource:
    """Open the digits at a side of ``resolution`` pixels, 8 if None."""
    from sklearn.datasets import load_digits

    values, targets = load_digits(return_X_y=True)
    pixels = np.rint(values * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = targets.astype(np.int32)
    test = held_out(labels, _TEST_IMAGES, _SPLIT_SEED)
    train_split, test_split = (
        ArraySplit(partial(blocks_of, pixels[chosen]), labels[chosen], (8, 8, 1)) for chosen in (~test, test)
    )
    names = tuple("0123456789")
    return ArraySource("digits", "digits", names, {"train": train_split, "test": test_split}, resolution)
