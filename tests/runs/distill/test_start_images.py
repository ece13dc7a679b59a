"""The images that a distillation starts from, on classes of points whose centres are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.runs.distill import start_images as module
from rcig_cli.runs.distill.start_images import start_images
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.engine.randomness import Use, first_images, key_for

SHAPE = (4, 5, 3)
COUNTS = (3, 1, 2)


def real(seed=0, number=60):
    random = np.random.default_rng(seed)
    classes = random.permutation(np.arange(number, dtype=np.int32) % 3)
    return RealData(random.normal(size=(number, *SHAPE)).astype(np.float32), classes)


def test_random_start_images_are_the_drawn_ones():
    data = real()
    images, classes = start_images(data, COUNTS, "random", seed=5)
    chosen = first_images(key_for(5, Use.FIRST_IMAGES), data.classes, COUNTS)
    np.testing.assert_array_equal(images, data.images[chosen])
    assert classes.tolist() == data.classes[chosen].tolist() == [0, 0, 0, 1, 2, 2]


@pytest.mark.parametrize("start", ["k-center", "class-mean"])
def test_start_images_belong_to_their_class_and_depend_on_nothing_else(start):
    data = real()
    images, classes = start_images(data, COUNTS, start, seed=5)
    assert images.shape == (6, *SHAPE)
    assert images.dtype == jnp.float32
    assert classes.tolist() == [0, 0, 0, 1, 2, 2]
    other = data.images + 100 * (data.classes != 0)[:, None, None, None].astype(np.float32)
    np.testing.assert_array_equal(
        start_images(data._replace(images=other), COUNTS, start, 5)[0][:3], images[:3]
    )
    rows = data.images.reshape(60, -1)
    for label, image in zip(classes, np.asarray(images).reshape(6, -1), strict=True):
        of_class = rows[data.classes == label]
        assert (image == of_class).all(1).any() == (start == "k-center")
        assert (
            np.linalg.norm(image - of_class.mean(0))
            < np.linalg.norm(of_class - of_class.mean(0), axis=1).max() + 1
        )


@pytest.mark.parametrize("start", ["k-center", "class-mean"])
def test_of_a_class_with_too_few_images_all_are_repeated_with_noise(start):
    data = real(number=6)  # two of each class
    images = np.asarray(start_images(data, (5, 1, 2), start, seed=0)[0])
    two = data.images[data.classes == 0]
    unchanged = [any(np.allclose(image, each, atol=1e-5) for each in two) for image in images[:5]]
    assert unchanged == [True, True, False, False, False]
    assert len(np.unique(images.reshape(8, -1), axis=0)) == 8


def test_of_a_class_too_large_for_memory_a_random_part_is_used(monkeypatch):
    monkeypatch.setattr(module, "_LARGEST_CLASS", 7 * 4 * np.prod(SHAPE))
    data = real()
    one, other = (np.asarray(start_images(data, (1, 1, 1), "class-mean", seed)[0]) for seed in (0, 1))
    assert (one != other).any()
    chosen = first_images(key_for(0, Use.FIRST_IMAGES), data.classes, [7, 7, 7])
    expected = data.images[chosen].reshape(3, 7, *SHAPE).mean(1)
    np.testing.assert_allclose(one, expected, atol=1e-6)
