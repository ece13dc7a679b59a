"""Ordinary training of one network on all real images, batch by batch."""

from collections.abc import Iterator
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
) -> Iterator[Model]:
    """Yield a fresh network, and then the same after each training step, without end.

    Parameters
    ----------
    network, optimizer
        What is trained, and by what.
    batches
        The real images of each step, of one model.
    key
        For the network's first parameters.
    classes
        Number of classes.
    loss
        Of the logits and the centred one-hot labels.
    """
    platform = current_platform()
    one_step = partial(pool.train, network, optimizer, loss=loss, platform=platform)

    def step(model: Model, images: Array, labels: Array, number: Array) -> Model:
        seen = batches.augmented(images, number)[0]
        return one_step(model, seen, centred_one_hot(labels[0], classes))

    compiled = Programs(step) if platform.unroll else jit(step)
    ahead = ReadAhead(lambda number, _: batches.of(number))
    model = jit(partial(pool.fresh_model, network, optimizer))(key)
    number = 0
    while True:
        yield model
        images, labels = ahead.take(number, 1)
        model = jax.block_until_ready(compiled(model, images, labels, jnp.uint32(number)))
        number += 1
