"""Three outer steps in float64 on some devices: ``steps.py LAYOUT SUBSET DEVICES... FOLDER``.

Started by `tests.runs.engine.job.Job`, alone or as one of several processes.  For each number of devices,
process 0 saves what the steps computed to ``FOLDER/DEVICES.npz``.
"""

# ruff: noqa: E402 (JAX is imported after the environment is prepared)

import sys
from pathlib import Path

from rcig_cli.runs.engine.environment import pin, prepare_environment, prepare_jax
from tests import quick

prepare_environment()
quick.add_flag()
prepare_jax()
pin()

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np

from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.parametrizations import PARAMETRIZATIONS
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.task import Task
from rcig_cli.networks.architectures import build_network
from rcig_cli.runs.engine import engine
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.engine.processes import ProcessSpec, join

STEPS = 3


def compute(devices, subset):
    network = build_network(
        "convnet", image_shape=(8, 8, 3), classes=3, width=4, depth=2, activation="softplus"
    )
    settings = METHODS["rcig"].settings(
        solver="cg", inner_steps=2, hessian_steps=2, models=4, pool_size=8, pool_steps=3, pool_max_steps=4,
        backward_subset=subset,
    )  # fmt: skip
    basis = PARAMETRIZATIONS["basis"]
    decoder = basis.make(basis.settings(bases=4, basis_size=5, mixtures=2), (8, 8, 3), (1, 1, 1))
    random = np.random.default_rng(0)
    real = RealData(random.normal(size=(80, 8, 8, 3)), np.arange(80, dtype=np.int32) % 3)
    made = engine.make_engine(
        lambda platform: METHODS["rcig"].make(Task(network, platform, decoder=decoder), settings),
        real,
        batch=48,
        seed=3,
        augmentations=("flip", "translate"),
        devices=devices,
    )
    labels = centred_one_hot(jnp.arange(6) % 3, 3, jnp.float64)
    state = made.start(Distilled(decoder.encode(real.images[:6]), labels, jnp.zeros(())))
    losses, step = [], 0
    while step < STEPS:
        count = min(made.most, STEPS - step)
        state, fetch = made.advance(state, step, count)
        losses += [float(info.metrics["loss"]) for info in fetch()]
        step += count
    whole = made.gather(state)
    again = made.gather(made.place(whole))
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True))
    return {
        "losses": np.array(losses),
        "gradient": flat(whole.learner.optimizer),  # AdaBelief's moments are sums of the meta-gradients
        "pool": flat(whole.pool.parameters),
    }


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def main(layout, subset, *counts_and_folder):
    *counts, folder = counts_and_folder
    engine.current_platform = lambda: Platform(unroll=layout == "unrolled")
    with join(ProcessSpec.find(), tell=print) as processes:
        for count in counts:
            computed = compute(jax.devices()[: int(count)], int(subset) or None)
            if processes.is_first:
                np.savez(Path(folder) / f"{count}.npz", **computed)


if __name__ == "__main__":
    main(*sys.argv[1:])
