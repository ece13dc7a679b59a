"""The draws of a step depend only on seed and step, and cover all values with the right frequencies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.runs.engine.batches import Batches, RealData
from rcig_cli.runs.engine.randomness import (
    Use,
    balanced_order,
    batch_order,
    draw,
    first_images,
    key_for,
    perturb_copies,
)


def draws(seed, steps, pool_size=30, pool_steps=15):
    one = jax.jit(jax.vmap(lambda step: draw(key_for(seed, Use.STEPS), step, pool_size, (1, pool_steps))))
    return one(np.arange(steps, dtype=np.uint32))


def test_every_pair_of_model_and_training_steps_occurs():
    drawn = draws(0, 20_000)
    pairs = set(zip(np.asarray(drawn.model).tolist(), np.asarray(drawn.training_steps).tolist(), strict=True))
    assert pairs == {(model, steps) for model in range(30) for steps in range(1, 16)}


def test_the_training_steps_say_nothing_about_the_next_model():
    drawn = draws(1, 20_000)
    steps, following = np.asarray(drawn.training_steps)[:-1], np.asarray(drawn.model)[1:]
    assert abs(np.corrcoef(steps, following)[0, 1]) < 0.03
    assert len(set(zip(steps.tolist(), following.tolist(), strict=True))) == 450


def test_another_seed_draws_otherwise_and_the_same_seed_alike():
    first, same, other = draws(3, 50), draws(3, 50), draws(4, 50)
    assert (first.model == same.model).all()
    assert (first.model != other.model).any()


def test_an_epoch_shows_each_image_once_and_the_next_in_another_order():
    order = batch_order(key_for(0, Use.DATA), 103, 10)
    epoch = np.concatenate([order(step) for step in range(10)])
    assert len(set(epoch.tolist())) == 100
    assert (np.concatenate([order(step) for step in range(10, 20)]) != epoch).any()


def test_the_images_of_a_step_do_not_depend_on_earlier_calls():
    forwards = batch_order(key_for(0, Use.DATA), 50, 7)
    seen = [forwards(step) for step in range(30)]
    afresh = batch_order(key_for(0, Use.DATA), 50, 7)
    np.testing.assert_array_equal(afresh(23), seen[23])


def test_a_batch_larger_than_the_data_is_the_data():
    order = batch_order(key_for(0, Use.DATA), 5, 1024)
    assert sorted(order(0).tolist()) == [0, 1, 2, 3, 4]


def test_a_balanced_batch_has_as_many_of_each_class_and_an_epoch_of_a_class_each_image_once():
    classes = np.random.default_rng(0).permutation([0] * 10 + [1] * 13 + [2] * 4).astype(np.int32)
    order = balanced_order(key_for(0, Use.DATA), classes, 3, 6)
    steps = np.stack([order(step) for step in range(30)])
    assert (classes[steps] == [0, 1, 2, 0, 1, 2]).all()  # the class changes fastest
    for label, size in ((0, 10), (1, 12), (2, 4)):  # the last image of class 1 fills no batch
        own = steps.reshape(30, 2, 3)[:, :, label].ravel()[: 60 // size * size].reshape(-1, size)
        assert all(len(set(epoch.tolist())) == size for epoch in own)
        assert any((epoch != own[0]).any() for epoch in own[1:])
    np.testing.assert_array_equal(balanced_order(key_for(0, Use.DATA), classes, 3, 6)(17), steps[17])


def test_of_a_class_with_too_few_images_for_a_balanced_batch_all_are_repeated():
    classes = np.array([0, 1, 1, 1, 1, 1, 0], np.int32)
    chosen = balanced_order(key_for(0, Use.DATA), classes, 2, 10)(0)
    assert sorted(chosen[::2].tolist()) in ([0, 0, 0, 6, 6], [0, 0, 6, 6, 6])
    assert sorted(chosen[1::2].tolist()) == [1, 2, 3, 4, 5]


def test_each_model_of_a_balanced_step_gets_as_many_of_each_class():
    classes = np.arange(60, dtype=np.int32) % 3
    real = RealData(np.zeros((60, 1, 1, 1), np.float32), classes)
    chosen = Batches(real, 12, 2, 0, balanced=True).chosen(5)
    assert chosen.shape == (2, 6)
    assert all(np.bincount(classes[each]).tolist() == [2, 2, 2] for each in chosen)


def test_first_images_are_of_their_class_in_class_order_and_distinct():
    labels = np.array([2, 0, 1, 0, 2, 1, 0, 2, 1], np.int32)
    chosen = first_images(key_for(0, Use.FIRST_IMAGES), labels, [2, 3, 1])
    assert labels[chosen].tolist() == [0, 0, 1, 1, 1, 2]
    assert len(set(chosen.tolist())) == 6


def test_the_images_of_a_class_that_has_too_few_are_repeated_with_noise():
    labels = np.array([0, 1, 1, 1, 0, 1, 1, 1], np.int32)
    images = np.random.default_rng(0).normal(size=(8, 16, 16, 1)).astype(np.float32)
    key = key_for(0, Use.FIRST_IMAGES)
    once = first_images(key, labels, [5, 3], repeat=False)
    chosen = first_images(key, labels, [5, 3])
    assert chosen.tolist() == [*once[:2], *once[:2], once[0], *once[2:]]
    picked = images[chosen]
    perturbed = np.asarray(perturb_copies(key, jnp.asarray(picked), chosen))
    unchanged, copies = [0, 1, 5, 6, 7], [2, 3, 4]
    assert (perturbed[unchanged] == picked[unchanged]).all()
    assert np.std(perturbed[copies] - picked[copies]) == pytest.approx(0.1 * picked.std(), rel=0.1)
    differences = perturbed[:, None] - perturbed  # of every pair
    assert (np.sqrt((differences**2).mean(axis=(2, 3, 4))) + np.eye(8) > 0.08).all()


def test_images_that_are_all_different_are_not_changed():
    images = np.random.default_rng(0).normal(size=(3, 4, 4, 1))
    assert perturb_copies(key_for(0, Use.COPIES), images, np.array([4, 2, 7])) is images


@pytest.mark.parametrize("use", Use)
def test_uses_have_keys_of_their_own(use):
    others = [jax.random.key_data(key_for(0, other)) for other in Use if other is not use]
    assert all((jax.random.key_data(key_for(0, use)) != other).any() for other in others)
