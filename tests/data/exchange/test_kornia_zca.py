"""Kornia's whitening, against its definition, and images in the spaces of other programs."""

import numpy as np
import pytest

from rcig_cli.data.exchange.kornia_zca import KorniaZca
from rcig_cli.errors import ConfigError
from tests.data.examples import natural_images
from tests.data.exchange_sets import dataset_info, exported_set, read

SHAPE = (4, 4, 3)
REAL = natural_images(40, 4, 3)  # fewer than an image has values, so some eigenvalues are 0
ZCA = KorniaZca.fit(SHAPE, [REAL[:15], REAL[15:]])


def whitened_by_definition(images):
    """U (S + 0.1)^(-1/2) U^T (x - m) of unit pixels, flattened with the channels first."""
    rows = REAL.transpose(0, 3, 1, 2).reshape(len(REAL), -1) / 255
    vectors, values, _ = np.linalg.svd(np.cov(rows, rowvar=False))
    matrix = vectors @ np.diag((values + 0.1) ** -0.5) @ vectors.T
    flat = images.transpose(0, 3, 1, 2).reshape(len(images), -1) - rows.mean(axis=0)
    return (flat @ matrix).reshape(-1, 3, 4, 4).transpose(0, 2, 3, 1)


def test_it_inverts_kornias_definition():
    images = np.random.default_rng(0).normal(0.5, 1, (5, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(ZCA.invert(whitened_by_definition(images)), images, atol=2e-5)


def test_images_larger_than_64_pixels_are_refused():
    with pytest.raises(ConfigError, match="up to 64 x 64"):
        KorniaZca.fit((65, 65, 3), [])


def test_whitened_images_of_mtt_become_the_inputs_that_their_pixels_would(tmp_path):
    given = exported_set()
    unit = given.whitening.invert(given.images) / 255  # neither clipped nor rounded
    images = whitened_by_definition(unit).astype(np.float32).transpose(0, 3, 1, 2)
    np.savez(tmp_path / "a.npz", images=images, labels=given.classes)
    found = read(tmp_path / "a.npz", space="kornia-zca")
    np.testing.assert_allclose(found.inputs(given.whitening, lambda: ZCA), given.images, atol=1e-3)
    assert "[n, c, H, W]" in found.notes[-1].text


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        ("cifar10", [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
        ("cifar100", [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
        ("tiny_imagenet", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ],
)
def test_images_normalized_as_in_the_code_of_dc(tmp_path, name, mean, std):
    given = exported_set()
    pixels = given.pixels()
    images = ((pixels / 255 - mean) / std).astype(np.float32)
    np.savez(tmp_path / "a.npz", images=images, labels=given.classes)
    found = read(tmp_path / "a.npz", dataset_info(name=name), space="dc-normalized")
    np.testing.assert_allclose(found.inputs(given.whitening), given.whitening.apply(pixels), atol=1e-4)


def test_the_statistics_of_an_unknown_data_set_are_refused(tmp_path):
    given = exported_set()
    np.savez(tmp_path / "a.npz", images=given.images, labels=given.classes)
    with pytest.raises(ConfigError, match=r"means and deviations of pets .* are not known"):
        read(tmp_path / "a.npz", space="dc-normalized")
