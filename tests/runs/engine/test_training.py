"""A training that is stopped to be looked at is the training that isn't."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.platform import Platform
from rcig_cli.networks.architectures import build_network
from rcig_cli.runs.engine import training
from rcig_cli.runs.engine.training import Schedule, make_accuracy, make_course, make_logits, make_trainer

NETWORK = build_network("convnet", image_shape=(8, 8, 1), classes=3, width=2, depth=2)
random = np.random.default_rng(0)
IMAGES = random.normal(size=(7, 8, 8, 1)).astype(np.float32)
CLASSES = np.arange(7) % 3
LABELS = np.eye(3, dtype=np.float32)[CLASSES] - 1 / 3
KEY = jax.random.key(0)


def constant(steps):
    return Schedule(steps, 1e-2, warmup=0, final=1.0)


def leaves(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model.parameters)]


@pytest.mark.parametrize("unroll", [True, False])
def test_each_stop_is_a_training_of_so_many_steps(unroll, monkeypatch):
    monkeypatch.setattr(training, "current_platform", lambda: Platform(unroll=unroll, parts=1))
    stops = (1, 4)
    # Looked at one after the other: a model's memory is used again for the next.
    seen = [leaves(model) for model in make_course(NETWORK, constant(4), stops)(KEY, IMAGES, LABELS)]
    assert len(seen) == len(stops)
    for steps, found in zip(stops, seen, strict=True):
        alone = leaves(make_trainer(NETWORK, constant(steps))(KEY, IMAGES, LABELS))
        assert all(np.array_equal(a, b) for a, b in zip(found, alone, strict=True))
    assert not np.array_equal(seen[0][0], seen[1][0])


def test_logits_of_many_images_are_those_of_each(monkeypatch):
    monkeypatch.setattr(training, "_TEST_BATCH", 3)  # so that a batch is not full
    model = make_trainer(NETWORK, constant(2))(KEY, IMAGES, LABELS)
    expected = np.asarray(NETWORK.apply(model.parameters, jnp.asarray(IMAGES))[0])
    found = make_logits(NETWORK)(model, IMAGES)
    assert found == pytest.approx(expected, abs=1e-5)
    right = (expected.argmax(axis=1) == CLASSES).mean()
    assert make_accuracy(NETWORK, IMAGES, CLASSES)(model) == right
