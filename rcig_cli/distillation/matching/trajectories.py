"""Trajectory matching: training on the distilled set leads where training on real images has led.

    theta_0    the parameters of an expert, a network trained on real images, after some epoch
    theta*     those after some epochs more
    theta_i+1  = theta_i - alpha * gradient of the mean cross-entropy of distilled images at theta_i
    L          = |theta_N - theta*|^2 / |theta_0 - theta*|^2

The gradients of L in the images and in alpha pass through all N steps.  Backwards, with

    lambda_N = dL/dtheta_N,        lambda_i = (d theta_i+1 / d theta_i)^T lambda_i+1

each step adds (d theta_i+1 / d images)^T lambda_i+1; the theta_i are kept and nothing else.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from rcig_cli.distillation.bilevel.subsampling import choose
from rcig_cli.distillation.matching.siamese import augment_each
from rcig_cli.distillation.pool import Pool
from rcig_cli.distillation.records import Distilled, Tree
from rcig_cli.distillation.step import Info, Learner, Proposal, Step, make_step
from rcig_cli.distillation.task import Task

MOMENTUM = 0.5  # of the gradient descent on images and on alpha, as published


class StepSize(NamedTuple):
    """The learned step size alpha and the velocity of its gradient descent, each ``[]``."""

    value: Array
    velocity: Array


def make_trajectory_matching_step(task: Task, settings: Any) -> Step:
    """Build the `Step` of trajectory matching.

    ``propose`` takes, in place of real images, parameters of experts ``[k, 2, P]``: those to start from and
    those to be reached, each as one vector of the network's P numbers.

    Parameters
    ----------
    task
        The network that is distilled with, and the platform.
    settings
        The method's settings: ``student_steps``, ``student_batch``, ``augment_student``, ``step_size`` and
        ``step_size_lr`` among them.
    """
    network, platform = task.network, task.platform

    def propose(
        learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> Proposal:
        del classes
        assert key is not None
        psi, alpha = learner.psi, learner.extra.value
        decoded, pull = jax.vjp(task.decode, psi.stored)
        own_classes = jnp.argmax(psi.labels, 1)
        unravel = ravel_pytree(theta_0)[1]
        batch = min(settings.student_batch or len(decoded), len(decoded))

        def moved(theta: Array, alpha: Array, decoded: Array, key: Array) -> Array:
            """Return the parameters after a training step on the distilled images."""
            key_batch, key_augment = jax.random.split(key)
            few, few_classes = decoded, own_classes
            if batch < len(decoded):
                chosen = choose(key_batch, len(decoded), batch)
                few, few_classes = decoded[chosen], own_classes[chosen]
            if settings.augment_student:
                few = augment_each(key_augment, few)

            def loss(theta: Array) -> Array:
                logits = network.apply(unravel(theta), few)[0]
                return optax.softmax_cross_entropy_with_integer_labels(logits, few_classes).mean()

            return theta - alpha * jax.grad(loss)(theta)

        def forwards(theta: Array, key: Array) -> tuple[Array, Array]:
            return moved(theta, alpha, decoded, key), theta

        def backwards(carry: Any, row: tuple[Array, Array]) -> tuple[Any, None]:
            gradient, of_alpha, of_images = carry
            theta, key = row

            def moved_here(theta: Array, alpha: Array, decoded: Array) -> Array:
                return moved(theta, alpha, decoded, key)

            back = jax.vjp(moved_here, theta, alpha, decoded)[1]
            gradient, more_of_alpha, more_of_images = back(gradient)
            return (gradient, of_alpha + more_of_alpha, of_images + more_of_images), None

        def of_pair(pair: Array, key: Array) -> tuple[Array, Array, Array]:
            start, target = pair
            keys = jax.random.split(key, settings.student_steps)
            reached, passed = platform.scan(forwards, start, keys)
            away = jnp.sum((start - target) ** 2)
            value = jnp.sum((reached - target) ** 2) / away
            carry = 2 * (reached - target) / away, jnp.zeros_like(alpha), jnp.zeros_like(decoded)
            (_, of_alpha, of_images), _ = platform.scan(backwards, carry, (passed, keys), reverse=True)
            return value, of_alpha, of_images

        each = [of_pair(*one) for one in zip(images, jax.random.split(key, len(images)), strict=True)]
        summed = jax.tree.map(lambda *leaves: sum(leaves) / len(each), *each)
        value, of_alpha, of_images = platform.average(summed)
        (stored,) = pull(of_images)
        zero = jnp.zeros_like(psi.labels), jnp.zeros_like(psi.log_temperature)
        metrics = {
            # With a negative step size the loss of the student rises in each of its steps.  Descent does not
            # come back from there, so this counts as a divergence.
            "loss": jnp.where(alpha > 0, value, jnp.nan),
            "gradient_norm": optax.tree.norm(stored),
            "step_size_gradient": of_alpha,
        }
        return Proposal(Distilled(stored, *zero), metrics, {})

    unused = Pool(size=settings.models, max_age=1, training_steps=0, lr=0.0)  # never renewed
    step = make_step(task, settings, propose, unused, direction=optax.trace(MOMENTUM))

    def start(psi: Distilled) -> Learner:
        first = StepSize(jnp.float32(settings.step_size), jnp.zeros((), jnp.float32))
        return step.start(psi)._replace(extra=first)

    def accept(learner: Learner, proposal: Proposal) -> tuple[Learner, Info]:
        before: StepSize = learner.extra
        velocity = MOMENTUM * before.velocity + proposal.metrics["step_size_gradient"]
        value = before.value - settings.step_size_lr * velocity
        metrics = {**proposal.metrics, "step_size": value}
        accepted, info = step.accept(learner, proposal._replace(metrics=metrics))
        return accepted._replace(extra=StepSize(value, velocity)), info

    return replace(step, start=start, accept=accept)
