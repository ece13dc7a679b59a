"""Batch norm: Flax's own in training, fixed statistics while distilling, running ones when tested."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rcig_cli.distillation import pool
from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.task import Task
from rcig_cli.networks.architectures import build_network
from tests import drawn

SHAPE, CLASSES = (9, 9, 3), 3


class PlainConvNet(nn.Module):
    """The same network from flax's own layers alone."""

    training: bool

    @nn.compact
    def __call__(self, x):
        for block in range(2):
            x = nn.Conv(4 * 2**block, (3, 3), padding=1, name=f"conv_{block}")(x)
            x = nn.BatchNorm(not self.training, momentum=0.9, epsilon=1e-5, name=f"norm_{block}")(x)
            x = nn.avg_pool(nn.relu(x), (2, 2), (2, 2))
        return x.reshape(len(x), -1)


def posed(activation="relu"):
    network = build_network(
        "convnet",
        image_shape=SHAPE,
        classes=CLASSES,
        width=4,
        depth=2,
        activation=activation,
        norm="batch",
    )
    parameters = drawn.parameters(network, np.float32)
    return network, parameters, 2 + drawn.normal(1, 6, *SHAPE, dtype=np.float32)


def as_plain(tree, conv):
    named = {}
    for block in range(2):
        layer = tree[f"block_{block}"]
        norm = layer["BatchNorm_0"]
        named[f"norm_{block}"] = norm
        if conv:
            named[f"conv_{block}"] = {"kernel": layer["kernel"], "bias": layer["bias"]}
    return named


def test_training_and_running_statistics_are_those_of_flax():
    network, parameters, images = posed()
    statistics = network.first_statistics()
    logits, after = jax.jit(network.train)(parameters, statistics, images)
    variables = {"params": as_plain(parameters["body"], True), "batch_stats": as_plain(statistics, False)}
    plain = jax.jit(lambda variables: PlainConvNet(True).apply(variables, images, mutable=["batch_stats"]))
    features, changed = plain(variables)
    head = parameters["head"]
    np.testing.assert_allclose(logits, features @ head["kernel"] + head["bias"], rtol=1e-4, atol=1e-5)
    expected = changed["batch_stats"]
    for ours, theirs in zip(*map(jax.tree.leaves, (as_plain(after, False), expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    tested = jax.jit(lambda after: network.with_statistics(after).apply(parameters, images)[1])(after)
    variables["batch_stats"] = expected
    plain = jax.jit(lambda variables: PlainConvNet(False).apply(variables, images))
    np.testing.assert_allclose(tested, plain(variables), rtol=1e-4, atol=1e-5)


def test_with_statistics_of_images_their_logits_are_those_of_training():
    network, parameters, images = posed()
    logits, _ = network.train(parameters, network.first_statistics(), images)
    fixed = network.with_statistics_of(parameters, images)
    np.testing.assert_allclose(fixed.apply(parameters, images)[0], logits, rtol=1e-4, atol=1e-5)
    alone = fixed.apply(parameters, images[:1])[0]  # each image by itself
    np.testing.assert_allclose(alone, logits[:1], rtol=1e-4, atol=1e-5)


def test_no_gradient_goes_through_the_statistics():
    network, parameters, images = posed("softplus")

    def loss(images):
        return jnp.sum(network.with_statistics_of(parameters, images).apply(parameters, images[:1])[0] ** 2)

    gradient = np.asarray(jax.jit(jax.grad(loss))(images))
    assert gradient[0].any()
    assert not gradient[1:].any()


def test_a_pool_model_keeps_running_statistics():
    network, _, images = posed()
    adam = optax.adam(1e-3)
    model = jax.jit(lambda: pool.fresh_model(network, adam, jax.random.key(1)))()
    labels = jnp.zeros((6, CLASSES))
    train = jax.jit(lambda model: pool.train(network, adam, model, images, labels))
    for _ in range(60):
        model = train(model)
    seen = network.with_statistics_of(model.parameters, images).statistics
    mean = model.statistics["block_0"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, seen["block_0"]["BatchNorm_0"]["mean"], rtol=0.1, atol=0.02)


LOOPS, UNROLLED = Platform(), Platform(unroll=True, parts=2, piece=3)


@pytest.mark.parametrize(
    ("algorithm", "platform"),
    [
        ("rcig", LOOPS),
        pytest.param("cig", UNROLLED, marks=pytest.mark.slow),
        pytest.param("vig", LOOPS, marks=pytest.mark.slow),
        ("frepo", UNROLLED),
    ],
)
def test_every_algorithm_distils_with_batch_norm(algorithm, platform):
    network, parameters, images = posed("softplus")
    method = METHODS[algorithm]
    solves = {
        "solver": "adam",
        "inner_steps": 3,
        "hessian_steps": 3,
        "inner_rate_start": 1e-2,
        "hessian_rate_start": 1e-2,
    }
    settings = method.settings(**{name: value for name, value in solves.items() if name in method.declared})
    step = method.make(Task(network, platform), settings)
    labels = centred_one_hot(jnp.arange(6) % CLASSES, CLASSES)
    learner = step.start(Distilled({"images": images}, labels, jnp.zeros(())))
    real = 2 + drawn.normal(5, 9, *SHAPE, dtype=np.float32), jnp.arange(9) % CLASSES
    update, losses = jax.jit(step.update), []
    for _ in range(40):
        learner, info = update(learner, parameters, *real)
        losses.append(float(info.metrics["loss"]))
        assert all(info.finite)
    assert losses[-1] < losses[0]
