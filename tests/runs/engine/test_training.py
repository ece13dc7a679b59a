"""Training of fresh networks: stops on the way, many at once, large sets, logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import centred_one_hot
from rcig_cli.networks.architectures import build_network
from rcig_cli.runs.engine import training
from rcig_cli.runs.engine.training import Schedule, TrainingSet, make_logits, make_training, make_trainings

NETWORK = build_network("convnet", image_shape=(8, 8, 1), classes=3, width=2, depth=2)
random = np.random.default_rng(0)
IMAGES = random.normal(size=(7, 8, 8, 1)).astype(np.float32)
CLASSES = np.arange(7) % 3
SET = TrainingSet(IMAGES, np.eye(3, dtype=np.float32)[CLASSES] - 1 / 3)
KEY = jax.random.key(0)
AUGMENTED = Schedule(steps=7, lr=1e-2, warmup=2, augment=True)


def constant(steps):
    return Schedule(steps, 1e-2, warmup=0, final=1.0)


def leaves(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model.parameters)]


def on_platform(monkeypatch, *, unroll):
    monkeypatch.setattr(training, "current_platform", lambda: Platform(unroll=unroll, parts=1))


@pytest.mark.parametrize("unroll", [True, False])
def test_the_model_at_a_stop_is_that_of_a_training_of_so_many_steps(unroll, monkeypatch):
    on_platform(monkeypatch, unroll=unroll)
    stops = (1, 4)
    # Read one after the other: a model's memory is reused for the next.
    seen = [leaves(model) for model in make_training(NETWORK, constant(4), stops)(KEY, SET)]
    assert len(seen) == len(stops)
    for steps, found in zip(stops, seen, strict=True):
        (alone,) = make_training(NETWORK, constant(steps))(KEY, SET)
        assert all(np.array_equal(a, b) for a, b in zip(found, leaves(alone), strict=True))
    assert not np.array_equal(seen[0][0], seen[1][0])


def test_logits_are_the_same_in_batches_and_image_by_image(monkeypatch):
    monkeypatch.setattr(training, "TEST_BATCH", 3)  # so that the last batch is not full
    (model,) = make_training(NETWORK, constant(2))(KEY, SET)
    expected = np.asarray(NETWORK.apply(model.parameters, jnp.asarray(IMAGES))[0])
    assert make_logits(NETWORK)(model, IMAGES) == pytest.approx(expected, abs=1e-5)


class Doubled:
    """A network with float64 parameters: with float32, Adam would turn rounding errors into whole steps."""

    def __init__(self, network):
        self._network = network
        self.train = network.train

    def init(self, key):
        return jax.tree.map(jnp.float64, self._network.init(key))

    def first_statistics(self):
        return jax.tree.map(jnp.float64, self._network.first_statistics())


def some_set(count, seed):
    images = jax.random.normal(jax.random.key(seed), (count, 8, 8, 3), jnp.float64)
    return TrainingSet(images, centred_one_hot(jnp.arange(count) % 3, 3, jnp.float64))


@pytest.mark.usefixtures("float64")
def test_networks_trained_at_once_are_those_trained_one_by_one(monkeypatch):
    monkeypatch.setattr(training, "_STEPS_IN_A_CALL", 3)
    network = Doubled(
        build_network("convnet", image_shape=(8, 8, 3), classes=3, width=2, depth=2, norm="batch")
    )
    keys, watched = jax.random.split(jax.random.key(4), 3), []
    shared, own = some_set(9, 0), [some_set(9, seed) for seed in (1, 2, 3)]
    found = []
    for unroll in (True, False):
        on_platform(monkeypatch, unroll=unroll)
        train = make_trainings(network, AUGMENTED, watched.append)
        found.append([*train(keys, shared), *train(keys, iter(own))])
    assert watched == [3, 6, 7] * (3 + 3) + [3, 6, 7] * 2  # of each network, and of all at once
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        # The bias below a batch norm has no gradient: Adam moves it by rounding errors, to 1e-11.
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)
    kernels = [model.parameters["head"]["kernel"] for model in found[0]]
    assert len({float(kernel.sum()) for kernel in kernels}) == 6  # all different


@pytest.mark.usefixtures("float64")
def test_a_large_set_is_trained_on_in_random_batches(monkeypatch):
    monkeypatch.setattr(training, "current_platform", Platform)  # without pieces
    seen = []

    class Watching:
        """A network with one parameter that notes how many images it gets."""

        def init(self, _):
            return {"scale": jnp.ones(())}

        def first_statistics(self):
            return {}

        def train(self, parameters, statistics, images):
            seen.append(images.shape[0])
            return parameters["scale"] * images.mean((1, 2)), statistics

    train = make_training(Watching(), AUGMENTED)
    for count in (20, 300):
        list(train(KEY, some_set(count, 0)))
    assert set(seen) == {20, 256}
