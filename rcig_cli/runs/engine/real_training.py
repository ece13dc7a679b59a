"""Ordinary training of one network on all real images, batch by batch."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
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


def train_on_real(
    network: Network,
    optimizer: optax.GradientTransformation,
    batches: Batches,
    key: Array,
    *,
    classes: int,
    loss: Loss = pool.squared_error,
    augment: Callable[[Array, Array], Array] | None = None,
) -> Iterator[Model]:
    """Yield a fresh network, and then the same after each training step, without end.

    Parameters
    ----------
    network, optimizer
        What is trained, and by what.
    batches
        The real images of each step, of one model.
    key
        For the network's first parameters, and for ``augment``.
    classes
        Number of classes.
    loss
        Of the logits and the centred one-hot labels.
    augment
        ``(key, images [b, H, W, c]) -> [b, H, W, c]``, in addition to the augmentation of ``batches``.
    """
    platform = current_platform()
    one_step = partial(pool.train, network, optimizer, loss=loss, platform=platform)

    key_network, key_augment = jax.random.split(key)

    def step(model: Model, images: Array, labels: Array, number: Array, key: Array) -> Model:
        seen = batches.augmented(images, number)[0]
        if augment is not None:
            seen = augment(jax.random.fold_in(key, number), seen)
        return one_step(model, seen, centred_one_hot(labels[0], classes))

    compiled = Programs(step) if platform.unroll else jit(step)
    ahead = ReadAhead(lambda number, _: batches.of(number))
    model = jit(partial(pool.fresh_model, network, optimizer))(key_network)
    number = 0
    while True:
        yield model
        images, labels = ahead.take(number, 1)
        model = jax.block_until_ready(compiled(model, images, labels, jnp.uint32(number), key_augment))
        number += 1
