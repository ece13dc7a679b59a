"""Networks trained at once are the networks trained one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.records import centred_one_hot
from rcig_cli.networks.architectures import build_network
from rcig_cli.runs.engine import training
from rcig_cli.runs.engine.training import Schedule, make_trainer, make_trainer_of_many

pytestmark = pytest.mark.usefixtures("float64")

SCHEDULE = Schedule(steps=7, learning_rate=1e-2, warmup=2, augment=True)


class Doubled:
    """A network that begins in float64: in float32 Adam makes steps of what rounding leaves of a zero."""

    def __init__(self, network):
        self._network = network
        self.train = network.train

    def init(self, key):
        return jax.tree.map(jnp.float64, self._network.init(key))

    def first_statistics(self):
        return jax.tree.map(jnp.float64, self._network.first_statistics())


def network_with(normalization):
    return Doubled(
        build_network(
            "convnet", image_shape=(8, 8, 3), classes=3, width=2, depth=2, normalization=normalization
        )
    )


def some_set(count, seed):
    images = jax.random.normal(jax.random.key(seed), (count, 8, 8, 3), jnp.float64)
    return images, centred_one_hot(jnp.arange(count) % 3, 3, jnp.float64)


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_several_networks_at_once_come_out_as_one_by_one(normalization, monkeypatch):
    monkeypatch.setattr(training, "_STEPS_IN_A_CALL", 3)
    network, keys, watched = network_with(normalization), jax.random.split(jax.random.key(4), 3), []
    one = make_trainer(network, SCHEDULE)
    many = make_trainer_of_many(network, SCHEDULE, watched.append)
    shared, own = some_set(9, 0), [some_set(9, seed) for seed in (1, 2, 3)]
    by_turns = [one(key, *each) for key, each in zip(keys, own, strict=True)]
    expected = [one(key, *shared) for key in keys], by_turns
    found = many(keys, *shared), many(keys, *(jnp.stack(part) for part in zip(*own, strict=True)))
    assert watched == [3, 6, 7] * 2
    for alone, together in zip(expected, found, strict=True):
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            # A bias below a batch norm has no gradient: Adam moves it by what rounding leaves, to 1e-11.
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)
    kernels = [model.parameters["head"]["kernel"] for models in found for model in models]
    assert len({float(kernel.sum()) for kernel in kernels}) == 6  # each its own


def test_a_large_set_is_trained_on_in_random_batches():
    seen = []

    class Watching:
        """A network of one number that notes how many images it is shown."""

        def init(self, _):
            return {"scale": jnp.ones(())}

        def first_statistics(self):
            return {}

        def train(self, parameters, statistics, images):
            seen.append(images.shape[0])
            return parameters["scale"] * images.mean((1, 2)), statistics

    train = make_trainer(Watching(), SCHEDULE)
    train(jax.random.key(0), *some_set(20, 0))
    train(jax.random.key(0), *some_set(300, 0))
    assert set(seen) == {20, 256}
