"""A step over a mesh of eight devices against the same step on one, in a process that has eight."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """
import json, sys
from rcig_cli.runs.engine.environment import prepare_environment, prepare_jax
prepare_environment()
prepare_jax()
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp, numpy as np
from rcig_cli.distillation.config import AlgorithmConfig
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.runs.engine import engine, mesh
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.networks.architectures import build_network

engine.current_platform = lambda: Platform(unroll=sys.argv[1] == "unrolled")

def after(devices, steps=3):
    network = build_network(
        "convnet", image_shape=(8, 8, 3), classes=3, width=4, depth=2, activation="softplus"
    )
    config = AlgorithmConfig(solver="cg", n_inner=2, n_hessian=2, models=4, pool_size=8, pool_steps=3,
                             pool_max_steps=4, backward_subset=5 if sys.argv[2] == "subset" else None)
    random = np.random.default_rng(0)
    real = RealData(random.normal(size=(80, 8, 8, 3)), np.arange(80, dtype=np.int32) % 3)
    made = engine.make_engine(network, config, real, batch=48, seed=3, devices=jax.devices()[:devices])
    labels = centred_one_hot(jnp.arange(6) % 3, 3, jnp.float64)
    state = made.start(Distilled(jnp.asarray(real.images[:6]), labels, jnp.zeros(())))
    losses, step = [], 0
    while step < steps:
        count = min(made.most, steps - step)
        state, fetch = made.advance(state, step, count)
        losses += [float(info.loss) for info in fetch()]
        step += count
    whole = made.gather(state)
    again = made.gather(made.place(whole))
    same = all((a == b).all() for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again)))
    gradient = whole.learner.optimizer  # AdaBelief's moments: sums of the meta-gradients
    return losses, np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)]), \\
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(whole.pool.parameters)]), same

results = {n: after(n) for n in map(int, sys.argv[3:])}
one = results[1]
print(json.dumps({str(n): {
    "loss": max(abs(a / b - 1) for a, b in zip(r[0], one[0])),
    "gradient": float(np.linalg.norm(r[1] - one[1]) / np.linalg.norm(one[1])),
    "pool": float(np.linalg.norm(r[2] - one[2]) / np.linalg.norm(one[2])),
    "placed": r[3],
} for n, r in results.items()}))
"""


@pytest.mark.parametrize(
    ("layout", "images", "devices"),
    [("loops", "all", (1, 2, 8)), ("unrolled", "all", (1, 8)), ("loops", "subset", (1, 8))],
)
def test_the_meta_gradient_is_the_same_on_any_number_of_devices(layout, images, devices):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    flags = environment.get("XLA_FLAGS", "")
    environment["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, layout, images, *map(str, devices)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for found in json.loads(done.stdout.splitlines()[-1]).values():
        assert found["loss"] < 1e-9
        assert found["gradient"] < 1e-9
        assert found["pool"] < 1e-9
        assert found["placed"]
