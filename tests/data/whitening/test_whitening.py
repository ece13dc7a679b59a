import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rcig_cli.data.whitening.whitening import Whitening, fit
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.examples import natural_images, pixels

ROOT = Path(__file__).resolve().parent.parent.parent
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def standardised(images):
    return (images / 255 - np.array(MEAN)) / np.array(STD)


@pytest.fixture(scope="module")
def images():
    return natural_images(400, 6, 3)


@pytest.fixture(scope="module")
def whitening(images):
    return fit([images[:150], images[150:]], mean=MEAN, std=STD, zca=True)


def test_without_zca_channels_are_standardised(images):
    values = fit([images], zca=False).apply(images)
    np.testing.assert_allclose(values.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(axis=(0, 1, 2)), 1, atol=1e-5)
    assert values.dtype == np.float32


def test_statistics_that_are_known_need_no_pass():
    def never():
        raise AssertionError("read")
        yield

    whitening = fit(never(), mean=MEAN, std=STD, zca=False)
    assert not whitening.whitened
    assert whitening.mean.tolist() == np.float32(MEAN).tolist()


@pytest.mark.parametrize("given", ["mean", "std"])
def test_one_statistic_may_be_given_and_the_other_measured(images, given):
    whitening = fit([images], **{given: MEAN}, zca=False)
    measured = fit([images], zca=False)
    other = {"mean": "std", "std": "mean"}[given]
    np.testing.assert_allclose(getattr(whitening, given), MEAN)
    np.testing.assert_array_equal(getattr(whitening, other), getattr(measured, other))


def test_the_matrix_is_the_one_of_the_formula(images, whitening):
    rows = standardised(images).reshape(400, -1)
    covariance = np.cov(rows, rowvar=False, bias=True)
    covariance += 0.1 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    left, singular, _ = np.linalg.svd(covariance)
    np.testing.assert_allclose(whitening.matrix, left @ np.diag(singular**-0.5) @ left.T, atol=1e-5)
    np.testing.assert_allclose(whitening.inverse, left @ np.diag(singular**0.5) @ left.T, atol=1e-5)
    np.testing.assert_allclose(whitening.zca_mean, rows.mean(axis=0), atol=1e-6)


def test_whitened_data_has_the_covariance_the_formula_leaves(images, whitening):
    rows = standardised(images).reshape(400, -1)
    eigenvalues = np.linalg.eigvalsh(np.cov(rows, rowvar=False, bias=True))
    whitened = whitening.apply(images).reshape(400, -1).astype(np.float64)
    left = np.linalg.eigvalsh(np.cov(whitened, rowvar=False, bias=True))
    np.testing.assert_allclose(left, eigenvalues / (eigenvalues + 0.1 * eigenvalues.mean()), atol=1e-4)
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-4)


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


def test_fewer_images_than_pixels_leave_the_rest_at_one():
    images = natural_images(10, 6, 3)
    whitening = fit([images], mean=MEAN, std=STD, zca=True)
    eigenvalues = np.linalg.eigvalsh(whitening.matrix.astype(np.float64))
    assert (np.abs(eigenvalues - 1) < 1e-5).sum() >= 6 * 6 * 3 - 10
    assert np.abs(whitening.invert(whitening.apply(images)) - images).max() < 0.01


def test_regularisation_is_a_share_of_the_average_variance(images):
    strong = fit([images], mean=MEAN, std=STD, zca=True, regularisation=1e6)
    average = np.cov(standardised(images).reshape(400, -1), rowvar=False, bias=True).trace() / 108
    np.testing.assert_allclose(strong.inverse, np.eye(108) * np.sqrt(1e6 * average), atol=0.02)


def test_the_batches_do_not_matter(images, whitening):
    other = fit(iter(np.split(images, 100)), mean=MEAN, std=STD, zca=True)
    assert all((other.arrays()[name] == array).all() for name, array in whitening.arrays().items())


