"""Seconds per outer step by solver and iterations, which shows the share of the two solves in a step.

    python benchmarks/solvers.py

ConvNet of width 32, 256 real images; 10 and 100 distilled images, MNIST's shape (grey, not flipped) and
CIFAR-10's (RGB, flipped).  Times are medians of seven, taken in turn.  The last line is JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import CLASSES, distilled, seconds  # isort: skip

import jax
import jax.numpy as jnp
import numpy as np

from rcig_cli.distillation.task import Task
from rcig_cli.presets.config import resolve
from rcig_cli.runs.configuration import network_for
from rcig_cli.runs.engine.mesh import current_platform
from rcig_cli.runs.engine.programs import Programs

SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
SOLVES = {"none": ("cg", 0), **{f"{n} + {n} CG": ("cg", n) for n in (1, 2, 4, 6, 10, 20)}}
SOLVES["20 + 20 Adam"] = ("adam", 20)
ROUNDS, BATCH = 7, 256


def step_of(dataset: str, ipc: int, solver: str, iterations: int) -> Any:
    """A function without parameters that calls a compiled step."""
    shape = SHAPES[dataset]
    flags = {
        "solver": solver,
        "inner_steps": iterations,
        "hessian_steps": iterations,
        "width": 32,
        "batch": BATCH,
    }
    config = resolve(dataset, shape, CLASSES, {"ipc": ipc, **flags})
    network = network_for(config, shape, CLASSES)
    step = config.algorithm_record.make(Task(network, current_platform()), config.method)
    keys = jax.random.split(jax.random.key(0), 3)
    learner = step.start(distilled(jax.random.normal(keys[0], (ipc * CLASSES, *shape))))
    real = jax.random.normal(keys[1], (BATCH, *shape)), jnp.arange(BATCH) % CLASSES
    arguments = learner, network.init(keys[2]), *real
    update = Programs(step.update)
    update.compile(*arguments)
    return lambda: update(*arguments)


def main() -> None:
    """Print a table for each data set and number of images."""
    found: dict[str, dict[str, float]] = {}
    for dataset in SHAPES:
        for ipc in (1, 10):
            runs = {name: step_of(dataset, ipc, *solve) for name, solve in SOLVES.items()}
            times = np.array([[seconds(run) for run in runs.values()] for _ in range(ROUNDS + 1)])[1:]
            case = f"{dataset}, {ipc} per class"
            found[case] = {name: float(t) for name, t in zip(runs, np.median(times, 0), strict=True)}
            for name, value in found[case].items():
                print(f"{case}: {name:13s} {1000 * value:7.0f} ms", flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
