"""The real images of each step: shared out among models, read ahead, each step its own."""

import threading

import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.runs.engine.batches import Batches, ReadAhead, RealData


def real(count=50):
    images = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
    return RealData(images, np.arange(count, dtype=np.int32) % 3)


def test_a_batch_is_shared_out_among_the_models_without_repeats():
    batches = Batches(real(), 12, 3, seed=0)
    images, classes = batches.of(5)
    assert images.shape == (3, 4, 1, 1, 1)
    assert len(set(images.ravel().tolist())) == 12
    np.testing.assert_array_equal(classes, images.reshape(3, 4).astype(int) % 3)
    assert [shape.shape for shape in batches.shapes] == [images.shape, classes.shape]


def test_the_number_of_models_does_not_change_what_a_step_sees():
    one, three = Batches(real(), 12, 1, seed=0), Batches(real(), 12, 3, seed=0)
    for step in (0, 3, 4, 9):
        np.testing.assert_array_equal(one.of(step)[0].ravel(), three.of(step)[0].ravel())


def test_augmentation_depends_on_the_seed_the_step_and_the_place_in_the_batch_only():
    random = np.random.default_rng(0)
    data = RealData(random.normal(size=(20, 8, 9, 3)).astype(np.float32), np.zeros(20, np.int32))
    batches = Batches(data, 12, 3, 0, ("translate", "flip"))
    images = jnp.asarray(batches.of(5)[0])
    whole = batches.augmented(images, jnp.uint32(5))
    assert whole.shape == images.shape
    assert not (np.asarray(whole) == images).all()
    np.testing.assert_array_equal(batches.augmented(images[1:, 2:], jnp.uint32(5), (1, 2)), whole[1:, 2:])
    np.testing.assert_array_equal(
        Batches(data, 12, 1, 0, ("translate", "flip")).augmented(images.reshape(1, 12, 8, 9, 3), 5)[0],
        whole.reshape(12, 8, 9, 3),
    )
    for other in (
        batches.augmented(images, jnp.uint32(6)),
        Batches(data, 12, 3, 1, ("translate", "flip")).augmented(images, 5),
    ):
        assert not (np.asarray(other) == whole).all()
    assert Batches(data, 12, 3, 0).augmented(images, 5) is images


def test_what_comes_next_is_read_by_another_thread_and_what_is_asked_is_what_comes():
    read = []

    def reader(step, count):
        read.append((step, count, threading.current_thread().name))
        return step, count

    ahead = ReadAhead(reader)
    assert [ahead.take(0, 4), ahead.take(4, 4), ahead.take(8, 2), ahead.take(20, 2)] == [
        *[(0, 4), (4, 4), (8, 2), (20, 2)]
    ]
    threads = {(step, count): name for step, count, name in read}
    assert threads[4, 4].startswith("read-ahead")
    assert not threads[0, 4].startswith("read-ahead")


def test_an_error_while_reading_ahead_is_raised_when_its_batch_is_taken():
    def reader(step, count):
        if step == 4:
            raise OSError("gone")
        return step

    ahead = ReadAhead(reader)
    assert ahead.take(0, 4) == 0
    with pytest.raises(OSError, match="gone"):
        ahead.take(4, 4)
