import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.data.whitening.moments import (
    Moments,
    block_of,
    from_tiles,
    tile_side,
    to_tiles,
    what_to_gather,
)
from rcig_cli.errors import ConfigError
from tests.data.examples import measure, natural_images, pixels

GATHERED = ["squares", "products", "images"]


@pytest.mark.parametrize(("side", "tile"), [(8, 8), (64, 64), (128, 64), (96, 48), (224, 56)])
def test_the_side_of_a_tile(side, tile):
    assert tile_side(side) == tile


@pytest.mark.parametrize("side", [67, 127])
def test_a_side_without_a_divisor_is_refused(side):
    with pytest.raises(ConfigError, match=f"{side} x {side}"):
        tile_side(side)


def test_tiles_are_the_strided_sub_images():
    images = pixels(2, 128, 128, 3)
    tiles = to_tiles(images)
    for row in range(2):
        for column in range(2):
            assert (tiles[:, row, column] == images[:, row::2, column::2]).all()
    assert (from_tiles(tiles) == images).all()


def test_products_are_gathered_where_there_are_as_many_tiles_as_numbers_in_one():
    assert what_to_gather((4, 4, 3), 48, whiten=True) == "products"
    assert what_to_gather((4, 4, 3), 47, whiten=True) == "images"
    assert what_to_gather((128, 128, 3), 3072, whiten=True) == "products"
    assert what_to_gather((128, 128, 3), 3071, whiten=True) == "images"
    assert what_to_gather((67, 67, 3), 1, whiten=False) == "squares"


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5).filter(any), st.sampled_from(GATHERED))
def test_statistics_do_not_depend_on_the_batches(sizes, gather):
    images = natural_images(sum(sizes), 3, 3)
    moments = Moments((3, 3, 3), gather)
    for batch in np.split(images, np.cumsum(sizes))[:-1]:
        moments.add(block_of(batch, gather))
        # Saved and resumed after each batch.
        moments = Moments.from_arrays((3, 3, 3), moments.count, moments.arrays())
    at_once = measure(images, gather)
    assert moments.gather == gather
    assert all((moments.arrays()[name] == array).all() for name, array in at_once.arrays().items())
    unit = images / 255
    np.testing.assert_allclose(moments.mean(), images.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.channel_mean(), unit.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(moments.channel_std(), unit.std(axis=(0, 1, 2)), atol=1e-12)


def test_the_covariance_is_exact_beyond_one_block():
    images = pixels(2500, 4, 4, 3)
    images[:, 0, 0] = 0
    due = np.cov(images.reshape(2500, -1).astype(np.float64), rowvar=False, bias=True)
    np.testing.assert_allclose(measure(images, "products").covariance(), due, atol=1e-8)


def test_the_covariance_of_large_images_is_the_average_over_their_tiles():
    images = natural_images(6, 66, 1)
    rows = [images[:, i::2, j::2].reshape(6, -1).astype(float) for i in range(2) for j in range(2)]
    due = np.mean([np.cov(tile, rowvar=False, bias=True) for tile in rows], axis=0)
    np.testing.assert_allclose(measure(images, "products").covariance(), due, atol=1e-8)
    centred = measure(images, "images").centred_rows()
    np.testing.assert_allclose(centred.T @ centred / len(centred), due, atol=1e-8)
