"""Decoders: their shapes, start and bytes, and their derivative against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.parametrizations import PARAMETRIZATIONS, StoredBytes
from rcig_cli.errors import ConfigError

# Not square, of odd sizes where the parametrization allows it; classes of different numbers.
COUNTS = (1, 2)
CASES = {
    "raw": ("raw", (7, 5, 3), {}),
    "multiformation": ("multiformation", (9, 6, 3), {"factor": 3}),
    "basis": ("basis", (7, 10, 3), {"bases": 4, "basis_size": 3, "mixtures": 2}),
}


def made(case):
    name, shape, given = CASES[case]
    record = PARAMETRIZATIONS[name]
    settings = record.settings(**given)
    images = sum(record.images_per_class(settings, count) for count in COUNTS)
    return record.shapes(settings, shape, COUNTS), record.make(settings, shape, COUNTS), (images, *shape)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("case", CASES)
def test_the_derivative_is_that_of_finite_differences(case):
    shapes, decoder, images_shape = made(case)
    stored = {name: numbers(shape) for name, shape in shapes.items()}
    direction = {name: numbers(shape, 1) for name, shape in shapes.items()}
    cotangent = numbers(images_shape, 2)

    def value(by):
        moved = {name: stored[name] + by * direction[name] for name in stored}
        return float((decoder.decode(moved) * cotangent).sum())

    pulled = jax.vjp(decoder.decode, jax.tree.map(jnp.asarray, stored))[1](jnp.asarray(cotangent))[0]
    ours = sum(float((pulled[name] * direction[name]).sum()) for name in stored)
    np.testing.assert_allclose(ours, (value(1e-4) - value(-1e-4)) / 2e-4, rtol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_the_start_has_the_declared_shapes_and_decodes_to_the_number_and_type_of_the_images(case):
    shapes, decoder, images_shape = made(case)
    stored = decoder.encode(numbers(images_shape).astype(np.float32))
    assert {name: array.shape for name, array in stored.items()} == shapes
    assert {array.dtype for array in stored.values()} == {np.dtype(np.float32)}
    images = decoder.decode(stored)
    assert (images.shape, images.dtype) == (images_shape, np.float32)


@pytest.mark.parametrize("case", CASES)
def test_numpy_and_jax_decode_alike(case):
    shapes, decoder, _ = made(case)
    stored = {name: numbers(shape).astype(np.float32) for name, shape in shapes.items()}
    np.testing.assert_allclose(jax.jit(decoder.decode)(stored), decoder.decode(stored), rtol=1e-4, atol=1e-5)


def test_multiformation_keeps_constant_images_and_their_order():
    _, decoder, images_shape = made("multiformation")
    images = np.ones(images_shape) * np.arange(images_shape[0])[:, None, None, None]
    stored = decoder.encode(images)
    np.testing.assert_allclose(decoder.decode(stored), images, atol=1e-12)
    # The first grid has the first nine, row by row, in cells of 3 x 2.
    np.testing.assert_allclose(stored["grids"][0, ::3, ::2, 0], np.arange(9).reshape(3, 3), atol=1e-12)


def test_multiformation_starts_from_the_means_of_blocks():
    _, decoder, images_shape = made("multiformation")
    images = numbers(images_shape)
    cell = decoder.encode(images)["grids"][1, 3:6, 2:4]  # of the image in the middle of the second grid
    np.testing.assert_allclose(cell, images[9 + 4].reshape(3, 3, 2, 3, 3).mean((1, 3)), atol=1e-12)


def test_with_a_basis_for_each_image_the_start_is_the_images_at_the_size_of_the_bases():
    record, shape, counts = PARAMETRIZATIONS["basis"], (6, 4, 3), (1, 1, 2)
    decoder = record.make(record.settings(bases=8, basis_size=3, mixtures=2), shape, counts)
    small = numbers((8, 3, 2, 3))
    images = np.repeat(np.repeat(small, 2, axis=1), 2, axis=2)
    stored = decoder.encode(images)
    mixed = (stored["mixing"] @ stored["bases"].reshape(8, -1)).reshape(small.shape)
    np.testing.assert_allclose(mixed, small, atol=1e-10)
    np.testing.assert_allclose((stored["bases"] ** 2).mean((1, 2, 3)), 1, atol=1e-10)
    expected = jax.image.resize(small, images.shape, "bilinear")
    np.testing.assert_allclose(decoder.decode(stored), expected, rtol=1e-4, atol=1e-4)


def test_fewer_bases_start_from_the_best_approximation():
    record, shape, counts = PARAMETRIZATIONS["basis"], (4, 4, 1), (5,)
    decoder = record.make(record.settings(bases=2, basis_size=4, mixtures=2), shape, counts)
    images = numbers((10, *shape))
    left, values, right = np.linalg.svd(images.reshape(10, 16), full_matrices=False)
    best = (left[:, :2] * values[:2]) @ right[:2]
    np.testing.assert_allclose(decoder.decode(decoder.encode(images)), best.reshape(images.shape), atol=1e-10)


def bytes_of(name, shape, counts, **given):
    record = PARAMETRIZATIONS[name]
    settings = record.settings(**{**record.defaults(shape, counts, given), **given})
    images = sum(record.images_per_class(settings, count) for count in counts)
    return StoredBytes.of(record.shapes(settings, shape, counts).values(), (images, len(counts)))


def test_each_takes_the_bytes_of_the_raw_images_or_fewer_and_counts_labels_separately():
    shape, counts = (32, 32, 3), (1,) * 10
    raw = bytes_of("raw", shape, counts)
    assert (raw.images, raw.labels) == (10 * 4 * 3072, 4 * 100)
    assert bytes_of("multiformation", shape, counts) == StoredBytes(raw.images, 4 * 400)
    basis = bytes_of("basis", shape, counts)
    assert basis == StoredBytes(4 * 37 * (16 * 16 * 3 + 50), 4 * 500)
    with pytest.raises(ConfigError, match="up to 37"):  # 38 would take more than the raw images
        bytes_of("basis", shape, counts, bases=38)


@pytest.mark.parametrize(
    ("name", "shape", "given", "message"),
    [
        ("multiformation", (28, 20, 1), {"factor": 3}, "does not divide images of 28x20; use 2, 4"),
        ("multiformation", (9, 9, 3), {"factor": 2}, "--factor 2 does not divide images of 9x9; use 3, 9"),
        ("multiformation", (7, 8, 3), {}, "choose another --parametrization"),
        ("basis", (8, 8, 3), {"basis_size": 9}, "more than the height of the images, 8 pixels"),
        ("basis", (8, 8, 1), {"bases": 5}, "10 images of 4x4 pixels can use up to 4 in the bytes of --ipc"),
        ("basis", (8, 8, 3), {"basis_size": 2, "bases": 11}, "can use up to 10"),
        ("basis", (8, 8, 3), {"basis_size": 1, "bases": 4}, "can use up to 3"),
        ("basis", (8, 8, 1), {"mixtures": 100}, "200 images: choose a smaller --mixtures or --basis-size"),
    ],
)
def test_settings_that_do_not_suit_the_images_are_refused(name, shape, given, message):
    record = PARAMETRIZATIONS[name]
    settings = record.settings(**{**record.defaults(shape, (1, 1), given), **given})
    with pytest.raises(ConfigError, match=message):
        record.shapes(settings, shape, (1, 1))
