"""Every cell of the paper's Tables 2 and 4 takes an outer step: its preset, its images, a tiny network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.task import Task
from rcig_cli.presets.config import resolve
from rcig_cli.presets.paper import PRESETS, presets
from rcig_cli.runs.configuration import network_for
from tests.presets.test_presets import SHAPES

CLASSES = 2
CELLS = [(name, ipc) for name in PRESETS if name != "digits" for ipc in presets(name)]


@pytest.mark.parametrize(("dataset", "ipc"), CELLS)
def test_a_tiny_step_with_each_preset(dataset, ipc):
    shape = SHAPES.get(dataset, (32, 32, 3))
    known = resolve(dataset, shape, CLASSES, {"ipc": ipc})
    subset = known.method.backward_subset and 3
    few = min(ipc, 2)  # cells that differ in this alone then share a compiled program
    small = {"ipc": few, "width": 2, "batch": 4, "inner_steps": 1, "hessian_steps": 1}
    config = known.override({**small, "backward_subset": subset})
    network = network_for(config, shape, CLASSES)
    step = config.algorithm_record.make(Task(network, Platform()), config.method)
    random, n = np.random.default_rng(0), CLASSES * few
    images, real = (random.normal(size=(count, *shape)).astype(np.float32) for count in (n, config.batch))
    learner = step.start(
        Distilled(
            {"images": jnp.asarray(images)}, centred_one_hot(jnp.arange(n) % CLASSES, CLASSES), jnp.zeros(())
        )
    )
    theta_0 = network.init(jax.random.key(0))
    after, info = jax.jit(step.update)(learner, theta_0, real, np.arange(4) % CLASSES, jax.random.key(1))
    assert all(info.finite)
    assert float(jnp.abs(step.product(after).stored["images"] - images).max()) > 0
