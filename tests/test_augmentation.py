"""Exact properties of each operation, and the random choice between them."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random

from rcig_cli import augmentation
from rcig_cli.augmentation import (
    augment,
    augment_one,
    cut_out,
    flip_horizontally,
    jitter_colour,
    operations,
    resample,
    rotate,
    rotation,
    translate,
    zoom,
)
from rcig_cli.presets.config import AUGMENTATIONS, ONLY_FOR_COLOUR
from tests import drawn

SIZES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (9, 14, 3), (128, 128, 3)]


def noise(shape, dtype=np.float32):
    return drawn.normal(0, *shape, dtype=dtype)


def positive(shape):
    """Pixels that are nowhere zero, so that every zero was put there."""
    return jnp.asarray(np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32))


@cache
def compiled(operation):
    return jax.jit(jax.vmap(operation, in_axes=(0, None)))


def draws(operation, image, count=2000, seed=1):
    keys = random.split(random.key(seed), count)
    return np.asarray(compiled(operation)(keys, image))


def log_factors(operation, image):
    """The factor by which each draw scales a ramp about the centre, as a logarithm."""
    rows = draws(operation, image)[:, image.shape[0] // 2, :, 0]
    middle = image.shape[1] // 2
    return np.log(rows[:, middle + 1] - rows[:, middle])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_and_type_are_kept(dtype):
    with jax.enable_x64(True):
        for shape in SIZES:
            images = noise((2, *shape), dtype=dtype)
            for operation in operations(3):
                result = jax.eval_shape(operation, random.key(0), images[0])
                assert (result.shape, result.dtype) == (shape, dtype)
            result = jax.eval_shape(augment, random.key(0), images)
            assert (result.shape, result.dtype) == (images.shape, dtype)


def test_flip_mirrors_the_columns_of_half_the_images():
    image = noise((6, 5, 3))
    results = draws(flip_horizontally, image)
    mirrored = (results == np.asarray(image)[:, ::-1]).all(axis=(1, 2, 3))
    untouched = (results == np.asarray(image)).all(axis=(1, 2, 3))
    assert (mirrored ^ untouched).all()
    assert 0.45 < mirrored.mean() < 0.55


def test_brightness_is_uniform_within_a_quarter():
    image = jnp.full((4, 4, 3), 0.5)
    shifts = draws(jitter_colour, image, 4000)[:, 0, 0, 0] - 0.5
    assert -0.25 <= shifts.min() < -0.24
    assert 0.24 < shifts.max() <= 0.25
    assert abs(shifts.mean()) < 0.01


def test_contrast_scales_the_means_of_the_pixels_about_that_of_the_image():
    image = noise((8, 8, 3))
    factors = pixel_mean_deviations(draws(jitter_colour, image)) / pixel_mean_deviations(image[None])
    logarithms = np.log(factors)
    np.testing.assert_allclose(logarithms.std(axis=1), 0, atol=1e-3)
    assert_fills(logarithms.mean(axis=1), 0.25)


def test_saturation_scales_the_colours_about_the_mean_of_the_pixel():
    image = jnp.array([[[0.5, 0.0, -0.5], [-0.5, 0.0, 0.5]]])
    # Every pixel has the image's mean, so contrast and saturation multiply.
    results = draws(jitter_colour, image)
    spread = np.log(results[:, 0, 0, 0] - results[:, 0, 0, 2])
    assert np.abs(spread).max() <= 0.5 + 1e-6
    assert np.abs(spread).max() > 0.4
    np.testing.assert_allclose(results.mean(axis=-1).std(axis=(1, 2)), 0, atol=1e-6)


def test_saturation_is_drawn_apart_from_contrast():
    results = draws(jitter_colour, noise((8, 8, 3)))
    contrast = np.log(results.mean(axis=-1).std(axis=(1, 2)))
    colour = np.log((results - results.mean(axis=-1, keepdims=True)).std(axis=(1, 2, 3)))
    brightness = results.mean(axis=(1, 2, 3))
    # The colours have been scaled by contrast first, and by saturation on top.
    correlations = np.corrcoef([contrast, colour - contrast, brightness])
    assert np.abs(correlations - np.eye(3)).max() < 0.08
    assert_fills(colour - contrast - np.mean(colour - contrast), 0.25, slack=0.02)


def test_zoom_factors_fill_their_range_evenly_in_the_logarithm():
    ramp = jnp.broadcast_to(jnp.arange(33.0)[None, :, None], (33, 33, 1))
    logarithms = -log_factors(zoom, ramp)
    assert_fills(logarithms, np.log(1.25))
    assert abs(logarithms.mean()) < 0.01


def test_zoom_keeps_the_centre_and_the_inside_of_a_constant_image():
    results = draws(zoom, jnp.ones((33, 33, 3)), 200)
    np.testing.assert_allclose(results[:, 4:-4, 4:-4], 1, rtol=1e-5)
    image = noise((33, 33, 3))
    centres = draws(zoom, image, 200)[:, 16, 16]
    np.testing.assert_allclose(centres, np.tile(image[16, 16], (200, 1)), rtol=1e-5)


def test_zoom_magnifies_both_sides_alike():
    rows, columns = jnp.meshgrid(jnp.arange(33.0), jnp.arange(33.0), indexing="ij")
    image = jnp.stack([rows, columns, rows], axis=-1)
    results = draws(zoom, image, 200)[:, 10:-10, 10:-10]
    np.testing.assert_allclose(results[..., 0], results[..., 1].swapaxes(1, 2), rtol=1e-5)


def test_rotation_angles_fill_fifteen_degrees_either_way():
    rows, columns = jnp.meshgrid(jnp.arange(33.0), jnp.arange(33.0), indexing="ij")
    results = draws(rotate, jnp.stack([rows, columns], axis=-1))
    across = results[:, 16, 20] - results[:, 16, 12]
    np.testing.assert_allclose(np.hypot(*across.T), 8, rtol=1e-4)
    assert_fills(np.degrees(np.arctan2(across[:, 0], across[:, 1])), 15)


def test_rotation_fills_the_corners_with_zeros():
    results = draws(rotate, positive((32, 32, 3)), 200)
    angled = results[(results == 0).any(axis=(1, 2, 3))]
    assert len(angled) > 120
    assert (angled[:, 8:-8, 8:-8] > 0).all()


turned = jax.jit(lambda image, angle: resample(image, rotation(angle)))


@pytest.mark.parametrize("side", [8, 9, 32])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_resampling_along_quarter_turns_is_exact(side, turns):
    image = noise((side, side, 3))
    result = turned(image, np.float32(turns * np.pi / 2))
    np.testing.assert_allclose(result, np.rot90(image, turns), atol=2e-5)


def test_resampling_averages_between_neighbours():
    image = jnp.array([0.0, 4.0, 8.0, 2.0])[None, :, None]
    # Half the scale about the middle, 1.5: positions 0.75, 1.25, 1.75, 2.25.
    np.testing.assert_allclose(resample(image, jnp.eye(2) / 2)[0, :, 0], [3.0, 5.0, 7.0, 6.5])


@pytest.mark.parametrize(("height", "width"), [(8, 8), (28, 28), (32, 48)])
def test_translation_moves_exact_pixels_and_brings_in_zeros(height, width):
    image = positive((height, width, 3))
    seen = set()
    for result in draws(translate, image, 600):
        down, right = shift_of(result)
        np.testing.assert_array_equal(result, shifted(np.asarray(image), down, right))
        seen.add((down, right))
    reach_down, reach_right = height // 8, width // 8
    assert {down for down, _ in seen} == set(range(-reach_down, reach_down + 1))
    assert {right for _, right in seen} == set(range(-reach_right, reach_right + 1))


@pytest.mark.parametrize("shape", SIZES)
def test_cutout_zeros_one_square_and_nothing_else(shape):
    image = np.asarray(positive(shape))
    side = min(shape[:2]) // 4
    for result in draws(cut_out, image, 60):
        rows, columns = np.nonzero((result == 0).all(axis=-1))
        assert len(rows) == side**2
        assert np.ptp(rows) == np.ptp(columns) == side - 1
        kept = result != 0
        np.testing.assert_array_equal(result[kept], image[kept])
        assert kept.sum() == image.size - side**2 * shape[2]


def test_cutout_reaches_every_place():
    results = draws(cut_out, positive((8, 8, 1)))
    corners = {tuple(np.argwhere(result[..., 0] == 0)[0]) for result in results}
    assert corners == {(row, column) for row in range(7) for column in range(7)}


def test_grey_images_are_neither_flipped_nor_coloured():
    grey = operations(1)
    assert grey == (zoom, rotate, translate, cut_out)
    assert operations(3) == (flip_horizontally, jitter_colour, *grey)


def augmented(key, images):
    # A function of its own, or jit would answer with what it compiled for another operation.
    return np.asarray(jax.jit(lambda key, images: augment(key, images))(key, images))


@pytest.mark.parametrize("channels", [1, 3])
def test_each_operation_is_as_likely_as_the_others(channels, monkeypatch):
    count = len(operations(channels))
    stamps = tuple(partial(stamp, value) for value in range(count))
    monkeypatch.setattr(augmentation, "operations", lambda _: stamps)
    chosen = augmented(random.key(3), jnp.zeros((6000, 1, 1, channels)))[:, 0, 0, 0]
    shares = np.bincount(chosen.astype(int), minlength=count) / len(chosen)
    np.testing.assert_allclose(shares, 1 / count, atol=0.02)


def test_the_operation_drawn_says_nothing_about_its_parameters(monkeypatch):
    monkeypatch.setattr(augmentation, "operations", lambda _: (uniform, plus_two))
    found = augmented(random.key(3), jnp.zeros((6000, 1, 1, 3)))[:, 0, 0, 0]
    for values in (found[found < 1.5], found[found > 1.5] - 2):
        assert abs(values.mean() - 0.5) < 0.02


@pytest.mark.parametrize("operation", operations(3))
def test_no_random_key_is_used_twice(operation, monkeypatch):
    # JAX's check takes the branches of a switch under vmap for uses one after the other.
    monkeypatch.setattr(augmentation, "operations", lambda _: (operation,))
    with jax.debug_key_reuse(True):
        augmented(random.key(0), jnp.ones((2, 8, 8, 3)))


def test_the_operations_have_names_in_the_settings_and_grey_images_leave_out_some():
    assert tuple(augmentation.OPERATIONS) == AUGMENTATIONS
    assert tuple(augmentation.OPERATIONS.values()) == operations(3)
    grey = [each for name, each in augmentation.OPERATIONS.items() if name not in ONLY_FOR_COLOUR]
    assert tuple(grey) == operations(1)


def test_only_the_named_operations_are_applied_each_as_often():
    image, keys = noise((8, 9, 3)), random.split(random.key(4), 2000)
    found = np.asarray(jax.jit(jax.vmap(lambda key: augment_one(key, image, ("cutout", "flip"))))(keys))
    image = np.asarray(image)
    cut = (found == 0).any(axis=(1, 2, 3))
    mirrored = (found == image[:, ::-1]).all(axis=(1, 2, 3))
    unchanged = (found == image).all(axis=(1, 2, 3))
    assert (cut | mirrored | unchanged).all()
    np.testing.assert_allclose([cut.mean(), mirrored.mean(), unchanged.mean()], [0.5, 0.25, 0.25], atol=0.04)


def test_equal_images_of_a_batch_are_drawn_apart():
    images = jnp.broadcast_to(noise((16, 16, 3)), (60, 16, 16, 3))
    results = augmented(random.key(1), images).reshape(60, -1)
    assert len(np.unique(results, axis=0)) > 45


def pixel_mean_deviations(images):
    means = np.asarray(images).mean(axis=-1)
    return (means - means.mean(axis=(1, 2), keepdims=True)).reshape(len(means), -1)


def assert_fills(values, bound, slack=1e-3):
    """Values lie within the bound either way, come near both ends and spread as a uniform draw does."""
    assert np.abs(values).max() <= bound + slack
    assert values.min() < -0.95 * bound
    assert values.max() > 0.95 * bound
    assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)


def shift_of(result):
    """How far the part that is not zero has moved, (down, right)."""
    filled = (result != 0).any(axis=-1)
    return tuple(leading(filled.any(axis=axis)) for axis in (1, 0))


def leading(filled):
    (places,) = np.nonzero(filled)
    return int(places[0]) if places[0] else int(places[-1]) - len(filled) + 1


def shifted(image, down, right):
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                result[row, column] = image[row - down, column - right]
    return result


def stamp(value, key, image):
    return jnp.full_like(image, value)


def uniform(key, image):
    return jnp.full_like(image, random.uniform(key))


def plus_two(key, image):
    return jnp.full_like(image, 2 + random.uniform(key))
