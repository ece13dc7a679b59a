"""Gradient matching: each class of the distilled set gives a network the gradient that real images give it.

    L   = sum over classes c of D( G(real images of c), G(distilled images of c) )
    G   = gradient of the mean cross-entropy in the network's parameters
    D   = sum over layers, and over the layer's outputs, of 1 - cos(angle between the weights' gradients)

Biases, and the scales and biases of norms, have no part in D.  The network is trained on the distilled set
between outer steps, and replaced by a fresh one after some of them.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from rcig_cli.distillation import pool
from rcig_cli.distillation.matching.siamese import augment_alike
from rcig_cli.distillation.pool import Model, Pool
from rcig_cli.distillation.records import Distilled, Tree, split
from rcig_cli.distillation.step import Learner, Proposal, Step, make_step
from rcig_cli.distillation.task import Task

IMAGE_MOMENTUM, NETWORK_MOMENTUM = 0.5, 0.5  # of the gradient descent on images, and on the parameters

_SMALL = 1e-6  # is added to the product of two norms


def make_gradient_matching_step(task: Task, settings: Any) -> Step:
    """Build the `Step` of gradient matching.

    ``propose`` takes real images of all classes in turn: image ``i`` is of class ``i mod C``.

    Parameters
    ----------
    task
        The network that is distilled with, the platform, and the number of distilled images of each class.
    settings
        The method's settings: ``siamese``, ``network_lr``, ``network_steps`` and ``renew_every`` among them.
    """
    network, platform = task.network, task.platform
    ends = np.cumsum((0, *task.images_per_class))

    def cross_entropy(parameters: Tree, images: Array, classes: Array) -> Array:
        """Summed over the images."""
        logits = network.apply(parameters, images)[0]
        return jnp.sum(optax.softmax_cross_entropy_with_integer_labels(logits, classes))

    def seen(images: Array, key: Array) -> Array:
        if not settings.siamese:
            return images
        return augment_alike(jnp.broadcast_to(key, images.shape[:1]), images)

    def propose(
        learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> Proposal:
        assert key is not None

        def gradient_of(images: Array, classes: Array, key: Array) -> Tree:
            return jax.grad(cross_entropy)(theta_0, seen(images, key), classes)

        def matched(real: Tree, images: Array, classes: Array, key: Array) -> tuple[Array, Array]:
            def loss(images: Array) -> Array:
                return distance(real, _divided(gradient_of(images, classes, key), images.shape[0]))

            value, gradient = jax.value_and_grad(loss)(images)
            return value, gradient

        matched = platform.repeated(matched)
        psi = learner.psi
        count = psi.labels.shape[1]
        decoded, pull = jax.vjp(task.decode, psi.stored)
        own_classes = jnp.argmax(psi.labels, 1)
        values, gradients = [], []
        for label, (class_key, (start, end)) in enumerate(
            zip(jax.random.split(key, count), pairwise(ends), strict=True)
        ):
            few, few_classes = images[label::count], classes[label::count]
            pieces = platform.pieces(few.shape[0])
            keys = jnp.broadcast_to(class_key, (pieces,))
            batch = zip(split(few, pieces), split(few_classes, pieces), keys, strict=True)
            real = platform.average(platform.sum_in_turn(gradient_of, list(batch)))
            value, gradient = matched(
                _divided(real, few.shape[0]), decoded[start:end], own_classes[start:end], class_key
            )
            values.append(value)
            gradients.append(gradient)
        (stored,) = pull(jnp.concatenate(gradients))
        zero = jnp.zeros_like(psi.labels), jnp.zeros_like(psi.log_temperature)
        metrics = {"loss": sum(values, jnp.zeros(())), "gradient_norm": optax.tree.norm(stored)}
        return Proposal(Distilled(stored, *zero), metrics, {})

    descent = optax.sgd(settings.network_lr, NETWORK_MOMENTUM)

    def train(model: Model, psi: Distilled, key: Array | None = None) -> Model:
        images = task.decode(psi.stored)
        if settings.siamese:
            assert key is not None
            keys = jax.random.split(jax.random.fold_in(key, model.age), images.shape[0])
            images = augment_alike(keys, images)
        return pool.train(
            network, descent, model, images, psi.labels, loss=pool.cross_entropy, platform=platform
        )

    def fresh(key: Array) -> Model:
        return pool.fresh_model(network, descent, key)

    of_networks = Pool(
        size=settings.models,
        max_age=settings.network_steps * settings.renew_every,
        training_steps=settings.network_steps,
        lr=settings.network_lr,
    )
    step = make_step(task, settings, propose, of_networks, direction=optax.trace(IMAGE_MOMENTUM))
    return replace(
        step,
        train=train,
        fresh=fresh,
        renew=lambda model, key: pool.renew(model, of_networks.max_age, lambda: fresh(key)),
        least_training_steps=settings.network_steps,
    )


def distance(one: Tree, other: Tree) -> Array:
    """Return the distance D of two gradients in a network's parameters, ``[]``."""
    pairs: Sequence[tuple[Array, Array]] = list(
        zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )
    return sum((_between(a, b) for a, b in pairs if a.ndim > 1), jnp.zeros(()))


def _between(a: Array, b: Array) -> Array:
    """Sum 1 - cos over the outputs of a layer, the last axis of its kernel's gradients."""
    a, b = (leaf.reshape(-1, leaf.shape[-1]) for leaf in (a, b))
    return jnp.sum(1 - jnp.sum(a * b, 0) / (_norms(a) * _norms(b) + _SMALL))


def _norms(columns: Array) -> Array:
    """Return the norms of columns, with the gradient 0 at a column of zeros."""
    squared = jnp.sum(columns**2, 0)
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)


def _divided(tree: Tree, count: int) -> Tree:
    return jax.tree.map(lambda leaf: leaf / count, tree)
