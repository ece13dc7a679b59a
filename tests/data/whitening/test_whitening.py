import math

import numpy as np
import pytest

from rcig_cli.data.whitening.moments import dimension_of
from rcig_cli.data.whitening.whitening import Whitening, array_shapes, low_rank
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.examples import fit, natural_images, pixels

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def standardized(images):
    return (images / 255 - np.array(MEAN)) / np.array(STD)


@pytest.fixture(scope="module")
def images():
    return natural_images(400, 6, 3)


@pytest.fixture(scope="module")
def whitening(images):
    return fit(images, mean=MEAN, std=STD, zca=True)


def test_without_zca_channels_are_standardized(images):
    values = fit(images, zca=False).apply(images)
    np.testing.assert_allclose(values.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(axis=(0, 1, 2)), 1, atol=1e-5)
    assert values.dtype == np.float32


@pytest.mark.parametrize("given", ["mean", "std"])
def test_one_statistic_may_be_given_and_the_other_measured(images, given):
    whitening = fit(images, **{given: MEAN}, zca=False)
    measured = fit(images, zca=False)
    other = {"mean": "std", "std": "mean"}[given]
    np.testing.assert_allclose(getattr(whitening, given), MEAN)
    np.testing.assert_array_equal(getattr(whitening, other), getattr(measured, other))


def test_the_matrix_is_the_one_of_the_formula(images, whitening):
    rows = standardized(images).reshape(400, -1)
    covariance = np.cov(rows, rowvar=False, bias=True)
    covariance += 0.1 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    left, singular, _ = np.linalg.svd(covariance)
    np.testing.assert_allclose(whitening.matrix, left @ np.diag(singular**-0.5) @ left.T, atol=1e-5)
    np.testing.assert_allclose(whitening.inverse, left @ np.diag(singular**0.5) @ left.T, atol=1e-5)
    np.testing.assert_allclose(whitening.zca_mean, rows.mean(axis=0), atol=1e-6)


def test_pixels_come_back(images, whitening):
    assert whitening.whitened
    unseen = pixels(20, 6, 6, 3)
    for some in (images, unseen):
        assert np.abs(whitening.invert(whitening.apply(some)) - some).max() < 0.01
        assert (whitening.pixels(whitening.apply(some)) == some).all()


def test_pixels_are_clipped(whitening):
    far = 1e4 * np.sign(np.random.default_rng(0).normal(size=(3, 6, 6, 3)))
    shown = whitening.pixels(far)
    assert shown.dtype == np.uint8
    assert set(np.unique(shown)) >= {0, 255}
    assert whitening.invert(far).max() > 255


def dense(images, regularization=0.1):
    """Decompose the D x D covariance, in float64: vectors, eigenvalues, and the rank of the data."""
    count, dimension = len(images), math.prod(images.shape[1:])
    covariance = np.cov(standardized(images).reshape(count, -1), rowvar=False, bias=True)
    ascending, vectors = np.linalg.eigh(covariance)
    eigenvalues = np.maximum(ascending, 0) + regularization * np.trace(covariance) / dimension
    eigenvalues[: dimension - count] = 1
    return vectors, eigenvalues, np.linalg.matrix_rank(covariance, hermitian=True)


@pytest.mark.parametrize("exponent", [-0.5, 0.5])
@pytest.mark.parametrize("repeated", [0, 4])
def test_a_whitening_of_few_images_is_the_dense_one(exponent, repeated):
    """To 1e-8 relative, in float64: the whitening and its inverse."""
    images = natural_images(20, 6, 3)
    images[:repeated] = images[10]  # also where images are equal
    rows = standardized(images).reshape(20, -1)
    rows -= rows.mean(axis=0)
    basis, eigenvalues = low_rank(rows, 0.1)
    found = np.eye(108) + basis @ np.diag(eigenvalues**exponent - 1) @ basis.T
    vectors, due, rank = dense(images)
    assert rank == 20 - 1 - repeated

    # Images in the span of the training images: exactly what the dense code gives.
    inside = np.random.default_rng(0).normal(size=(5, 20)) @ rows
    whole = vectors @ np.diag(due**exponent) @ vectors.T
    assert np.linalg.norm(inside @ (found - whole)) < 1e-8 * np.linalg.norm(inside @ whole)

    # Any images, once the dense code's vectors of the null space, which rounding picks, count as 1 too.
    due[: 108 - rank] = 1
    whole = vectors @ np.diag(due**exponent) @ vectors.T
    assert np.linalg.norm(found - whole) < 1e-8 * np.linalg.norm(whole)


