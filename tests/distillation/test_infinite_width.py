"""The neural tangent kernel against wide networks, and KIP's gradient against finite differences."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.infinite_width import neural_tangent_kernel
from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.task import Task
from tests.drawn import normal

SHAPE, CLASSES = (3, 2, 3), 3
compiled_kernel = jax.jit(neural_tangent_kernel, static_argnums=2)
OWN, REAL = np.array([0, 0, 1, 2]), np.array([0, 2, 1, 1, 0])


@pytest.fixture
def problem(float64):
    """The psi of four images, and five real images, in float64."""
    labels = centred_one_hot(OWN, CLASSES, jnp.float64) + 0.1 * normal(2, 4, CLASSES)
    psi = Distilled({"images": normal(0, 4, *SHAPE)}, labels, jnp.zeros(()))
    return psi, normal(1, 5, *SHAPE)


def propose(psi, images, classes=REAL, **settings):
    method = METHODS["kip"]
    step = method.make(Task(None, Platform()), method.settings(flip=False, **settings))
    return jax.jit(lambda psi: step.propose(step.start(psi), jnp.zeros(1), images, classes))(psi)


def loss_of(psi, images, *, hidden_layers, regularization):
    """The loss, by an explicit inverse."""
    own, labels = psi.stored["images"], np.asarray(psi.labels)
    kernel = np.asarray(compiled_kernel(own, own, hidden_layers))
    ridge = regularization * np.trace(kernel) / len(labels)
    coefficients = np.linalg.inv(kernel + ridge * np.eye(len(labels))) @ labels
    p = np.asarray(compiled_kernel(images, own, hidden_layers)) @ coefficients
    return 0.5 * ((p - np.asarray(centred_one_hot(REAL, CLASSES, jnp.float64))) ** 2).sum(1).mean()


@pytest.mark.parametrize("hidden_layers", [1, 2])
def test_the_kernel_is_the_product_of_the_gradients_of_wide_networks(problem, hidden_layers):
    """The mean over random networks: its standard error is below 1 % of the diagonal."""
    psi, others = problem
    width, networks = 256, 200
    images = jnp.concatenate([psi.stored["images"], others]).reshape(9, -1)
    sizes = [images.shape[1], *[width] * hidden_layers, 1]

    def output(parameters, x):
        for number, (weights, biases) in enumerate(parameters):
            x = jax.nn.relu(x) if number else x
            x = jnp.sqrt(2 / len(x)) * x @ weights + 0.1 * biases
        return x[0]

    def kernel(parameters):
        each = jax.vmap(lambda x: jax.grad(output)(parameters, x))(images)
        rows = jnp.concatenate([leaf.reshape(9, -1) for leaf in jax.tree.leaves(each)], 1)
        return rows @ rows.T

    random = np.random.default_rng(1)
    drawn = [
        (random.normal(size=(networks, rows, columns)), random.normal(size=(networks, columns)))
        for rows, columns in pairwise(sizes)
    ]
    expected = jax.jit(lambda drawn: jax.lax.map(kernel, drawn).mean(0))(drawn)
    ours = compiled_kernel(images, images, hidden_layers)
    np.testing.assert_allclose(ours, expected, atol=0.03 * np.diag(ours).mean())
    np.testing.assert_allclose(compiled_kernel(images[:2], images, hidden_layers), ours[:2], rtol=1e-12)


def test_the_kernel_of_an_image_with_itself_grows_with_each_layer(problem):
    images = problem[0].stored["images"]
    size = 2 * np.mean(np.reshape(images, (4, -1)) ** 2, 1) + 0.01
    for layers in (1, 2, 3):
        expected = (layers + 1) * size + 0.01 * layers * (layers + 1) / 2
        diagonal = np.diag(compiled_kernel(images, images, layers))
        np.testing.assert_allclose(diagonal, expected, rtol=1e-12)


@pytest.mark.parametrize("hidden_layers", [1, 2])
def test_the_gradient_is_that_of_finite_differences(problem, hidden_layers):
    psi, images = problem
    settings = {"hidden_layers": hidden_layers, "regularization": 0.01}
    ours = propose(psi, images, **settings)
    np.testing.assert_allclose(ours.metrics["loss"], loss_of(psi, images, **settings), rtol=1e-10)
    random = np.random.default_rng(2)
    for _ in range(6):
        of_images, of_labels = (random.normal(size=leaf.shape) for leaf in (psi.stored["images"], psi.labels))

        def moved(by, of_images=of_images, of_labels=of_labels):
            there = psi.stored["images"] + by * of_images
            other = psi._replace(stored={"images": there}, labels=psi.labels + by * of_labels)
            return loss_of(other, images, **settings)

        along = (ours.gradient.stored["images"] * of_images).sum() + (ours.gradient.labels * of_labels).sum()
        np.testing.assert_allclose(along, (moved(1e-5) - moved(-1e-5)) / 2e-5, rtol=1e-6)


def test_the_loss_on_the_distilled_images_themselves_is_zero(problem):
    psi, _ = problem
    exact = psi._replace(labels=centred_one_hot(OWN, CLASSES, jnp.float64))
    ours = propose(exact, psi.stored["images"], OWN, regularization=1e-12)
    assert ours.metrics["loss"] < 1e-20
    assert ours.metrics["accuracy"] == 1


def test_labels_move_only_with_a_learning_rate(problem):
    psi, images = problem
    for rate in (0.0, 0.1):
        step = METHODS["kip"].make(Task(None, Platform()), METHODS["kip"].settings(flip=False, label_lr=rate))
        moved, _ = jax.jit(step.update)(step.start(psi), jnp.zeros(1), images, REAL)
        assert np.abs(moved.psi.stored["images"] - psi.stored["images"]).max() > 0.01
        np.testing.assert_allclose(np.abs(moved.psi.labels - psi.labels).max(), rate, rtol=1e-3, atol=0)
