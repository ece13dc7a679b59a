from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.data.images.pixels import choose_side, over_white, scaled, to_square
from tests.data.examples import pixels


@given(st.integers(0, 255))
def test_eight_bits_survive_every_wider_scale(value):
    assert scaled(np.array([value * 257], dtype=np.uint16), (0, 65535))[0] == value
    assert scaled(np.array([value / 255], dtype=np.float32), (0, 1))[0] == value


def test_uint8_is_not_copied():
    images = pixels(2, 3, 3)
    assert scaled(images, (0, 255)) is images


def test_alpha_blends_with_white():
    image = np.array([[10, 20, 30, 0], [10, 20, 30, 255], [0, 100, 255, 51]], dtype=np.uint8)
    assert over_white(image).tolist() == [[255, 255, 255], [10, 20, 30], [204, 224, 255]]


@pytest.mark.parametrize(
    ("sizes", "resolution", "side"),
    [
        ({(28, 28): 9}, None, 28),
        ({(128, 128): 9}, None, 128),
        ({(300, 300): 9}, None, 128),
        ({(20, 30): 9}, None, 20),
        ({(20, 30): 1, (18, 50): 1}, None, 18),
        ({(20, 30): 2, (18, 50): 1}, None, 20),
        ({(32, 32): 20, (1, 1): 1}, None, 32),
        ({(400, 300): 1, (500, 200): 1}, None, 64),
        ({(400, 300): 1}, 48, 48),
    ],
)
def test_the_side_that_is_chosen(sizes, resolution, side):
    assert choose_side(Counter(sizes), resolution) == side


def test_images_of_the_right_size_are_returned_as_they_are():
    images = pixels(2, 8, 8, 3)
    assert to_square(images, 8) is images


@pytest.mark.parametrize("channels", [1, 3])
def test_the_central_square_is_cut_out(channels):
    images = pixels(2, 6, 10, channels)
    assert (to_square(images, 6) == images[:, :, 2:8]).all()
    tall = pixels(2, 10, 6, channels)
    assert (to_square(tall, 6) == tall[:, 2:8]).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_downscaling_averages_areas(channels):
    images = pixels(3, 12, 12, channels)
    means = images.reshape(3, 4, 3, 4, 3, channels).mean(axis=(2, 4))
    assert np.abs(to_square(images, 4) - means).max() <= 1


def test_upscaling_interpolates():
    images = np.array([[[0, 100], [0, 100]]], dtype=np.uint8)[..., None]
    rows = to_square(images, 8)[0, :, :, 0].astype(int)
    assert (np.diff(rows, axis=1) >= 0).all()
    assert (rows[0, 0], rows[0, -1]) == (0, 100)
