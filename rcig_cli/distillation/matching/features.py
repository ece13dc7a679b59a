"""Distribution matching: each class of the distilled set gets the mean features of the real class.

    L = sum over classes c of | mean of h(real images of c) - mean of h(distilled images of c) |^2

h are the features of a network with random parameters, drawn anew for each outer step.  With siamese
augmentation the images of a class, real and distilled, are changed alike before.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.bilevel.inner import in_parts
from rcig_cli.distillation.matching.siamese import augment_alike
from rcig_cli.distillation.pool import Pool
from rcig_cli.distillation.records import Distilled, Tree, split
from rcig_cli.distillation.step import Learner, Proposal, Step, make_step
from rcig_cli.distillation.task import Task

MOMENTUM = 0.5  # of the gradient descent on images, as published


def make_feature_matching_step(task: Task, settings: Any) -> Step:
    """Build the `Step` of distribution matching.

    A class without real images in a step has no part in its loss.

    Parameters
    ----------
    task
        The network that is distilled with, and the platform.
    settings
        The method's settings: ``siamese`` among them.
    """
    network, platform = task.network, task.platform

    def propose(
        learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> Proposal:
        psi = learner.psi
        count = psi.labels.shape[1]
        assert key is not None
        keys = jax.random.split(key, count)

        def features(images: Array) -> Array:
            return network.apply(theta_0, images)[1]

        def membership(classes: Array) -> Array:
            return jnp.asarray(classes[:, None] == jnp.arange(count), images.dtype)

        def seen(images: Array, classes: Array) -> Array:
            return augment_alike(keys[classes], images) if settings.siamese else images

        def sums(images: Array, classes: Array) -> Array:
            return membership(classes).T @ features(seen(images, classes))

        pieces = platform.pieces(images.shape[0])
        batch = list(zip(split(images, pieces), split(classes, pieces), strict=True))
        real = platform.sum_in_turn(sums, batch)
        real, present = platform.average((real, membership(classes).sum(0)))
        own_classes = jnp.argmax(psi.labels, 1)
        own = membership(own_classes)

        def loss(stored: Any) -> Array:
            distilled = seen(task.decode(stored), own_classes)
            means = own.T @ in_parts(features, distilled, platform) / own.sum(0)[:, None]
            difference = real / jnp.where(present > 0, present, 1)[:, None] - means
            return jnp.sum(jnp.where(present > 0, jnp.sum(difference**2, 1), 0))

        value, gradient = jax.value_and_grad(loss)(psi.stored)
        zero = jnp.zeros_like(psi.labels), jnp.zeros_like(psi.log_temperature)
        metrics = {"loss": value, "gradient_norm": optax.tree.norm(gradient)}
        return Proposal(Distilled(gradient, *zero), metrics, {})

    fresh = Pool(size=settings.models, max_age=0, training_steps=0, lr=0.0)
    return make_step(task, settings, propose, fresh, direction=optax.trace(MOMENTUM))
