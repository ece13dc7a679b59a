"""The two matrices against JAX's resizing and against means of blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.parametrizations.resizing import area_matrix, bilinear_matrix, resized


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("sizes", [((3, 4), (9, 8)), ((1, 5), (7, 7)), ((4, 3), (4, 11))])
def test_enlarging_is_jaxs_bilinear_resizing(sizes):
    (h, w), (height, width) = sizes
    images = np.random.default_rng(0).normal(size=(2, h, w, 3))
    ours = resized(images, bilinear_matrix(h, height), bilinear_matrix(w, width))
    expected = jax.image.resize(jnp.asarray(images), (2, height, width, 3), "bilinear")
    np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_reducing_takes_means_over_areas():
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 3))
    halves = resized(images, area_matrix(6, 3), area_matrix(6, 3))
    np.testing.assert_allclose(halves, images.reshape(2, 3, 2, 3, 2, 3).mean((2, 4)), atol=1e-12)
    # Of 3 pixels in 2, the middle one belongs to both by halves.
    np.testing.assert_allclose(area_matrix(3, 2), np.array([[2, 1, 0], [0, 1, 2]]) / 3, atol=1e-12)