@pytest.mark.parametrize(("count", "side"), [(10, 6), (5, 66)])
def test_few_images_are_whitened_and_come_back(count, side):
    images, unseen = natural_images(count, side, 3), pixels(3, side, side, 3)
    whitening = fit(images, mean=MEAN, std=STD, zca=True)
    dimension = dimension_of((side, side, 3))
    assert {name: array.shape for name, array in whitening.arrays().items()} == array_shapes(
        (side, side, 3), count, whiten=True
    )
    assert whitening.basis.shape == (dimension, count * (4 if side == 66 else 1))
    np.testing.assert_allclose(whitening.zca_mean, standardized(images).mean(axis=0).ravel(), atol=1e-6)
    for some in (images, unseen):
        assert np.abs(whitening.invert(whitening.apply(some)) - some).max() < 0.05
        assert (whitening.pixels(whitening.apply(some)) == some).all()


def test_large_few_images_are_whitened_tile_by_tile():
    images = natural_images(6, 66, 1)
    whitening = fit(images, zca=True)
    z = (images / 255 - whitening.mean) / whitening.std - whitening.zca_mean.reshape(66, 66, 1)
    tiles = [z[:, i::2, j::2].reshape(6, -1) for i in range(2) for j in range(2)]
    covariance = np.mean([tile.T @ tile / 6 for tile in tiles], axis=0)
    values, vectors = np.linalg.eigh(covariance)
    scales = np.where(values > 1e-9, values + 0.1 * values.mean(), 1) ** -0.5
    due = tiles[2] @ vectors @ np.diag(scales) @ vectors.T
    np.testing.assert_allclose(whitening.apply(images)[:, 1::2, ::2].reshape(6, -1), due, atol=1e-3)


def test_the_sign_of_eigenvectors_does_not_depend_on_lapack(images, monkeypatch):
    few, whole = images[:10], np.linalg.eigh
    before = fit(few, zca=True).arrays()
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: (whole(matrix)[0], -whole(matrix)[1]))
    after = fit(few, zca=True).arrays()
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize("zca", [False, True])
def test_a_blank_channel_does_no_harm(images, zca):
    blank = images.copy()
    blank[..., 2] = 7
    whitening = fit(blank, zca=zca)
    assert np.isfinite(whitening.apply(blank)).all()
    assert (whitening.pixels(whitening.apply(blank)) == blank).all()


@pytest.mark.parametrize("count", [5, 50])
def test_images_that_are_all_the_same_are_refused(count):
    with pytest.raises(ConfigError, match="the same"):
        fit(np.full((count, 4, 4, 3), 9, np.uint8), zca=True)


@pytest.mark.parametrize(("zca", "count"), [(False, 400), (True, 400), (True, 20)])
def test_what_is_stored_comes_back(images, zca, count):
    whitening = fit(images[:count], zca=zca)
    arrays = whitening.arrays()
    assert {name: array.shape for name, array in arrays.items()} == array_shapes((6, 6, 3), count, whiten=zca)
    assert all(array.dtype == np.float32 for array in arrays.values())
    again = Whitening.from_arrays(arrays)
    assert again.whitened is zca
    assert (again.apply(images) == whitening.apply(images)).all()


@pytest.mark.parametrize(("count", "missing"), [(400, "mean"), (400, "matrix"), (20, "basis")])
def test_missing_arrays_are_found(images, count, missing):
    arrays = fit(images[:count], zca=True).arrays()
    del arrays[missing]
    with pytest.raises(Corrupt, match="prepare the data set again"):
        Whitening.from_arrays(arrays)


def test_panels_do_not_change_the_map(images, whitening, monkeypatch):
    monkeypatch.setattr("rcig_cli.data.whitening.moments._PANEL", 25)
    other = fit(images, mean=MEAN, std=STD, zca=True)
    for name, array in whitening.arrays().items():
        np.testing.assert_allclose(getattr(other, name), array, atol=1e-5)
    assert (other.zca_mean == whitening.zca_mean).all()
