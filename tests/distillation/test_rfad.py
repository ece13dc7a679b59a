"""RFAD: its loss and gradient against dense kernel ridge regression, and fresh networks at every step."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.methods.rfad import RfadSettings, make
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.step import averaged
from rcig_cli.networks.architectures import build_network
from rcig_cli.presets.config import resolve
from rcig_cli.runs.engine import engine
from rcig_cli.runs.engine.batches import RealData
from tests.oracles import rcig as oracle

SHAPE, CLASSES, N, B = (7, 7, 3), 3, 4, 5


def small_network():
    return build_network("convnet", image_shape=SHAPE, classes=CLASSES, width=2, depth=2, activation="relu")


@pytest.mark.usefixtures("float64")
def test_the_gradient_is_that_of_kernel_ridge_regression_averaged_over_the_networks():
    keys = jax.random.split(jax.random.key(4), 6)
    network, settings = small_network(), RfadSettings(l2_rate=0.05, label_margin=False)
    step = make(network, settings, Platform(unroll=True, parts=3, piece=2))
    labels = centred_one_hot(jnp.arange(N) % CLASSES, CLASSES, jnp.float64)
    psi = Distilled(jax.random.normal(keys[0], (N, *SHAPE)), labels, jnp.asarray(0.3))
    real = jax.random.normal(keys[1], (B, *SHAPE)), jnp.arange(B) % CLASSES
    thetas = [jax.tree.map(lambda leaf: leaf.astype(jnp.float64), network.init(key)) for key in keys[2:5]]

    def outer_loss(psi):
        losses = []
        for theta_0 in thetas:
            problem = oracle.Problem(network.apply, theta_0, settings.l2_rate, True)
            images, labels = oracle.mirrored(problem, psi[0], psi[1])
            h, lam = oracle.features(problem, images), settings.l2_rate * N
            theta_F = jnp.linalg.solve(h.T @ h + lam * jnp.eye(h.shape[1]), h.T @ labels)
            logits = jnp.exp(psi[2]) * (oracle.features(problem, real[0]) @ theta_F)
            losses.append(-jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(B), real[1]]))
        return sum(losses) / len(losses)

    value, expected = jax.jit(jax.value_and_grad(outer_loss))(psi)
    proposal = jax.jit(lambda: averaged([step.propose(step.start(psi), theta, *real) for theta in thetas]))()
    np.testing.assert_allclose(proposal.metrics["loss"], value, rtol=1e-10)
    for ours, reference in zip(proposal.gradient, expected, strict=True):
        assert float(jnp.linalg.norm(reference)) > 1e-6
        np.testing.assert_allclose(ours, reference, rtol=1e-8, atol=1e-12)


def test_every_step_has_fresh_networks_and_the_loss_falls():
    network, settings = small_network(), RfadSettings(models=2, flip=False, image_lr=0.02)
    random = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.int32) % CLASSES
    images = (random.normal(size=(60, *SHAPE)) + labels[:, None, None, None]).astype(np.float32)
    made = engine.make_engine(
        lambda platform: make(network, settings, platform), RealData(images, labels), batch=16, seed=3
    )
    start = Distilled(images[:N], centred_one_hot(jnp.asarray(labels[:N]), CLASSES), jnp.zeros(()))
    state, kernels, losses = made.start(start), [], []
    for number in range(30):
        kernels.append(np.asarray(state.pool.parameters["head"]["kernel"]))
        state, fetch = made.advance(state, number, 1)
        (info,) = fetch()
        losses.append(float(info.metrics["loss"]))
        assert np.asarray(state.pool.age).tolist() == [0, 0]
    assert all((a != b).all() for a, b in pairwise(kernels))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_its_settings_are_those_it_uses():
    config = resolve("mnist", (28, 28, 1), 10, {"ipc": 1, "algorithm": "rfad"})
    assert config.method.models == 8
    assert not {"pool_size", "solver", "pool_lr"} & set(config.to_json())
