"""MTT against unrolled training, differentiated as a whole, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from rcig_cli.distillation.matching import siamese
from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.task import Task

SHAPE, CLASSES = (4, 5, 3), 3
OWN = np.array([0, 0, 1, 2])  # classes of the distilled images
STEPS, ALPHA = 3, 0.3125  # which float32 has exactly
KEY = jax.random.key(11)


class TwoLayers:
    """A network without convolutions, since these take long to compile."""

    def init(self, key):
        sizes = {"first": (np.prod(SHAPE), 5), "second": (5, CLASSES)}
        keys = jax.random.split(key, 2)
        return {
            name: 0.3 * jax.random.normal(key, sizes[name]) for name, key in zip(sizes, keys, strict=True)
        }

    def first_statistics(self):
        return {}

    def apply(self, parameters, images):
        features = jax.nn.softplus(images.reshape(len(images), -1) @ parameters["first"])
        return features @ parameters["second"], features


@pytest.fixture
def problem(float64):
    """A network, parameters, the psi of four images, and two pairs of parameters."""
    keys = jax.random.split(jax.random.key(7), 6)
    network = TwoLayers()
    pairs = jnp.stack([ravel_pytree(network.init(key))[0] for key in keys[:4]]).reshape(2, 2, -1)
    psi = Distilled(
        {"images": jax.random.normal(keys[4], (4, *SHAPE))},
        centred_one_hot(OWN, CLASSES, jnp.float64),
        jnp.zeros(()),
    )
    return network, network.init(keys[5]), psi, pairs


def made(network, *, unroll=True, **settings):
    method = METHODS["mtt"]
    chosen = {"student_steps": STEPS, "step_size": ALPHA, "augment_student": False, **settings}
    return method.make(Task(network, Platform(unroll=unroll)), method.settings(flip=False, **chosen))


def start(step, psi):
    learner = step.start(psi)
    return learner._replace(extra=jax.tree.map(lambda leaf: leaf.astype(jnp.float64), learner.extra))


def propose(step, psi, theta, pairs):
    classes = np.zeros(len(pairs), np.int32)
    return jax.jit(lambda psi: step.propose(start(step, psi), theta, pairs, classes, KEY))(psi)


@pytest.mark.parametrize(("unroll", "augmented"), [(False, False), (True, True)])
def test_the_gradients_are_those_of_the_whole_training(problem, unroll, augmented, monkeypatch):
    # One operation, whose derivatives compile fast.
    monkeypatch.setattr(siamese, "operations", lambda _: (siamese.colour,))
    network, theta, psi, pairs = problem
    unravel = ravel_pytree(theta)[1]

    def distance(images, alpha):
        total = 0.0
        for (first, target), key in zip(pairs, jax.random.split(KEY, 2), strict=True):
            reached = first
            for of_step in jax.random.split(key, STEPS):
                seen = images
                if augmented:
                    seen = siamese.augment_each(jax.random.split(of_step)[1], images)

                def loss(theta, seen=seen):
                    logits = network.apply(unravel(theta), seen)[0]
                    return -jax.nn.log_softmax(logits)[np.arange(4), OWN].mean()

                reached = reached - alpha * jax.grad(loss)(reached)
            total += ((reached - target) ** 2).sum() / ((first - target) ** 2).sum() / 2
        return total

    expected = jax.jit(jax.value_and_grad(distance, (0, 1)))(psi.stored["images"], ALPHA)
    ours = propose(made(network, unroll=unroll, augment_student=augmented), psi, theta, pairs)
    np.testing.assert_allclose(ours.metrics["loss"], expected[0], rtol=1e-10)
    np.testing.assert_allclose(ours.gradient.stored["images"], expected[1][0], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(ours.metrics["step_size_gradient"], expected[1][1], rtol=1e-8)
    assert np.abs(expected[1][0]).max() > 1e-6
    assert not ours.gradient.labels.any()


def test_without_movement_the_loss_is_one_and_at_the_target_it_is_zero(problem):
    network, theta, psi, pairs = problem
    still = propose(made(network, step_size=1e-12), psi, theta, pairs)
    np.testing.assert_allclose(still.metrics["loss"], 1)
    one_step = made(network, student_steps=1)
    unravel = ravel_pytree(theta)[1]

    def loss(theta):
        logits = network.apply(unravel(theta), psi.stored["images"])[0]
        return -jax.nn.log_softmax(logits)[np.arange(4), OWN].mean()

    first = pairs[:1, 0]
    target = first[0] - ALPHA * jax.grad(loss)(first[0])
    arrived = propose(one_step, psi, theta, jnp.stack([first[0], target])[None])
    np.testing.assert_allclose(arrived.metrics["loss"], 0, atol=1e-12)


def test_a_step_size_that_is_not_positive_is_a_divergence(problem):
    network, theta, psi, pairs = problem
    step = made(network)

    @jax.jit
    def loss(alpha):
        learner = start(step, psi)
        learner = learner._replace(extra=learner.extra._replace(value=alpha))
        return step.propose(learner, theta, pairs, np.zeros(2, np.int32), KEY).metrics["loss"]

    losses = [loss(jnp.float64(alpha)) for alpha in (0.1, 0.0, -0.1)]
    assert np.isfinite(losses).tolist() == [True, False, False]


def test_a_batch_of_distilled_images_takes_part_in_each_step(problem):
    network, theta, psi, pairs = problem
    few = propose(made(network, student_steps=1, student_batch=2), psi, theta, pairs[:1])
    moved = np.abs(few.gradient.stored["images"]).max((1, 2, 3)) > 0
    assert moved.sum() == 2
    every = propose(made(network, student_batch=100), psi, theta, pairs)
    np.testing.assert_allclose(
        every.metrics["loss"], propose(made(network), psi, theta, pairs).metrics["loss"]
    )


def test_alpha_moves_by_descent_with_momentum(problem):
    network, theta, psi, pairs = problem
    step = made(network, step_size_lr=0.01)
    learner, alpha, velocity = start(step, psi), ALPHA, 0.0
    propose_from = jax.jit(lambda learner: step.propose(learner, theta, pairs, np.zeros(2, np.int32), KEY))
    for _ in range(3):
        proposal = propose_from(learner)
        velocity = 0.5 * velocity + float(proposal.metrics["step_size_gradient"])
        alpha -= 0.01 * velocity
        learner, info = step.accept(learner, proposal)
        np.testing.assert_allclose(learner.extra.value, alpha, rtol=1e-6)
        np.testing.assert_allclose(info.metrics["step_size"], alpha, rtol=1e-6)
