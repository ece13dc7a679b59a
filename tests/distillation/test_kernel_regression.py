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


def small_network():
    return build_network("convnet", image_shape=SHAPE, classes=CLASSES, width=2, depth=2, activation="relu")


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("algorithm", ["frepo", "rfad"])
def test_the_gradient_is_that_of_kernel_ridge_regression_averaged_over_the_networks(algorithm):
    network, settings = small_network(), METHODS[algorithm].settings(l2_rate=0.05)
    step = METHODS[algorithm].make(Task(network, Platform(unroll=True, parts=3, piece=2)), settings)
    labels = centred_one_hot(np.arange(N) % CLASSES, CLASSES, jnp.float64)
    labels += 0.05 * drawn.normal(5, N, CLASSES)
    psi = Distilled({"images": drawn.normal(0, N, *SHAPE)}, labels, jnp.asarray(0.3))
    real = drawn.normal(1, B, *SHAPE), np.arange(B) % CLASSES
    thetas = [drawn.parameters(network, seed=seed) for seed in (2, 3, 4)]

    def outer_loss(psi, *, margin):
        problems = [oracle.Problem(algorithm, network.apply, at, settings.l2_rate, True) for at in thetas]
        return sum(oracle.outer_loss(problem, None, psi, *real, margin) for problem in problems) / 3

    value, expected = jax.jit(
        lambda: (outer_loss(psi, margin=False), jax.grad(outer_loss)(psi, margin=True))
    )()
    proposal = jax.jit(lambda: averaged([step.propose(step.start(psi), theta, *real) for theta in thetas]))()
    np.testing.assert_allclose(proposal.metrics["loss"], value, rtol=1e-10)
    assert expected.stored["images"].any()
    for ours, reference in zip(*map(jax.tree.leaves, (proposal.gradient, expected)), strict=True):
        np.testing.assert_allclose(ours, reference, rtol=1e-8, atol=1e-12)


def test_every_step_of_rfad_has_fresh_networks_and_the_loss_falls():
    network, settings = small_network(), RfadSettings(models=2, flip=False, image_lr=0.02)
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
        assert np.asarray(state.pool.age).tolist() == [0, 0]
    assert all((a != b).all() for a, b in pairwise(kernels))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_rfad_has_the_settings_that_it_uses():
    config = resolve("mnist", (28, 28, 1), 10, {"ipc": 1, "algorithm": "rfad"})
    assert config.method.models == 8
    assert not {"pool_size", "solver", "pool_lr"} & set(config.to_json())