def test_large_images_share_one_matrix_between_their_tiles():
    images = natural_images(30, 66, 1)
    whitening = fit([images], zca=True)
    assert whitening.matrix.shape == (33 * 33, 33 * 33)
    assert whitening.zca_mean.shape == (66 * 66,)
    values = whitening.apply(images)
    assert values.shape == images.shape
    corner = (images[:, 1::2, ::2, :] / 255 - whitening.mean) / whitening.std
    corner -= whitening.zca_mean.reshape(66, 66, 1)[1::2, ::2]
    due = corner.reshape(30, -1) @ whitening.matrix
    np.testing.assert_allclose(values[:, 1::2, ::2].reshape(30, -1), due, atol=1e-3)
    assert np.abs(whitening.invert(values) - images).max() < 0.05


@pytest.mark.parametrize("zca", [False, True])
def test_a_blank_channel_does_no_harm(images, zca):
    blank = images.copy()
    blank[..., 2] = 7
    whitening = fit([blank], zca=zca)
    assert np.isfinite(whitening.apply(blank)).all()
    assert (whitening.pixels(whitening.apply(blank)) == blank).all()


def test_images_that_are_all_the_same_are_refused():
    with pytest.raises(ConfigError, match="the same"):
        fit([np.full((5, 4, 4, 3), 9, np.uint8)], zca=True)


@pytest.mark.parametrize("regularisation", [0, -0.1, float("nan"), float("inf")])
def test_a_regularisation_that_cannot_be_is_refused(images, regularisation):
    with pytest.raises(ConfigError, match="regularisation"):
        fit([images], zca=True, regularisation=regularisation)


@pytest.mark.parametrize("zca", [False, True])
def test_what_is_stored_comes_back(images, zca):
    whitening = fit([images], zca=zca)
    arrays = whitening.arrays()
    assert set(arrays) == {"mean", "std"} | ({"zca_mean", "matrix", "inverse"} if zca else set())
    assert all(array.dtype == np.float32 for array in arrays.values())
    again = Whitening.from_arrays(arrays)
    assert again.whitened is zca
    assert (again.apply(images) == whitening.apply(images)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"mean": None},
        {"matrix": None},
        {"mean": np.zeros(2)},
        {"std": np.zeros(3)},
        {"mean": np.array([0.1, np.nan, 0.1])},
        {"zca_mean": np.zeros(107)},
        {"inverse": np.zeros((108, 107))},
        {"matrix": np.zeros(108)},
    ],
    ids=str,
)
def test_damaged_arrays_are_found(whitening, change):
    arrays = {**whitening.arrays(), **change}
    with pytest.raises(Corrupt, match="prepare"):
        Whitening.from_arrays({name: array for name, array in arrays.items() if array is not None})


def test_panels_do_not_change_the_map(images, whitening, monkeypatch):
    monkeypatch.setattr("rcig_cli.data.whitening.moments._PANEL", 25)
    other = fit([images], mean=MEAN, std=STD, zca=True)
    for name, array in whitening.arrays().items():
        np.testing.assert_allclose(getattr(other, name), array, atol=1e-5)
    assert (other.zca_mean == whitening.zca_mean).all()


MEMORY = """
import numpy as np
from rcig_cli.data.whitening.whitening import fit
from tests.runs.prepare.prepare_child import peak_bytes

def peak(side):
    random = np.random.default_rng(0)
    fit((random.integers(0, 256, (200, side, side, 3), np.uint8) for _ in range(2)), zca=True)
    return peak_bytes()

before = peak(4)
print(peak(22) - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process's peak is read as Linux gives it")
def test_a_whitening_takes_five_matrices_of_memory():
    """With 12 288 dimensions, 64 RGB pixels, that is 6 GB: LAPACK takes four beside the covariance."""
    matrix = (22 * 22 * 3) ** 2 * 8
    command = [sys.executable, "-c", MEMORY]
    done = subprocess.run(command, capture_output=True, check=False, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    taken = int(done.stdout)
    assert 4 * matrix < taken < 6 * matrix
