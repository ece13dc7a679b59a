"""Every cell of the paper's Tables 2 and 4 takes an outer step: its preset, its images, a tiny network."""

import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.jobs import engine
from rcig_cli.jobs.batches import RealData
from rcig_cli.jobs.prepared import network_for
from rcig_cli.presets.preset import NAMES, presets, resolve
from tests.presets.test_presets import SHAPES

CLASSES = 2
CELLS = [(name, ipc) for name in NAMES if name != "digits" for ipc in presets(name)]


@pytest.mark.parametrize(("dataset", "ipc"), CELLS)
def test_a_tiny_step_with_each_preset(dataset, ipc, monkeypatch):
    shape = SHAPES.get(dataset, (32, 32, 3))
    known = resolve(dataset, shape, CLASSES, {"ipc": ipc})
    subset = known.algorithm.backward_subset and 3
    few = min(ipc, 2)  # cells that differ in this alone then share a compiled program
    small = {"ipc": few, "width": 2, "batch": 4, "n_inner": 1, "n_hessian": 1, "pool_size": 2}
    config = known.override({**small, "pool_steps": 1, "backward_subset": subset})
    monkeypatch.setattr(engine, "current_platform", lambda: Platform())
    network = network_for(config, shape, CLASSES, config.activation)
    random = np.random.default_rng(0)
    real = RealData(
        random.normal(size=(8, *shape)).astype(np.float32), np.arange(8, dtype=np.int32) % CLASSES
    )
    made = engine.make_engine(network, config.algorithm, real, batch=config.batch, seed=0)
    n = CLASSES * few
    labels = centred_one_hot(jnp.arange(n) % CLASSES, CLASSES)
    state = made.start(Distilled(jnp.asarray(real.images[:n]), labels, jnp.zeros(())))
    state, fetch = made.advance(state, 0, 1)
    (info,) = fetch()
    assert bool(info.finite)
    assert float(jnp.abs(made.product(state).images - real.images[:n]).max()) > 0
