"""Ordinary training of one network on all real images, batch by batch."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from rcig_cli.distillation import pool
from rcig_cli.distillation.pool import Loss, Model
from rcig_cli.distillation.records import centred_one_hot
from rcig_cli.networks.network import Network
from rcig_cli.runs.engine.batches import Batches, ReadAhead
from rcig_cli.runs.engine.environment import jit
from rcig_cli.runs.engine.mesh import current_platform
from rcig_cli.runs.engine.programs import Programs

_WAIT_EVERY = 10  # steps

# (key, batches of one model) -> a fresh network, and then the same after each training step, without end
TrainOnReal = Callable[[Array, Batches], Iterator[Model]]


def make_training_on_real(
    network: Network,
    optimizer: optax.GradientTransformation,
    *,
    classes: int,
    loss: Loss = pool.squared_error,
    augment: Callable[[Array, Array], Array] | None = None,
) -> TrainOnReal:
    """Return the function that trains a network on real images; it is compiled once for all networks.

    Its key is for the network's first parameters and for ``augment``.

    Parameters
    ----------
    network, optimizer
        What is trained, and by what.
    classes
        Number of classes.
    loss
        Of the logits and the centred one-hot labels.
    augment
        ``(key, images [b, H, W, c]) -> [b, H, W, c]``, in addition to the augmentation of the batches.
    """
    platform = current_platform()

    def step(model: Model, images: Array, labels: Array, number: Array, key: Array) -> Model:
        if augment is not None:
            images = augment(jax.random.fold_in(key, number), images)
        wanted = centred_one_hot(labels, classes)
        return pool.train(network, optimizer, model, images, wanted, loss=loss, platform=platform)

    compiled = Programs(step) if platform.unroll else jit(step)
    fresh = jit(partial(pool.fresh_model, network, optimizer))

    def train(key: Array, batches: Batches) -> Iterator[Model]:
        key_network, key_augment = jax.random.split(key)
        augmented = jit(batches.augmented) if batches.augmentations else None
        ahead = ReadAhead(lambda number, _: batches.of(number))
        model = fresh(key_network)
        for number in itertools.count():
            yield model
            images, labels = ahead.take(number, 1)
            if augmented:
                images = augmented(images, jnp.uint32(number))
            model = compiled(model, images[0], labels[0], jnp.uint32(number), key_augment)
            if number % _WAIT_EVERY == 0:
                jax.block_until_ready(model)  # so that progress is reported when it was made

    return train


def seed_of(seed: int, number: int) -> int:
    """Return the seed for the batches of one of several networks: other seeds share none of them."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
