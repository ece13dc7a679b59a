import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.data.whitening.moments import from_tiles, gather, tile_side, to_tiles
from rcig_cli.errors import ConfigError
from tests.data.examples import natural_images, pixels


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


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5).filter(any), st.booleans())
def test_moments_do_not_depend_on_the_batches(sizes, products):
    images = natural_images(sum(sizes), 3, 3)
    moments = gather(np.split(images, np.cumsum(sizes))[:-1], products=products)
    unit = images / 255
    np.testing.assert_allclose(moments.mean(), images.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.channel_mean(), unit.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(moments.channel_std(), unit.std(axis=(0, 1, 2)), atol=1e-12)


def test_the_covariance_is_exact_beyond_one_block():
    images = pixels(2500, 4, 4, 3)
    images[:, 0, 0] = 0
    moments = gather([images], products=True)
    due = np.cov(images.reshape(2500, -1).astype(np.float64), rowvar=False, bias=True)
    np.testing.assert_allclose(moments.covariance(), due, atol=1e-8)
    assert moments.rows == 2500


def test_the_covariance_of_large_images_is_the_average_over_their_tiles():
    images = natural_images(6, 66, 1)
    moments = gather([images[:4], images[4:]], products=True)
    rows = [images[:, i::2, j::2].reshape(6, -1).astype(float) for i in range(2) for j in range(2)]
    due = np.mean([np.cov(tile, rowvar=False, bias=True) for tile in rows], axis=0)
    np.testing.assert_allclose(moments.covariance(), due, atol=1e-8)
    assert moments.rows == 24


def test_no_images_are_refused():
    with pytest.raises(ConfigError, match="no training images"):
        gather([], products=True)
