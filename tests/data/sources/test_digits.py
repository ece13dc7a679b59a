import numpy as np
import pytest
from sklearn.datasets import load_digits

from rcig_cli.data.sources.digits import open_digits
from tests.data.examples import whole


@pytest.fixture(scope="module")
def digits():
    return open_digits()


def test_the_split_has_the_promised_sizes(digits):
    assert digits.sizes == {"train": 1437, "test": 360}
    assert digits.shape == (8, 8, 1)
    assert digits.class_names == tuple("0123456789")
    assert digits.notes == ()


def test_both_splits_together_are_scikit_learns_digits(digits):
    values, labels = load_digits(return_X_y=True)
    found = [(batch.images, batch.labels) for batch in (whole(digits, "train"), whole(digits, "test"))]
    rows = [(int(y), tuple(x.ravel())) for images, ys in found for x, y in zip(images, ys, strict=True)]
    due = [(int(y), tuple(np.rint(x * 255 / 16).astype(int))) for x, y in zip(values, labels, strict=True)]
    assert sorted(rows) == sorted(due)


def test_each_class_is_split_in_its_share(digits):
    train, test = (np.bincount(digits.labels(split)) for split in ("train", "test"))
    assert np.abs(test - (train + test) * 360 / 1797).max() <= 1


def test_the_split_never_changes(digits):
    assert digits.labels("test")[:20].tolist() == [1, 3, 4, 3, 9, 1, 9, 1, 7, 0, 7, 6, 0, 3, 7, 4, 4, 2, 9, 8]


def test_the_whole_scale_is_used(digits):
    images = whole(digits, "train").images
    assert images.min() == 0
    assert images.max() == 255


def test_another_resolution(digits):
    assert open_digits(16).shape == (16, 16, 1)
    halved = whole(open_digits(4), "test").images.astype(float)
    blocks = whole(digits, "test").images.reshape(-1, 4, 2, 4, 2, 1).mean(axis=(2, 4))
    assert np.abs(halved - blocks).max() <= 1
