import numpy as np
from sklearn.datasets import load_digits

from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.options import ReadOptions
from tests.data.examples import whole


def test_the_split_never_changes_and_holds_scikit_learns_digits():
    digits = open_source("digits")
    assert digits.sizes == {"train": 1437, "test": 360}
    assert digits.shape == (8, 8, 1)
    assert digits.class_names == tuple("0123456789")
    assert digits.notes == ()
    splits = [whole(digits, split) for split in ("train", "test")]
    values, labels = load_digits(return_X_y=True)
    rows = [(int(y), tuple(x.ravel())) for b in splits for x, y in zip(b.images, b.labels, strict=True)]
    due = [(int(y), tuple(np.rint(x * 255 / 16).astype(int))) for x, y in zip(values, labels, strict=True)]
    assert sorted(rows) == sorted(due)
    train, test = (np.bincount(batch.labels) for batch in splits)
    assert np.abs(test - (train + test) * 360 / 1797).max() <= 1
    first = [1, 3, 4, 3, 9, 1, 9, 1, 7, 0, 7, 6, 0, 3, 7, 4, 4, 2, 9, 8]
    assert splits[1].labels[:20].tolist() == first


def test_another_resolution():
    assert open_source("digits", options=ReadOptions(16)).shape == (16, 16, 1)
    halved = whole(open_source("digits", options=ReadOptions(4)), "test").images.astype(float)
    blocks = whole(open_source("digits"), "test").images.reshape(-1, 4, 2, 4, 2, 1).mean(axis=(2, 4))
    assert np.abs(halved - blocks).max() <= 1
