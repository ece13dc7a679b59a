import re

import pytest

from rcig_cli.data.sources.known import KNOWN, downloadable


@pytest.mark.parametrize("known", KNOWN.values(), ids=list(KNOWN))
def test_each_row_is_consistent(known):
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", known.name)
    height, width, channels = known.shape
    assert height == width
    assert len(known.mean) == len(known.std) == channels
    assert all(0 < value < 1 for value in known.mean + known.std)


def test_what_can_be_downloaded_has_a_name_there():
    assert downloadable()[:4] == ["mnist", "fashion_mnist", "cifar10", "cifar100"]
    assert all(KNOWN[name].tfds for name in downloadable())
