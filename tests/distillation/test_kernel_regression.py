"""FRePo and RFAD against dense kernel ridge regression, and RFAD's fresh networks at every step."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.methods.rfad import RfadSettings, make
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.step import averaged
from rcig_cli.distillation.task import Task
from rcig_cli.networks.architectures import build_network
from rcig_cli.presets.config import resolve
from rcig_cli.runs.engine import engine
from rcig_cli.runs.engine.batches import RealData
from tests import drawn
from tests.oracles import definitions as oracle

SHAPE, CLASSES, N, B = (7, 7, 3), 3, 4, 5


def small_network(norm="none"):
    return build_network(
        "convnet", image_shape=SHAPE, classes=CLASSES, width=2, depth=2, activation="relu", norm=norm
    )


@pytest.mark.usefixtures("float64")
def test_the_gradient_of_frepo_is_that_of_kernel_ridge_regression_averaged_over_the_networks():
    network, settings = small_network(), METHODS["frepo"].settings(l2_rate=0.05)
    step = METHODS["frepo"].make(Task(network, Platform(unroll=True, parts=3, piece=2)), settings)
    labels = centred_one_hot(np.arange(N) % CLASSES, CLASSES, jnp.float64)
    labels += 0.05 * drawn.normal(5, N, CLASSES)
    psi = Distilled({"images": drawn.normal(0, N, *SHAPE)}, labels, jnp.asarray(0.3))
    real = drawn.normal(1, B, *SHAPE), np.arange(B) % CLASSES
    thetas = [drawn.parameters(network, seed=seed) for seed in (2, 3, 4)]

    def outer_loss(psi, *, margin):
        problems = [oracle.Problem("frepo", network.apply, at, settings.l2_rate, True) for at in thetas]
        return sum(oracle.outer_loss(problem, None, psi, *real, margin) for problem in problems) / 3

    value, expected = jax.jit(
        lambda: (outer_loss(psi, margin=False), jax.grad(outer_loss)(psi, margin=True))
    )()
    proposal = jax.jit(lambda: averaged([step.propose(step.start(psi), theta, *real) for theta in thetas]))()
    np.testing.assert_allclose(proposal.metrics["loss"], value, rtol=1e-10)
    assert expected.stored["images"].any()
    for ours, reference in zip(*map(jax.tree.leaves, (proposal.gradient, expected)), strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-8, atol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_gradient_of_rfad_is_that_of_regression_with_the_mean_kernel_of_its_networks(norm):
    network, settings = small_network(norm), RfadSettings(l2_rate=0.05, feature_networks=3)
    step = make(Task(network, Platform(unroll=True, parts=3, piece=2)), settings)
    labels = centred_one_hot(np.arange(N) % CLASSES, CLASSES, jnp.float64)
    labels += 0.05 * drawn.normal(5, N, CLASSES)
    psi = Distilled({"images": drawn.normal(0, N, *SHAPE)}, labels, jnp.asarray(0.3))
    images, classes = drawn.normal(1, B, *SHAPE), np.arange(B) % CLASSES
    thetas = [drawn.parameters(network, seed=seed) for seed in (2, 3, 4)]

    def outer_loss(psi):
        mirrored = jnp.concatenate([psi.stored["images"], jnp.flip(psi.stored["images"], 2)])
        kernel, of_real = 0, 0
        for theta in thetas:
            fixed = network.with_statistics_of(theta, mirrored)
            h, real = (fixed.apply(theta, each)[1] for each in (mirrored, images))
            kernel, of_real = kernel + h @ h.T / 3, of_real + real @ h.T / 3
        twice = jnp.concatenate([psi.labels, psi.labels])
        alpha = jnp.linalg.solve(kernel + 0.05 * N * jnp.eye(2 * N), twice)
        log_probability = jax.nn.log_softmax(jnp.exp(psi.log_temperature) * (of_real @ alpha))
        return -jnp.mean(log_probability[jnp.arange(B), classes])

    def with_margin(psi):
        best = jnp.sort(psi.labels, axis=1)
        return outer_loss(psi) - jnp.mean(jnp.minimum(best[:, -1] - best[:, -2], 0.5 / CLASSES))

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *thetas)
    value, expected = jax.jit(lambda: (outer_loss(psi), jax.grad(with_margin)(psi)))()
    proposal = jax.jit(lambda: step.propose(step.start(psi), stacked, images, classes))()
    np.testing.assert_allclose(proposal.metrics["loss"], value, rtol=1e-10)
    assert expected.stored["images"].any()
    for ours, reference in zip(*map(jax.tree.leaves, (proposal.gradient, expected)), strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-8, atol=1e-12)


def test_every_step_of_rfad_has_fresh_networks_and_the_loss_falls():
    network, settings = small_network(), RfadSettings(feature_networks=2, flip=False, image_lr=0.02)
    random = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.int32) % CLASSES
    images = (random.normal(size=(60, *SHAPE)) + labels[:, None, None, None]).astype(np.float32)
    made = engine.make_engine(
        lambda platform: make(Task(network, platform), settings), RealData(images, labels), batch=16, seed=3
    )
    start = Distilled(
        {"images": images[:N]}, centred_one_hot(jnp.asarray(labels[:N]), CLASSES), jnp.zeros(())
    )
    state, kernels, losses = made.start(start), [], []
    for number in range(30):
        kernels.append(np.asarray(state.pool.parameters["head"]["kernel"]))
        state, fetch = made.advance(state, number, 1)
        (info,) = fetch()
        losses.append(float(info.metrics["loss"]))
        assert np.asarray(state.pool.age).tolist() == [0]
    assert all((a != b).all() for a, b in pairwise(kernels))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_rfad_has_the_settings_that_it_uses():
    config = resolve("mnist", (28, 28, 1), 10, {"ipc": 1, "algorithm": "rfad"})
    assert (config.method.models, config.method.feature_networks) == (1, 8)
    assert not {"pool_size", "solver", "pool_lr"} & set(config.to_json())
